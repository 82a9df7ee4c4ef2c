//! What a part of a bundle holds, in memory or still in its file: a large catalogue is never in memory as a whole.

use crate::catalogue::{Catalogue, CatalogueError, MAPPED_FROM};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What is read of a file at a time.
const STEP: usize = 256 * 1024;

/// A part that is to be written.
pub(super) enum Content<'a> {
    Bytes(Cow<'a, [u8]>),
    Catalogue(&'a Catalogue),
}

impl Content<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Catalogue(catalogue) => catalogue.file_bytes(),
        }
    }

    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::Catalogue(catalogue) => catalogue.write_to(out),
        }
    }

    pub(super) fn sha256_hex(&self) -> io::Result<String> {
        let mut hash = Hash(Sha256::new());
        self.write_to(&mut hash)?;
        Ok(hash.hex())
    }
}

/// A part that was found.
pub(super) enum Found {
    Read(Vec<u8>),
    /// Not read yet.
    Lies(Lying),
}

/// A part as a piece of a file.
pub(super) struct Lying {
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Found {
    /// Whether a part is left in its file.
    pub(super) fn lies(part: &str, bytes: u64) -> bool {
        part == super::manifest::CATALOGUE && bytes >= MAPPED_FROM
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Read(bytes) => bytes.len() as u64,
            Self::Lies(lying) => lying.bytes,
        }
    }

    /// Reads what is not read yet piece by piece, so that it takes no memory.
    pub(super) fn sha256_hex(&self) -> io::Result<String> {
        let Lying {
            file,
            offset,
            bytes,
        } = match self {
            Self::Read(bytes) => return Ok(super::sha256_hex(bytes)),
            Self::Lies(lying) => lying,
        };
        let mut file: &File = file;
        file.seek(SeekFrom::Start(*offset))?;
        let (mut hash, mut step, mut left) = (Sha256::new(), vec![0; STEP], *bytes);
        while left > 0 {
            let step = &mut step[..left.min(STEP as u64) as usize];
            file.read_exact(step)?;
            hash.update(&*step);
            left -= step.len() as u64;
        }
        Ok(Hash(hash).hex())
    }

    /// The catalogue that it is.
    pub(super) fn catalogue(self) -> Result<Catalogue, CatalogueError> {
        match self {
            Self::Read(bytes) => Catalogue::from_bytes(&bytes),
            Self::Lies(lying) => {
                Catalogue::open_within(&lying.file, lying.offset, lying.bytes, MAPPED_FROM)
            }
        }
    }

    /// Its bytes; of any part but a large catalogue.
    pub(super) fn bytes(self) -> Vec<u8> {
        match self {
            Self::Read(bytes) => bytes,
            Self::Lies(_) => vec![],
        }
    }
}

struct Hash(Sha256);

impl Hash {
    fn hex(self) -> String {
        super::hex(&self.0.finalize())
    }
}

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
