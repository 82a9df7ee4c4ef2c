//! The contents that have arrived, each in a file that is named by its SHA-256.

use super::error::DeliveryError;
use crate::bundle::PartInfo;
use crate::bundle::content::{Content, FileRange, Part};
use crate::bundle::folder::{sync_folder, write_file};
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A content that is not complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingContent {
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// How many of them have arrived: where the next piece begins.
    pub received: u64,
}

/// What is there of a content after a piece arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// So many bytes, and more to come.
    Partly(u64),
    /// All of it, verified.
    Complete,
}

#[derive(Debug)]
pub(super) struct Contents {
    folder: PathBuf,
}

impl Contents {
    pub(super) fn create(folder: &Path) -> Result<Self, DeliveryError> {
        fs::create_dir_all(folder).map_err(DeliveryError::disk(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn complete(&self, sha256: &str) -> PathBuf {
        self.folder.join(sha256)
    }

    fn partial(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}.received"))
    }

    /// Whether the content is complete.
    pub(super) fn has(&self, sha256: &str) -> bool {
        self.complete(sha256).is_file()
    }

    /// How many bytes have arrived of a content that is not complete.
    pub(super) fn received(&self, sha256: &str) -> Result<u64, DeliveryError> {
        let file = self.partial(sha256);
        match fs::metadata(&file) {
            Ok(found) => Ok(found.len()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
            Err(e) => Err(DeliveryError::disk(&file)(e)),
        }
    }

    /// Appends a piece, and verifies the content with its last one.
    pub(super) fn receive(
        &self,
        info: &PartInfo,
        offset: u64,
        piece: &[u8],
    ) -> Result<Received, DeliveryError> {
        let sha256 = &info.sha256;
        if self.has(sha256) {
            return Ok(Received::Complete);
        }
        let expected = self.received(sha256)?;
        if offset != expected {
            return Err(DeliveryError::Offset {
                sha256: sha256.clone(),
                offset,
                expected,
            });
        }
        let received = offset.saturating_add(piece.len() as u64);
        if received > info.bytes {
            return Err(DeliveryError::TooLong {
                sha256: sha256.clone(),
                bytes: info.bytes,
            });
        }
        let file = self.partial(sha256);
        append(&file, piece).map_err(DeliveryError::disk(&file))?;
        if received < info.bytes {
            return Ok(Received::Partly(received));
        }
        if self.finish(&file, info)? {
            Ok(Received::Complete)
        } else {
            Err(DeliveryError::Altered {
                sha256: sha256.clone(),
            })
        }
    }

    /// Writes a whole content. Returns whether it is the right one.
    pub(super) fn put(
        &self,
        info: &PartInfo,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> Result<bool, DeliveryError> {
        // Not the partial file: what has arrived of it is worth more than a damaged copy.
        let file = self.folder.join(format!("{}.copy", info.sha256));
        write_file(&file, write).map_err(DeliveryError::disk(&file))?;
        let right = self.finish(&file, info)?;
        if right {
            remove(&self.partial(&info.sha256))?;
        }
        Ok(right)
    }

    /// Renames a file to a complete content, or deletes it if it is another one.
    fn finish(&self, file: &Path, info: &PartInfo) -> Result<bool, DeliveryError> {
        if !is_content(file, info) {
            remove(file)?;
            return Ok(false);
        }
        fs::rename(file, self.complete(&info.sha256))
            .and_then(|()| sync_folder(&self.folder))
            .map_err(DeliveryError::disk(file))?;
        Ok(true)
    }

    /// Deletes the contents that have changed since they were verified, e.g. on a failing disk.
    pub(super) fn remove_altered<'a>(
        &self,
        infos: impl Iterator<Item = &'a PartInfo>,
    ) -> Result<(), DeliveryError> {
        for info in infos {
            let file = self.complete(&info.sha256);
            if !is_content(&file, info) {
                remove(&file)?;
            }
        }
        Ok(())
    }

    /// Makes a complete content the file `target` as well: by a link, which takes no space, or a copy where the file system has no
    /// links.
    pub(super) fn link(&self, sha256: &str, target: &Path) -> io::Result<()> {
        let file = self.complete(sha256);
        fs::hard_link(&file, target).or_else(|_| fs::copy(&file, target).map(|_| ()))
    }
}

/// Whether the file has this content.
fn is_content(file: &Path, info: &PartInfo) -> bool {
    let Ok(opened) = File::open(file) else {
        return false;
    };
    let bytes = opened.metadata().map_or(0, |m| m.len());
    let whole = Part::OnDisk(FileRange {
        file: opened,
        offset: 0,
        bytes,
    });
    bytes == info.bytes
        && Content::Read(&whole)
            .sha256_hex()
            .is_ok_and(|sum| sum == info.sha256)
}

/// Appends to a file and syncs it. Where that fails, e.g. on a full disk, the file keeps its length.
fn append(path: &Path, piece: &[u8]) -> io::Result<()> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    let appended = file.write_all(piece).and_then(|()| file.sync_data());
    if appended.is_err() {
        file.set_len(before)?;
    }
    appended
}

fn remove(file: &Path) -> Result<(), DeliveryError> {
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(DeliveryError::disk(file)(e)),
        _ => Ok(()),
    }
}
