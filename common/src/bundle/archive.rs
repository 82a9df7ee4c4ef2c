//! A bundle as one file: an uncompressed tar, the manifest first.

use super::content::{Content, FileRange, Part};
use super::folder::{open_file, parent_of, sibling, sync_folder, write_file};
use super::head::BundleHead;
use super::manifest::MANIFEST_FILE;
use super::signature::{MAX_SIGNATURE, SIGNATURE_FILE};
use super::{BundleError, Files, MAX_MANIFEST};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::Path;

type OpenArchive<'a> = tar::Archive<BufReader<&'a File>>;
type Entry<'a, 'b> = tar::Entry<'a, BufReader<&'b File>>;

/// Reads manifest and signature.
pub(super) fn read_head(path: &Path) -> Result<BundleHead, BundleError> {
    let file = open_file(path).map_err(reading(path))?;
    let mut archive = OpenArchive::new(BufReader::new(&file));
    let mut entries = entries(path, &mut archive)?;
    Ok(take_head(path, &mut entries)?.0)
}

fn reading(path: &Path) -> impl Fn(io::Error) -> BundleError {
    |source| BundleError::Read {
        path: path.into(),
        source,
    }
}

fn damaged(path: &Path) -> impl Fn(io::Error) -> BundleError {
    |e| BundleError::Archive {
        path: path.into(),
        why: e.to_string(),
    }
}

/// The entries of the archive. Raw: no tar extensions, so an entry is exactly what its own header says. With seeking: parts left on
/// disk are not read twice.
fn entries<'a, 'b>(
    path: &Path,
    archive: &'a mut OpenArchive<'b>,
) -> Result<tar::Entries<'a, BufReader<&'b File>>, BundleError> {
    let entries = archive.entries_with_seek().map_err(damaged(path))?;
    Ok(entries.raw(true))
}

/// Takes the first entry, the manifest, and the second, if it is the signature. Returns the entry that was taken and is neither.
fn take_head<'a, 'b>(
    path: &Path,
    entries: &mut tar::Entries<'a, BufReader<&'b File>>,
) -> Result<(BundleHead, Option<Entry<'a, 'b>>), BundleError> {
    let not_a_bundle = BundleError::NotABundle {
        path: path.into(),
        why: "its first entry is not manifest.json",
    };
    let Some(Ok(mut first)) = entries.next() else {
        return Err(not_a_bundle);
    };
    if name_of(&first).as_deref() != Some(MANIFEST_FILE) {
        return Err(not_a_bundle);
    }
    let manifest_bytes = read_entry(path, "manifest", &mut first, MAX_MANIFEST)?;
    let mut second = entries.next().transpose().map_err(damaged(path))?;
    let signature = match &mut second {
        Some(entry) if name_of(entry).as_deref() == Some(SIGNATURE_FILE) => {
            Some(read_entry(path, "signature", entry, MAX_SIGNATURE)?)
        }
        _ => None,
    };
    let head = BundleHead::from_bytes(path, manifest_bytes, signature.as_deref())?;
    Ok((head, second.filter(|_| signature.is_none())))
}

/// Reads manifest and signature and, if `admit` accepts them, the whole file; every other entry must be a part that the manifest names.
pub(super) fn read(
    path: &Path,
    admit: impl FnOnce(&BundleHead) -> Result<(), BundleError>,
) -> Result<Files, BundleError> {
    let file = open_file(path).map_err(reading(path))?;
    let length = file.metadata().map_err(reading(path))?.len();
    let mut archive = OpenArchive::new(BufReader::new(&file));
    let mut entries = entries(path, &mut archive)?;
    let (head, next) = take_head(path, &mut entries)?;
    admit(&head)?;
    let manifest = head.manifest(path)?;
    let mut parts = BTreeMap::new();
    for entry in next.map(Ok).into_iter().chain(entries) {
        let mut entry = entry.map_err(damaged(path))?;
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
        // Seeking does not notice a truncated file, so check that the last block of the part
        // exists.
        let offset = entry.raw_file_position();
        let blocks = info.bytes.next_multiple_of(BLOCK as u64);
        if offset.saturating_add(blocks) > length {
            return Err(ends_within(path, part));
        }
        let found = if Part::stays_on_disk(part, info.bytes) {
            Part::OnDisk(FileRange {
                file: file.try_clone().map_err(reading(path))?,
                offset,
                bytes: info.bytes,
            })
        } else {
            Part::InMemory(read_entry(path, part, &mut entry, info.bytes)?)
        };
        parts.insert(part.clone(), found);
    }
    Ok(Files {
        head,
        manifest,
        parts,
    })
}

/// The name of an entry that is an ordinary file, without the `./` that `tar` may add.
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
        return Err(ends_within(path, part));
    }
    Ok(bytes)
}

fn ends_within(path: &Path, part: &str) -> BundleError {
    BundleError::Archive {
        path: path.into(),
        why: format!("it ends within its {part}"),
    }
}

/// Writes a new file beside `path` and renames it over the old one.
pub(super) fn write(path: &Path, files: &[(&str, Content<'_>)]) -> Result<(), BundleError> {
    let failed = |source: io::Error| BundleError::Write {
        path: path.into(),
        source,
    };
    let parent = parent_of(path).map_err(failed)?;
    let fresh = sibling(path, "new").map_err(failed)?;
    if let Err(e) =
        write_file(&fresh, |out| pack(files, out)).and_then(|()| fs::rename(&fresh, path))
    {
        // Report the first error, not one of the cleanup.
        let _ = fs::remove_file(&fresh);
        return Err(failed(e));
    }
    sync_folder(&parent).map_err(failed)
}

/// Packs the files into a tar without times, owners or modes of this machine, so that equal
/// bundles are equal files.
fn pack(files: &[(&str, Content<'_>)], out: &mut impl Write) -> io::Result<()> {
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(content.len());
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        out.write_all(header.as_bytes())?;
        content.write_to(out)?;
        out.write_all(&[0; BLOCK][..padding(content.len())])?;
    }
    // Every tar ends with two empty blocks.
    out.write_all(&[0; 2 * BLOCK])
}

/// The size of a tar block in bytes.
const BLOCK: usize = 512;

/// The number of zero bytes that fill up the last block of an entry.
fn padding(bytes: u64) -> usize {
    (bytes.next_multiple_of(BLOCK as u64) - bytes) as usize
}
