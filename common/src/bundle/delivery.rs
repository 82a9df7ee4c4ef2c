//! A bundle that arrives in pieces, e.g. over a satellite link: only what no bundle on board holds is
//! transferred, an interrupted transfer is resumed, and the new bundle is complete or absent.
//!
//! 1. [`Delivery::begin`] with the manifest and signature that were offered, if they are trusted;
//! 2. [`Delivery::collect`] takes over what a bundle on board has in common with it;
//! 3. [`Delivery::missing`] lists what to request, and [`Delivery::receive`] takes it piece by piece;
//! 4. [`Delivery::assemble`] makes the bundle, if all of it is there and it is trusted.
//!
//! The folder of a delivery holds `manifest.json`, `signature.json`, and in `contents` a file for each
//! content, named by its SHA-256: complete and verified, or with `.received` behind the name what has
//! arrived of it from its beginning. Two parts with the same content are one file.

mod contents;
mod error;

pub use contents::{MissingContent, Received};
pub use error::DeliveryError;

use super::content::Content;
use super::manifest::MANIFEST_FILE;
use super::signature::SIGNATURE_FILE;
use super::{Bundle, BundleHead, BundleTrust, Manifest, PartInfo, folder, read_files};
use crate::atomic_file::write_atomically;
use contents::Contents;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The folder in which the bundle is put together.
const ASSEMBLED: &str = "assembled";

/// A bundle that is being received.
#[derive(Debug)]
pub struct Delivery {
    folder: PathBuf,
    head: BundleHead,
    manifest: Manifest,
    contents: Contents,
}

impl Delivery {
    /// Begins the delivery of a bundle in `folder`, or resumes it there, if `trust` accepts it. What is left of another delivery in
    /// the folder is deleted.
    ///
    /// # Errors
    /// When the bundle is not trusted or its manifest cannot be used, or the folder cannot be written.
    pub fn begin(
        folder: &Path,
        head: BundleHead,
        trust: &BundleTrust,
    ) -> Result<Self, DeliveryError> {
        head.check(folder, trust)?;
        let manifest = head.manifest(folder)?;
        let earlier = fs::read(folder.join(MANIFEST_FILE)).ok();
        if earlier.as_deref() != Some(head.manifest_bytes()) {
            remove_folder(folder)?;
        }
        let contents = Contents::create(&folder.join("contents"))?;
        let written = |file: PathBuf, bytes: &[u8]| {
            write_atomically(&file, bytes).map_err(DeliveryError::disk(&file))
        };
        match head.signature() {
            Some(signature) => written(folder.join(SIGNATURE_FILE), &signature.to_bytes())?,
            None => remove_file(&folder.join(SIGNATURE_FILE))?,
        }
        // Last: with it, the folder is a delivery.
        written(folder.join(MANIFEST_FILE), head.manifest_bytes())?;
        Ok(Self {
            folder: folder.to_owned(),
            head,
            manifest,
            contents,
        })
    }

    /// The delivery in `folder`, e.g. after a restart; `None` where there is none.
    ///
    /// # Errors
    /// As [`Delivery::begin`].
    pub fn resume(folder: &Path, trust: &BundleTrust) -> Result<Option<Self>, DeliveryError> {
        if !folder.join(MANIFEST_FILE).is_file() {
            return Ok(None);
        }
        Self::begin(folder, BundleHead::read(folder)?, trust).map(Some)
    }

    /// What is delivered: manifest and signature.
    pub fn head(&self) -> &BundleHead {
        &self.head
    }

    /// The bytes of all parts of the bundle; two parts with the same content count once.
    pub fn total_bytes(&self) -> u64 {
        let contents: BTreeMap<&str, u64> = self
            .manifest
            .parts
            .values()
            .map(|info| (info.sha256.as_str(), info.bytes))
            .collect();
        contents.values().sum()
    }

    /// Copies what the bundle at `path` has in common with this one and is still missing. What is damaged
    /// there stays missing. Returns the number of bytes that need not be transferred.
    ///
    /// # Errors
    /// When that bundle cannot be read at all, or the copies cannot be written.
    pub fn collect(&self, path: &Path) -> Result<u64, DeliveryError> {
        let files = read_files(path, &BundleTrust::Everyone)?;
        let mut bytes = 0;
        for info in self.missing_infos() {
            let mut named = files.manifest.parts.iter();
            let named = named.find(|(_, there)| there.sha256 == info.sha256);
            let Some(part) = named.and_then(|(part, _)| files.parts.get(part)) else {
                continue;
            };
            if part.len() == info.bytes
                && self
                    .contents
                    .put(info, |out| Content::Read(part).write_to(out))?
            {
                bytes += info.bytes;
            }
        }
        Ok(bytes)
    }

    /// The contents that are not complete, each once, in the order of the manifest's parts.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn missing(&self) -> Result<Vec<MissingContent>, DeliveryError> {
        let infos = self.missing_infos().into_iter();
        infos
            .map(|info| {
                Ok(MissingContent {
                    sha256: info.sha256.clone(),
                    bytes: info.bytes,
                    received: self.contents.received(&info.sha256)?,
                })
            })
            .collect()
    }

    fn missing_infos(&self) -> Vec<&PartInfo> {
        let mut missing: Vec<&PartInfo> = vec![];
        for info in self.manifest.parts.values() {
            let listed = missing.iter().any(|m| m.sha256 == info.sha256);
            if !listed && !self.contents.has(&info.sha256) {
                missing.push(info);
            }
        }
        missing
    }

    /// Takes a piece of the content with this SHA-256, which begins at `offset`. It is on the disk when this
    /// returns. A content without a single byte arrives as one empty piece.
    ///
    /// # Errors
    /// [`DeliveryError::Offset`] when the piece does not continue what has arrived;
    /// [`DeliveryError::Altered`] when the content is complete and not the right one: it begins again.
    pub fn receive(
        &self,
        sha256: &str,
        offset: u64,
        piece: &[u8],
    ) -> Result<Received, DeliveryError> {
        let mut infos = self.manifest.parts.values();
        let Some(info) = infos.find(|info| info.sha256 == sha256) else {
            return Err(DeliveryError::Unknown {
                sha256: sha256.to_owned(),
            });
        };
        self.contents.receive(info, offset, piece)
    }

    /// Makes the bundle as the new folder `destination`, which must be on the same file system, if `trust` accepts it. After a power
    /// cut it is there as a whole, or not at all and the delivery is.
    ///
    /// # Errors
    /// [`DeliveryError::Incomplete`] when something is missing, [`DeliveryError::Exists`] when the destination is there, or
    /// [`DeliveryError::Bundle`] when the bundle is not trusted or cannot be used.
    pub fn assemble(
        &self,
        destination: &Path,
        trust: &BundleTrust,
    ) -> Result<Bundle, DeliveryError> {
        self.head.check(&self.folder, trust)?;
        if fs::symlink_metadata(destination).is_ok() {
            return Err(DeliveryError::Exists(destination.to_owned()));
        }
        if let Some(missing) = self.missing()?.into_iter().next() {
            return Err(DeliveryError::Incomplete {
                sha256: missing.sha256,
            });
        }
        let assembled = self.folder.join(ASSEMBLED);
        remove_folder(&assembled)?;
        let disk = DeliveryError::disk(&assembled);
        self.put_together(&assembled).map_err(&disk)?;
        // Every byte is verified here, in the files that the bundle consists of.
        let bundle = match Bundle::open_trusted(&assembled, trust) {
            Ok(bundle) => bundle,
            Err(e) => {
                self.contents.remove_altered(self.manifest.parts.values())?;
                return Err(e.into());
            }
        };
        let parent = folder::parent_of(destination).map_err(DeliveryError::disk(destination))?;
        fs::rename(&assembled, destination)
            .and_then(|()| folder::sync_folder(&parent))
            .map_err(DeliveryError::disk(destination))?;
        Ok(bundle)
    }

    fn put_together(&self, assembled: &Path) -> io::Result<()> {
        fs::create_dir(assembled)?;
        for info in self.manifest.parts.values() {
            self.contents
                .link(&info.sha256, &assembled.join(&info.file))?;
        }
        fs::write(assembled.join(MANIFEST_FILE), self.head.manifest_bytes())?;
        if let Some(signature) = self.head.signature() {
            fs::write(assembled.join(SIGNATURE_FILE), signature.to_bytes())?;
        }
        for entry in fs::read_dir(assembled)? {
            fs::File::open(entry?.path())?.sync_all()?;
        }
        folder::sync_folder(assembled)
    }

    /// Deletes the delivery, whether or not it is complete. The bundle that was made of it stays.
    ///
    /// # Errors
    /// When the folder cannot be deleted.
    pub fn discard(self) -> Result<(), DeliveryError> {
        remove_folder(&self.folder)
    }
}

fn remove_folder(folder: &Path) -> Result<(), DeliveryError> {
    // First what makes it a delivery: a power cut must not leave half of one.
    remove_file(&folder.join(MANIFEST_FILE))?;
    absent_is_fine(fs::remove_dir_all(folder)).map_err(DeliveryError::disk(folder))
}

fn remove_file(file: &Path) -> Result<(), DeliveryError> {
    absent_is_fine(fs::remove_file(file)).map_err(DeliveryError::disk(file))
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
