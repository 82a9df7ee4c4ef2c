//! A bundle as one file: an uncompressed tar, the manifest first.

use super::folder::{parent_of, sibling, sync_folder, write_file};
use super::manifest::{MANIFEST_FILE, Manifest};
use super::{BundleError, Files, MAX_MANIFEST};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Reads the whole file; every entry must be the manifest or a part that it names.
pub(super) fn read(path: &Path) -> Result<Files, BundleError> {
    let reading = |source: io::Error| BundleError::Read {
        path: path.into(),
        source,
    };
    let damaged = |e: io::Error| BundleError::Archive {
        path: path.into(),
        why: e.to_string(),
    };
    // Asked before it is opened: opening a pipe would wait for ever.
    if !fs::metadata(path).map_err(reading)?.is_file() {
        return Err(reading(io::Error::other("it is not an ordinary file")));
    }
    let mut archive = tar::Archive::new(BufReader::new(File::open(path).map_err(reading)?));
    // Raw: no extensions of tar, so that an entry is what its own header says.
    let mut entries = archive.entries().map_err(damaged)?.raw(true);
    let not_a_bundle = BundleError::NotABundle {
        path: path.into(),
        why: "start with a manifest.json",
    };
    let Some(Ok(mut first)) = entries.next() else {
        return Err(not_a_bundle);
    };
    if name_of(&first).as_deref() != Some(MANIFEST_FILE) {
        return Err(not_a_bundle);
    }
    let manifest_bytes = read_entry(path, "manifest", &mut first, MAX_MANIFEST)?;
    let manifest = Manifest::read(path, &manifest_bytes)?;
    let mut parts = BTreeMap::new();
    for entry in entries {
        let mut entry = entry.map_err(damaged)?;
        let name = name_of(&entry).unwrap_or_default();
        let Some((part, info)) = manifest.parts.iter().find(|(_, info)| info.file == name) else {
            return Err(BundleError::UnknownPart {
                path: path.into(),
                part: name,
            });
        };
        if entry.size() != info.bytes {
            return Err(BundleError::WrongSize {
                path: path.into(),
                part: part.clone(),
                expected: info.bytes,
                got: entry.size(),
            });
        }
        if parts.contains_key(part) {
            return Err(BundleError::Archive {
                path: path.into(),
                why: format!("it holds two of its {part}"),
            });
        }
        parts.insert(
            part.clone(),
            read_entry(path, part, &mut entry, info.bytes)?,
        );
    }
    Ok(Files {
        manifest_bytes,
        manifest,
        parts,
    })
}

/// The entry's name, where it is an ordinary file; `tar` itself may have put `./` before it.
fn name_of<R: Read>(entry: &tar::Entry<'_, R>) -> Option<String> {
    let name = String::from_utf8(entry.path_bytes().into_owned()).ok()?;
    entry
        .header()
        .entry_type()
        .is_file()
        .then(|| name.strip_prefix("./").unwrap_or(&name).to_owned())
}

fn read_entry<R: Read>(
    path: &Path,
    part: &str,
    entry: &mut tar::Entry<'_, R>,
    limit: u64,
) -> Result<Vec<u8>, BundleError> {
    let size = entry.size();
    if size > limit {
        return Err(BundleError::TooLarge {
            path: path.into(),
            part: part.into(),
            bytes: size,
        });
    }
    let mut bytes = vec![];
    entry
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|e| BundleError::Archive {
            path: path.into(),
            why: format!("its {part}: {e}"),
        })?;
    if bytes.len() as u64 != size {
        return Err(BundleError::Archive {
            path: path.into(),
            why: format!("it ends within its {part}"),
        });
    }
    Ok(bytes)
}

/// Writes a new file beside `path` and puts it in the place of the old one.
pub(super) fn write(path: &Path, files: &[(&str, Vec<u8>)]) -> Result<(), BundleError> {
    let failed = |source: io::Error| BundleError::Write {
        path: path.into(),
        source,
    };
    let bytes = pack(files).map_err(failed)?;
    let parent = parent_of(path).map_err(failed)?;
    let fresh = sibling(path, "new").map_err(failed)?;
    if let Err(e) = write_file(&fresh, &bytes).and_then(|()| fs::rename(&fresh, path)) {
        // The error that made the file useless is the one to tell.
        let _ = fs::remove_file(&fresh);
        return Err(failed(e));
    }
    sync_folder(&parent).map_err(failed)
}

/// No times, owners or modes of this machine, so that equal bundles are equal files.
fn pack(files: &[(&str, Vec<u8>)]) -> io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(vec![]);
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        tar.append_data(&mut header, name, bytes.as_slice())?;
    }
    tar.into_inner()
}
