//! A folder with one folder of photos per whale.

use crate::{Dataset, DatasetError, LabelledPhoto, NEW_WHALE};
use flukewatch_common::photo_files::{SkipReason, SkippedFiles, is_hidden, skip_reason};
use flukewatch_common::sha256::sha256_hex;
use std::path::{Path, PathBuf};

/// How many folders deep photos may be, so that a link to a folder above ends.
const MAX_DEPTH: usize = 8;

pub(super) fn read(path: &Path) -> Result<Dataset, DatasetError> {
    let mut dataset = Dataset::default();
    for child in children(path)? {
        let name = name_of(&child);
        if !child.is_dir() {
            let reason = skip_reason(&child).map_err(|e| error(&child, e))?;
            dataset
                .skipped
                .add(reason.unwrap_or(SkipReason::Loose), name);
        } else if is_hidden(&child) {
            dataset.skipped.add(SkipReason::Hidden, name);
        } else {
            WhaleFolder {
                whale: (name != NEW_WHALE).then(|| name.clone()),
                photos: &mut dataset.photos,
                skipped: &mut dataset.skipped,
            }
            .read(&child, &name, 1)?;
        }
    }
    Ok(dataset)
}

/// All photos of a folder and those in it, without labels.
pub(super) fn read_unlabelled(path: &Path) -> Result<Dataset, DatasetError> {
    let mut dataset = Dataset::default();
    WhaleFolder {
        whale: None,
        photos: &mut dataset.photos,
        skipped: &mut dataset.skipped,
    }
    .read(path, "", 0)?;
    Ok(dataset)
}

/// The SHA-256 of the names and whales of photos, in their order.
pub(super) fn sha256(photos: &[LabelledPhoto]) -> String {
    let lines = photos.iter().map(|photo| {
        let whale = photo.whale.as_deref().unwrap_or(NEW_WHALE);
        format!("{}\t{whale}\n", photo.name)
    });
    sha256_hex(lines.collect::<String>().as_bytes())
}

/// The folder of a whale and what is in it.
struct WhaleFolder<'a> {
    whale: Option<String>,
    photos: &'a mut Vec<LabelledPhoto>,
    skipped: &'a mut SkippedFiles,
}

impl WhaleFolder<'_> {
    /// Reads a folder and those in it; `name` is its path from the folder of all whales.
    fn read(&mut self, folder: &Path, name: &str, depth: usize) -> Result<(), DatasetError> {
        for path in children(folder)? {
            let name = match name {
                "" => name_of(&path),
                name => format!("{name}/{}", name_of(&path)),
            };
            if path.is_dir() {
                if is_hidden(&path) {
                    self.skipped.add(SkipReason::Hidden, name);
                } else if depth < MAX_DEPTH {
                    self.read(&path, &name, depth + 1)?;
                } else {
                    self.skipped.add(SkipReason::TooDeep, name);
                }
                continue;
            }
            match skip_reason(&path).map_err(|e| error(&path, e))? {
                Some(reason) => self.skipped.add(reason, name),
                None => self.photos.push(LabelledPhoto {
                    name,
                    whale: self.whale.clone(),
                    region: None,
                    date: None,
                    encounter: None,
                    path,
                }),
            }
        }
        Ok(())
    }
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let mut paths = std::fs::read_dir(folder)
        .map_err(|e| error(folder, e))?
        .map(|entry| entry.map(|e| e.path()).map_err(|e| error(folder, e)))
        .collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn error(path: &Path, source: std::io::Error) -> DatasetError {
    DatasetError::File {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::file_kind::FileKind;

    const JPEG: &[u8] = b"\xff\xd8\xff\xe0";

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, content) in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // Equal photos would count once.
            std::fs::write(path, [content, file.as_bytes()].concat()).unwrap();
        }
        dir
    }

    fn found(dataset: &Dataset) -> Vec<(&str, Option<&str>)> {
        let photos = dataset.photos.iter();
        photos
            .map(|p| (p.name.as_str(), p.whale.as_deref()))
            .collect()
    }

    #[test]
    fn folders_within_a_whale_s_folder_are_read() {
        let dir = folder(&[
            ("HW4/2019/a.jpg", JPEG),
            ("HW4/2020/May/b.jpe", JPEG),
            ("HW4/c", JPEG),
        ]);
        let data = Dataset::open(dir.path(), None).unwrap();
        assert_eq!(
            found(&data),
            ["HW4/2019/a.jpg", "HW4/2020/May/b.jpe", "HW4/c"].map(|name| (name, Some("HW4")))
        );
        assert!(data.skipped.is_empty());
    }

    #[test]
    fn what_is_skipped_is_counted() {
        let dir = folder(&[
            (".DS_Store", b"x"),
            (".thumbnails/HW1/a.jpg", JPEG),
            ("@eaDir/HW1/a.jpg", JPEG),
            ("__MACOSX/HW1/._a.jpg", b"x"),
            ("loose.jpg", JPEG),
            ("HW1/a.jpg", JPEG),
            ("HW1/._a.jpg", b"x"),
            ("HW1/@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", JPEG),
            ("HW1/Thumbs.db", b"x"),
            ("HW1/list.csv", b"x"),
            ("HW2/IMG_1.HEIC", b"\0\0\0\x18ftypheic"),
            ("HW2/IMG_2.jpg", b"\0\0\0\x18ftypheic"),
            ("HW5/annex.jpg", b"../../.git/annex/objects/aa/x.jpg"),
        ]);
        std::os::unix::fs::symlink("nowhere", dir.path().join("HW1/dead.jpg")).unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("HW1/.loop")).unwrap();
        let data = Dataset::open(dir.path(), None).unwrap();
        assert_eq!(found(&data), [("HW1/a.jpg", Some("HW1"))]);
        let count = |reason| data.skipped.count_of(reason);
        assert_eq!(count(SkipReason::Hidden), 8);
        assert_eq!(count(SkipReason::Loose), 1);
        assert_eq!(count(SkipReason::NoPhoto), 1);
        assert_eq!(count(SkipReason::DeadLink), 1);
        assert_eq!(count(SkipReason::Kind(FileKind::Heic)), 2);
        assert_eq!(count(SkipReason::Kind(FileKind::Placeholder)), 1);
        assert_eq!(data.skipped.count(), 14);
    }

    #[test]
    fn a_link_to_a_folder_above_comes_to_an_end() {
        let dir = folder(&[("HW1/a.jpg", JPEG)]);
        std::os::unix::fs::symlink(".", dir.path().join("HW1/again")).unwrap();
        let data = Dataset::open(dir.path(), None).unwrap();
        // The same file in each of them counts once.
        assert_eq!(data.photos.len(), 1);
        assert_eq!(data.skipped.count_of(SkipReason::TooDeep), 1);
    }

    #[test]
    fn without_photos_the_error_says_what_was_skipped() {
        let dir = folder(&[("HW1/IMG_1.HEIC", b"?"), ("loose.jpg", JPEG)]);
        let error = Dataset::open(dir.path(), None).unwrap_err();
        assert!(matches!(error, DatasetError::AllSkipped { .. }), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = Dataset::open(empty.path(), None).unwrap_err();
        assert!(matches!(error, DatasetError::Empty(_)), "{error}");
    }

    #[test]
    fn each_folder_is_a_whale() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "HW2/b.JPG",
            "HW1/a.png",
            "HW1/notes.txt",
            "new_whale/c.jpeg",
            "loose.jpg",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let data = Dataset::open(dir.path(), None).unwrap();
        let found: Vec<_> = data
            .photos
            .iter()
            .map(|p| (p.name.as_str(), p.whale.as_deref()))
            .collect();
        assert_eq!(
            found,
            [
                ("HW1/a.png", Some("HW1")),
                ("HW2/b.JPG", Some("HW2")),
                ("new_whale/c.jpeg", None)
            ]
        );
    }
}
