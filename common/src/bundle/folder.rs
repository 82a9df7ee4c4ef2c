//! A bundle as a folder.

use super::content::{Content, FileRange, Part};
use super::head::BundleHead;
use super::manifest::{
    DETECTOR_PART, GOLDEN_PART, LOCAL_PARTS, MANIFEST_FILE, PARTS, PartInfo, TRAINING_PART,
};
use super::signature::{MAX_SIGNATURE, SIGNATURE_FILE};
use super::{BundleError, Files, MAX_MANIFEST};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The write buffer in bytes.
const WRITTEN: usize = 1 << 20;

/// Reads manifest and signature.
pub(super) fn read_head(path: &Path) -> Result<BundleHead, BundleError> {
    let manifest_bytes = match read_file(&path.join(MANIFEST_FILE), MAX_MANIFEST) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(BundleError::NotABundle {
                path: path.into(),
                why: "it has no manifest.json",
            });
        }
        Err(source) => {
            return Err(BundleError::Read {
                path: path.join(MANIFEST_FILE),
                source,
            });
        }
    };
    let signature = match read_file(&path.join(SIGNATURE_FILE), MAX_SIGNATURE) {
        Ok(bytes) => Some(bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(source) => {
            return Err(BundleError::Read {
                path: path.join(SIGNATURE_FILE),
                source,
            });
        }
    };
    BundleHead::from_bytes(path, manifest_bytes, signature.as_deref())
}

/// Reads manifest and signature and, if `admit` accepts them, the files that the manifest names; other files in the folder are ignored.
pub(super) fn read(
    path: &Path,
    admit: impl FnOnce(&BundleHead) -> Result<(), BundleError>,
) -> Result<Files, BundleError> {
    let head = read_head(path)?;
    admit(&head)?;
    let manifest = head.manifest(path)?;
    let mut parts = BTreeMap::new();
    for (part, info) in &manifest.parts {
        parts.insert(part.clone(), read_part(path, part, info)?);
    }
    Ok(Files {
        head,
        manifest,
        parts,
    })
}

fn read_part(path: &Path, part: &str, info: &PartInfo) -> Result<Part, BundleError> {
    let file = path.join(&info.file);
    match fs::metadata(&file) {
        Ok(found) if found.len() != info.bytes => Err(BundleError::WrongSize {
            path: path.into(),
            part: part.into(),
            expected: info.bytes,
            got: found.len(),
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(BundleError::MissingPart {
            path: path.into(),
            part: part.into(),
        }),
        _ if Part::stays_on_disk(part, info.bytes) => open_file(&file)
            .map(|opened| {
                Part::OnDisk(FileRange {
                    file: opened,
                    offset: 0,
                    bytes: info.bytes,
                })
            })
            .map_err(|source| BundleError::Read { path: file, source }),
        _ => read_file(&file, info.bytes)
            .map(Part::InMemory)
            .map_err(|source| BundleError::Read { path: file, source }),
    }
}

/// Opens an ordinary file.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    // Check before opening: opening a pipe would block for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not an ordinary file"));
    }
    File::open(path)
}

/// Reads an ordinary file of at most `limit` bytes.
fn read_file(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open_file(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

/// Writes a new folder beside `path` and renames it to replace the old one.
pub(super) fn write(path: &Path, files: &[(&str, Content<'_>)]) -> Result<(), BundleError> {
    let failed = |source: io::Error| BundleError::Write {
        path: path.into(),
        source,
    };
    reject_foreign(path)?;
    let parent = parent_of(path).map_err(failed)?;
    let fresh = sibling(path, "new").map_err(failed)?;
    let written = fs::create_dir(&fresh)
        .and_then(|()| {
            files.iter().try_for_each(|(name, content)| {
                write_file(&fresh.join(name), |out| content.write_to(out))
            })
        })
        .and_then(|()| sync_folder(&fresh))
        .and_then(|()| replace(&fresh, path));
    if let Err(e) = written {
        // Report the first error, not one of the cleanup.
        let _ = fs::remove_dir_all(&fresh);
        return Err(failed(e));
    }
    sync_folder(&parent).map_err(failed)
}

/// Rejects a destination folder that holds other files, so that they are not deleted.
fn reject_foreign(path: &Path) -> Result<(), BundleError> {
    let reading = |source: io::Error| BundleError::Read {
        path: path.into(),
        source,
    };
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(reading)?,
    };
    for entry in entries {
        let name = entry
            .map_err(reading)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        let mut ours = PARTS
            .iter()
            .chain([&GOLDEN_PART, &DETECTOR_PART, &TRAINING_PART])
            .chain(&LOCAL_PARTS)
            .map(|(_, file)| *file);
        let described = name == MANIFEST_FILE || name == SIGNATURE_FILE;
        if !described && ours.all(|file| file != name) {
            return Err(BundleError::Occupied {
                path: path.into(),
                file: name,
            });
        }
    }
    Ok(())
}

/// Replaces a folder by two renames: between them the old folder has a temporary name, which is
/// undone if the second rename fails.
fn replace(fresh: &Path, path: &Path) -> io::Result<()> {
    if !path.exists() {
        return fs::rename(fresh, path);
    }
    let old = sibling(path, "old")?;
    fs::rename(path, &old)?;
    if let Err(e) = fs::rename(fresh, path) {
        fs::rename(&old, path)?;
        return Err(e);
    }
    fs::remove_dir_all(&old)
}

/// The parent folder of `path`, created if it does not exist.
pub(super) fn parent_of(path: &Path) -> io::Result<PathBuf> {
    let parent = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&parent)?;
    Ok(parent)
}

/// A unique hidden name beside `path`.
pub(super) fn sibling(path: &Path, what: &str) -> io::Result<PathBuf> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("the path has no valid file name"))?
        .to_string_lossy();
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    Ok(path.with_file_name(format!(".{name}.{what}-{}-{number}", std::process::id())))
}

/// Writes a file with `write` and syncs it to the disk.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(WRITTEN, File::create(path)?);
    write(&mut out)?;
    out.into_inner()?.sync_all()
}

/// Syncs a folder, so that the names in it survive a power cut; does nothing where folders cannot
/// be opened.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}
