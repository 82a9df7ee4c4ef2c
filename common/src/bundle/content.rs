//! Parts of a bundle, in memory or on disk: a large catalogue is never read as a whole.

use crate::catalogue::{Catalogue, CatalogueError, MMAP_THRESHOLD};
use crate::local_matching::{LocalPhotos, LocalPhotosError};
use crate::sha256::hex;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The read buffer in bytes.
const STEP: usize = 256 * 1024;

/// A part to be written.
pub(super) enum Content<'a> {
    Bytes(Cow<'a, [u8]>),
    Catalogue(&'a Catalogue),
    Local(&'a LocalPhotos),
    /// As it was read.
    Read(&'a Part),
}

impl Content<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Catalogue(catalogue) => catalogue.file_bytes(),
            Self::Local(local) => local.record_bytes(),
            Self::Read(part) => part.len(),
        }
    }

    pub(super) fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::Catalogue(catalogue) => catalogue.write_to(out),
            Self::Local(local) => local.write_records(out),
            Self::Read(Part::InMemory(bytes)) => out.write_all(bytes),
            Self::Read(Part::OnDisk(range)) => range.write_to(out),
        }
    }

    pub(super) fn sha256_hex(&self) -> io::Result<String> {
        let mut hash = Hash(Sha256::new());
        self.write_to(&mut hash)?;
        Ok(hash.hex())
    }
}

/// A part that was read or located.
pub(super) enum Part {
    InMemory(Vec<u8>),
    /// Too large to read as a whole.
    OnDisk(FileRange),
}

pub(super) struct FileRange {
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl FileRange {
    /// Reads it in pieces, so that it takes little memory.
    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut file = &self.file;
        file.seek(SeekFrom::Start(self.offset))?;
        let (mut step, mut left) = (vec![0; STEP], self.bytes);
        while left > 0 {
            let step = &mut step[..left.min(STEP as u64) as usize];
            file.read_exact(step)?;
            out.write_all(step)?;
            left -= step.len() as u64;
        }
        Ok(())
    }
}

impl Part {
    /// Whether a part of this size is left on disk.
    pub(super) fn stays_on_disk(part: &str, bytes: u64) -> bool {
        use super::manifest::{CATALOGUE, LOCAL};
        (part == CATALOGUE || part == LOCAL) && bytes >= MMAP_THRESHOLD
    }

    /// Whether the content is verified when it is read instead of when the bundle is opened: descriptors on disk, each by the
    /// checksum in their index. Reading them all would make opening a large bundle slow.
    pub(super) fn is_verified_later(&self, part: &str) -> bool {
        part == super::manifest::LOCAL && matches!(self, Self::OnDisk(_))
    }

    /// The part in a file without a name in `folder`, if it is on disk: other programs cannot modify it, and it is deleted with
    /// the last use.
    pub(super) fn copied_into(self, folder: &Path) -> io::Result<Self> {
        let Self::OnDisk(range) = self else {
            return Ok(self);
        };
        let mut copy = tempfile::tempfile_in(folder)?;
        range.write_to(&mut copy)?;
        Ok(Self::OnDisk(FileRange {
            file: copy,
            offset: 0,
            bytes: range.bytes,
        }))
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::InMemory(bytes) => bytes.len() as u64,
            Self::OnDisk(range) => range.bytes,
        }
    }

    pub(super) fn sha256_hex(&self) -> io::Result<String> {
        Content::Read(self).sha256_hex()
    }

    pub(super) fn into_catalogue(self) -> Result<Catalogue, CatalogueError> {
        match self {
            Self::InMemory(bytes) => Catalogue::from_bytes(&bytes),
            Self::OnDisk(range) => {
                Catalogue::open_within(&range.file, range.offset, range.bytes, MMAP_THRESHOLD)
            }
        }
    }

    /// The descriptors with this index.
    pub(super) fn into_local(self, index: &[u8]) -> Result<LocalPhotos, LocalPhotosError> {
        match self {
            Self::InMemory(bytes) => LocalPhotos::from_bytes(index, &bytes),
            Self::OnDisk(range) => {
                LocalPhotos::open_within(index, &range.file, range.offset, range.bytes)
            }
        }
    }

    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::InMemory(bytes) => Ok(bytes),
            Self::OnDisk(FileRange {
                mut file,
                offset,
                bytes,
            }) => {
                file.seek(SeekFrom::Start(offset))?;
                let mut all = vec![];
                file.take(bytes).read_to_end(&mut all)?;
                Ok(all)
            }
        }
    }
}

struct Hash(Sha256);

impl Hash {
    fn hex(self) -> String {
        hex(&self.0.finalize())
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
