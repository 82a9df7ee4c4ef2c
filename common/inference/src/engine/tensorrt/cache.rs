//! The folder of plans. A plan holds native code, so that it is loaded only from a folder and a file that this program's user owns and
//! nobody else can write, and only with the checksum that was written with it.
//!
//! The checksum finds what a power cut or a bad disk did; the owner keeps out others.

use super::abi::MAX_PLAN;
use super::error::CacheError;
use super::key::PlanKey;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a plan's file begins; the digit is the format's version.
const MAGIC: &[u8; 8] = b"FLKPLAN1";
/// The longest key; ours are some hundred bytes.
const MAX_KEY: usize = 4096;
/// How many plans stay: the boat's, and a few of the bundles and drivers before.
const KEPT: usize = 4;

/// Plans on disk.
#[derive(Debug)]
pub(super) struct PlanCache {
    folder: PathBuf,
}

impl PlanCache {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// [`CacheError::NotOurs`] where others could write it.
    pub(super) fn open(folder: &Path) -> Result<Self, CacheError> {
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above).map_err(CacheError::io(above, "made"))?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(CacheError::io(folder, "made")(e)),
        }
        let found = fs::symlink_metadata(folder).map_err(CacheError::io(folder, "looked at"))?;
        if !found.is_dir() {
            return Err(CacheError::NotOurs {
                path: folder.to_owned(),
                why: "it is no folder".into(),
            });
        }
        demand_ours(folder, &found)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The plan of `key`, where there is one.
    ///
    /// # Errors
    /// When it is damaged or not ours.
    pub(super) fn get(&self, key: &PlanKey) -> Result<Option<Vec<u8>>, CacheError> {
        let path = self.path(key);
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(CacheError::io(&path, "opened")(e)),
        };
        let found = file
            .metadata()
            .map_err(CacheError::io(&path, "looked at"))?;
        if !found.is_file() {
            return Err(CacheError::NotOurs {
                path,
                why: "it is no file".into(),
            });
        }
        demand_ours(&path, &found)?;
        let damaged = |why| CacheError::Damaged {
            path: path.clone(),
            why,
        };
        if found.len() > (MAX_PLAN + MAX_KEY + 64) as u64 {
            return Err(damaged("it is too large"));
        }
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)
            .map_err(CacheError::io(&path, "read"))?;
        unpack(&bytes, key).map(Some).map_err(damaged)
    }

    /// Keeps a plan: after a power cut it is there whole or not at all.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn put(&self, key: &PlanKey, plan: &[u8]) -> Result<(), CacheError> {
        let path = self.path(key);
        let part = path.with_extension(format!("part-{}", std::process::id()));
        let written = write_whole(&part, &pack(key, plan))
            .and_then(|()| fs::rename(&part, &path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if let Err(e) = written {
            // Half a file is of no use to anybody.
            let _ = fs::remove_file(&part);
            return Err(CacheError::io(&path, "written")(e));
        }
        self.clear_old(&path);
        Ok(())
    }

    /// Deletes the plan of `key`.
    ///
    /// # Errors
    /// When the disk does not.
    pub(super) fn delete(&self, key: &PlanKey) -> Result<(), CacheError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(CacheError::io(&path, "deleted")(e)),
            _ => Ok(()),
        }
    }

    /// Where the plan of `key` lies.
    pub(super) fn path(&self, key: &PlanKey) -> PathBuf {
        self.folder.join(key.file_name())
    }

    /// Deletes all but the newest plans, and what a power cut left half-written. Nothing depends on it, so that failures are passed over.
    fn clear_old(&self, newest: &Path) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let mut plans = vec![];
        for path in entries.flatten().map(|e| e.path()) {
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if extension.starts_with("part-") {
                let _ = fs::remove_file(&path);
            } else if extension == "plan" && path != newest {
                let modified = fs::metadata(&path).and_then(|m| m.modified()).ok();
                plans.push((modified, path));
            }
        }
        plans.sort();
        for (_, path) in plans.iter().rev().skip(KEPT - 1) {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // What lies there is from a process of the same number that a power cut ended.
    match fs::remove_file(file) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut out = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    out.write_all(bytes)?;
    out.sync_all()
}

/// Magic, length of the key, key, SHA-256 of the plan, plan.
fn pack(key: &PlanKey, plan: &[u8]) -> Vec<u8> {
    let key = key.text().as_bytes();
    let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + key.len() + 32 + plan.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&Sha256::digest(plan));
    bytes.extend_from_slice(plan);
    bytes
}

fn unpack(bytes: &[u8], key: &PlanKey) -> Result<Vec<u8>, &'static str> {
    let rest = bytes
        .strip_prefix(MAGIC)
        .ok_or("it is no plan of Flukewatch's")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is cut off")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_KEY {
        return Err("its key is too long");
    }
    let (its_key, rest) = rest.split_at_checked(length).ok_or("it is cut off")?;
    if its_key != key.text().as_bytes() {
        return Err("it belongs to another model or machine");
    }
    let (checksum, plan) = rest.split_first_chunk::<32>().ok_or("it is cut off")?;
    if plan.is_empty() || Sha256::digest(plan)[..] != checksum[..] {
        return Err("its checksum is not that of its bytes");
    }
    Ok(plan.to_vec())
}

/// Ours alone: no other user and no group may write it.
fn demand_ours(path: &Path, found: &fs::Metadata) -> Result<(), CacheError> {
    let not_ours = |why: String| {
        Err(CacheError::NotOurs {
            path: path.to_owned(),
            why,
        })
    };
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return not_ours(format!(
            "user {} owns it, this program runs as user {me}",
            found.uid()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return not_ours(format!(
            "its mode is {:o}, so that others can write it",
            found.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
