//! The cache of plans on disk. A plan holds native code, so it is loaded only from a folder and a
//! file that this program's user owns and no other user can write to, and only if its checksum
//! matches.
//!
//! The checksum detects damage by a power cut or a bad disk; the ownership keeps out other users.

use super::abi::MAX_PLAN;
use super::error::CacheError;
use super::key::PlanKey;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The first bytes of a plan's file; the digit is the version of the format.
const MAGIC: &[u8; 8] = b"FLKPLAN1";
/// The size limit of a key in bytes; ours have a few hundred.
const MAX_KEY: usize = 4096;
/// The number of plans that are kept: those of the current model and detector, and of earlier bundles and drivers.
const KEPT: usize = 8;

/// A folder of plans.
#[derive(Debug)]
pub(super) struct PlanCache {
    folder: PathBuf,
}

impl PlanCache {
    /// Opens the folder, creating it if it is missing.
    ///
    /// # Errors
    /// [`CacheError::NotOurs`] if other users could write to it.
    pub(super) fn open(folder: &Path) -> Result<Self, CacheError> {
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above).map_err(CacheError::io(above, "created"))?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(CacheError::io(folder, "created")(e)),
        }
        let found = fs::symlink_metadata(folder).map_err(CacheError::io(folder, "inspected"))?;
        if !found.is_dir() {
            return Err(CacheError::NotOurs {
                path: folder.to_owned(),
                why: "it is not a folder".into(),
            });
        }
        demand_ours(folder, &found)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// The plan of `key`, if there is one.
    ///
    /// # Errors
    /// When it is damaged, or other users could write to it.
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
            .map_err(CacheError::io(&path, "inspected"))?;
        if !found.is_file() {
            return Err(CacheError::NotOurs {
                path,
                why: "it is not a regular file".into(),
            });
        }
        demand_ours(&path, &found)?;
        let damaged = |why| CacheError::Damaged {
            path: path.clone(),
            why,
        };
        if found.len() > (MAX_PLAN + MAX_KEY + 64) as u64 {
            return Err(damaged("it exceeds the size limit"));
        }
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)
            .map_err(CacheError::io(&path, "read"))?;
        unpack(&bytes, key).map(Some).map_err(damaged)
    }

    /// Stores a plan: after a power cut it is complete or absent.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, key: &PlanKey, plan: &[u8]) -> Result<(), CacheError> {
        let path = self.path(key);
        let part = path.with_extension(format!("part-{}", std::process::id()));
        let written = write_whole(&part, &pack(key, plan))
            .and_then(|()| fs::rename(&part, &path))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if let Err(e) = written {
            // Remove the incomplete file.
            let _ = fs::remove_file(&part);
            return Err(CacheError::io(&path, "written")(e));
        }
        self.clear_old(&path);
        Ok(())
    }

    /// Deletes the plan of `key`.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub(super) fn delete(&self, key: &PlanKey) -> Result<(), CacheError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(CacheError::io(&path, "deleted")(e)),
            _ => Ok(()),
        }
    }

    /// The path of the plan of `key`.
    pub(super) fn path(&self, key: &PlanKey) -> PathBuf {
        self.folder.join(key.file_name())
    }

    /// Deletes all but the newest plans, and files that a power cut left incomplete. Nothing
    /// depends on it, so failures are ignored.
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
    // An existing file is from a process with the same id that a power cut ended.
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
        .ok_or("it is not a Flukewatch plan")?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is truncated")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_KEY {
        return Err("its key is too long");
    }
    let (its_key, rest) = rest.split_at_checked(length).ok_or("it is truncated")?;
    if its_key != key.text().as_bytes() {
        return Err("it belongs to another model or machine");
    }
    let (checksum, plan) = rest.split_first_chunk::<32>().ok_or("it is truncated")?;
    if plan.is_empty() || Sha256::digest(plan)[..] != checksum[..] {
        return Err("its checksum does not match");
    }
    Ok(plan.to_vec())
}

/// Checks that this user owns it and no other user or group can write to it.
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
            "it is owned by user {}; this program runs as user {me}",
            found.uid()
        ));
    }
    if found.mode() & 0o022 != 0 {
        return not_ours(format!(
            "its mode is {:o}: other users can write to it",
            found.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
