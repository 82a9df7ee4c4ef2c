//! Which files of a folder are photos, and why the others are skipped.

use crate::file_kind::FileKind;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;

/// Extensions of photos, whose files are errors rather than skipped if their content is not one.
const PHOTO_EXTENSIONS: [&str; 9] = [
    "jpg", "jpeg", "jpe", "jfif", "jif", "png", "tif", "tiff", "webp",
];
/// Extensions of raw files, some of which start as a TIFF does.
const RAW_EXTENSIONS: [&str; 18] = [
    "3fr", "arw", "cr2", "cr3", "crw", "dng", "fff", "iiq", "mef", "mos", "mrw", "nef", "nrw",
    "orf", "pef", "raf", "rw2", "srw",
];
/// Files and folders that operating systems, network storage and photo programs add.
const SYSTEM_NAMES: [&str; 14] = [
    "@eadir",
    "@syno",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "picasa.ini",
    "system volume information",
    "thumbs.db",
    "thumbnails",
];

/// Why a file is skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// Its kind is not read.
    Kind(FileKind),
    /// A link to a file that does not exist.
    DeadLink,
    /// A photo outside a whale's folder.
    Loose,
    /// A folder where only files are read.
    Folder,
    /// A folder in too many others, or a link to a folder above.
    TooDeep,
    /// Neither a photo nor anything alike.
    NoPhoto,
    /// Hidden, or made by the system: see [`is_hidden`].
    Hidden,
}

impl SkipReason {
    fn plural(self, count: usize) -> String {
        let (one, more) = match self {
            Self::Kind(kind) => {
                let one = kind.to_string();
                return match (kind, count) {
                    (_, 1) => one,
                    (FileKind::Placeholder, _) => "placeholders of git-annex or Git LFS".into(),
                    _ => format!("{one}s"),
                };
            }
            Self::DeadLink => ("link to a missing file", "links to missing files"),
            Self::Loose => (
                "photo outside a whale's folder",
                "photos outside a whale's folder",
            ),
            Self::Folder => ("folder", "folders"),
            Self::TooDeep => ("folder too deep", "folders too deep"),
            Self::NoPhoto => ("other file", "other files"),
            Self::Hidden => ("hidden or system file", "hidden or system files"),
        };
        if count == 1 { one } else { more }.into()
    }

    fn advice(self) -> Option<&'static str> {
        match self {
            Self::Kind(kind) => kind.advice(),
            Self::DeadLink => Some("restore what it points to"),
            Self::Loose => Some("move it into the folder of its whale"),
            Self::Folder => Some("give its path to replay it"),
            Self::TooDeep | Self::NoPhoto | Self::Hidden => None,
        }
    }
}

/// The files that were skipped: for each reason how many, and the first.
///
/// Displayed as one line, e.g. `skipped 3 files: 2 HEIC photos (HW2/IMG_1.HEIC; export it as JPEG), 1 other file (notes.txt)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedFiles(BTreeMap<SkipReason, (usize, String)>);

impl SkippedFiles {
    /// Counts a file of this name.
    pub fn add(&mut self, reason: SkipReason, name: impl Into<String>) {
        self.0.entry(reason).or_insert_with(|| (0, name.into())).0 += 1;
    }

    /// The number of files.
    pub fn count(&self) -> usize {
        self.0.values().map(|(count, _)| count).sum()
    }

    /// The number of files that were skipped for this reason.
    pub fn count_of(&self, reason: SkipReason) -> usize {
        self.0.get(&reason).map_or(0, |(count, _)| *count)
    }

    /// Whether no file was skipped.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for SkippedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count();
        write!(
            f,
            "skipped {count} file{}",
            if count == 1 { "" } else { "s" }
        )?;
        for (i, (reason, (count, example))) in self.0.iter().enumerate() {
            let separator = if i == 0 { ':' } else { ',' };
            let what = reason.plural(*count);
            let example = if *count > 1 {
                format!("e.g. {example}")
            } else {
                example.clone()
            };
            let advice = reason.advice().map_or(String::new(), |a| format!("; {a}"));
            write!(f, "{separator} {count} {what} ({example}{advice})")?;
        }
        Ok(())
    }
}

/// Whether the file or folder is hidden or made by the system, and nothing in it is a photo: its name starts with a dot
/// (also the `._` files of macOS and `.thumbnails`), or is that of a recycle bin, thumbnails or an index.
pub fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') || SYSTEM_NAMES.contains(&&*name.to_lowercase())
}

/// Whether the file is a photo, by its content; else why it is skipped. A file with the extension of a photo and
/// unknown content counts as a photo, so that it is reported as damaged and not skipped.
///
/// # Errors
/// If the file exists but cannot be read.
pub fn skip_reason(path: &Path) -> std::io::Result<Option<SkipReason>> {
    if is_hidden(path) {
        return Ok(Some(SkipReason::Hidden));
    }
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && path.is_symlink() => {
            return Ok(Some(SkipReason::DeadLink));
        }
        Err(e) => return Err(e),
    };
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let extension = extension.to_ascii_lowercase();
    let raw = RAW_EXTENSIONS.contains(&&*extension);
    Ok(match FileKind::read(&mut file)? {
        FileKind::Tiff | FileKind::Unknown if raw => Some(SkipReason::Kind(FileKind::Raw)),
        FileKind::Unknown if ["heic", "heif", "hif"].contains(&&*extension) => {
            Some(SkipReason::Kind(FileKind::Heic))
        }
        FileKind::Unknown if PHOTO_EXTENSIONS.contains(&&*extension) => None,
        FileKind::Unknown => Some(SkipReason::NoPhoto),
        kind if kind.is_photo() => None,
        kind => Some(SkipReason::Kind(kind)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_and_a_photo_s_extension_is_never_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let reason = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            skip_reason(&path).unwrap()
        };
        let (jpeg, tiff) = (b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0\0\0");
        for name in ["a.jpg", "a.jpe", "a", "a.dat", "a.NEF", "b.heic"] {
            assert_eq!(reason(name, jpeg), None, "{name}");
        }
        assert_eq!(reason("a.tif", tiff), None);
        let raw = Some(SkipReason::Kind(FileKind::Raw));
        assert_eq!(reason("a.NEF", tiff), raw);
        assert_eq!(reason("a.CR3", b"?"), raw);
        assert_eq!(
            reason("a.HEIC", b"?"),
            Some(SkipReason::Kind(FileKind::Heic))
        );
        assert_eq!(
            reason("phone.jpg", b"\0\0\0\x18ftypheic"),
            Some(SkipReason::Kind(FileKind::Heic))
        );
        for name in ["empty.jpg", "empty.PNG", "empty.webp"] {
            assert_eq!(reason(name, b""), None, "{name}");
        }
        assert_eq!(reason("notes.txt", b"x"), Some(SkipReason::NoPhoto));
        for name in ["._p.jpg", ".DS_Store", "Thumbs.db", "desktop.ini"] {
            assert_eq!(reason(name, jpeg), Some(SkipReason::Hidden), "{name}");
        }
        let link = folder.path().join("dead.jpg");
        std::os::unix::fs::symlink("nowhere.jpg", &link).unwrap();
        assert_eq!(skip_reason(&link).unwrap(), Some(SkipReason::DeadLink));
        assert!(skip_reason(&folder.path().join("nowhere.jpg")).is_err());
    }

    #[test]
    fn what_is_skipped_is_one_line() {
        let mut skipped = SkippedFiles::default();
        assert!(skipped.is_empty());
        skipped.add(SkipReason::NoPhoto, "notes.txt");
        skipped.add(SkipReason::Kind(FileKind::Heic), "HW2/1.HEIC");
        skipped.add(SkipReason::Kind(FileKind::Heic), "HW2/2.HEIC");
        assert_eq!(
            skipped.to_string(),
            "skipped 3 files: 2 HEIC photos (e.g. HW2/1.HEIC; export it as JPEG), 1 other file (notes.txt)"
        );
        assert_eq!(skipped.count_of(SkipReason::Loose), 0);
    }
}
