//! Photos of the catalogue, to compare a sighting with.

use flukewatch_common::catalogue::Catalogue;
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

const MAX_PHOTO_BYTES: u64 = 32 << 20;

/// Why the photos cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CataloguePhotosError {
    /// The folder does not exist or cannot be read.
    #[error("cannot read the folder of catalogue photos {folder}: {source}")]
    Folder {
        /// Path of the folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A photo file and its content type.
pub(crate) struct Photo {
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// The photos that a bundle's catalogue names, and no other file.
#[derive(Debug)]
pub(crate) struct CataloguePhotos {
    folder: PathBuf,
    names: BTreeSet<String>,
}

impl CataloguePhotos {
    /// The photos of `catalogue` in `folder`. A name that leads out of the folder is skipped.
    pub(crate) fn open(catalogue: &Catalogue, folder: &Path) -> Result<Self, CataloguePhotosError> {
        let failed = |source| CataloguePhotosError::Folder {
            folder: folder.to_owned(),
            source,
        };
        let root = folder.canonicalize().map_err(failed)?;
        if !root.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        let names = catalogue
            .entries()
            .iter()
            .map(|e| e.photo.clone())
            .filter(|name| stays_inside(name));
        Ok(Self {
            names: names.collect(),
            folder: root,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The URL path of a photo; `None` if the catalogue does not name it.
    pub(crate) fn url_path(&self, name: &str) -> Option<String> {
        self.names
            .contains(name)
            .then(|| format!("/photos/{}", percent_encode(name)))
    }

    /// Reads a photo; `None` for any name that is not in the catalogue, and for files that are not
    /// photos.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Photo>> {
        if !self.names.contains(name) {
            return Ok(None);
        }
        // A symbolic link may lead out of the folder; only files inside are served.
        let file = match self.folder.join(name).canonicalize() {
            Ok(file) if file.starts_with(&self.folder) => file,
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if std::fs::metadata(&file)?.len() > MAX_PHOTO_BYTES {
            return Ok(None);
        }
        let bytes = std::fs::read(file)?;
        let media_type = match bytes.as_slice() {
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            _ => return Ok(None),
        };
        Ok(Some(Photo { media_type, bytes }))
    }
}

fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
}

/// Percent-encodes a name for use in a URL path; `/` stays.
fn percent_encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::catalogue::Enrolled;
    use flukewatch_common::embedding::Embedding;

    fn catalogue(photos: &[&str]) -> Catalogue {
        let mut catalogue = Catalogue::new(2);
        for photo in photos {
            let entry = Enrolled {
                whale: "W".into(),
                photo: (*photo).into(),
                source: "test".into(),
                ..Enrolled::default()
            };
            catalogue
                .enrol(entry, &Embedding::normalised(vec![1.0, 0.0]).unwrap())
                .unwrap();
        }
        catalogue
    }

    #[test]
    fn only_photos_of_the_catalogue_are_served() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("photos");
        std::fs::create_dir_all(inside.join("HW 1")).unwrap();
        std::fs::write(inside.join("HW 1/a#.jpg"), [0xff, 0xd8, 0xff, 0]).unwrap();
        std::fs::write(inside.join("b.jpg"), b"root:x:0:0").unwrap();
        std::fs::write(inside.join("other.jpg"), [0xff, 0xd8, 0xff, 0]).unwrap();
        std::fs::write(folder.path().join("secret.jpg"), [0xff, 0xd8, 0xff, 0]).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(folder.path().join("secret.jpg"), inside.join("link.jpg"))
            .unwrap();
        let names = [
            "HW 1/a#.jpg",
            "b.jpg",
            "link.jpg",
            "../secret.jpg",
            "/etc/passwd",
            "gone.jpg",
        ];
        let photos = CataloguePhotos::open(&catalogue(&names), &inside).unwrap();
        assert_eq!(photos.len(), 4, "names that lead out are skipped");
        assert_eq!(
            photos.read("HW 1/a#.jpg").unwrap().unwrap().media_type,
            "image/jpeg"
        );
        assert_eq!(
            photos.url_path("HW 1/a#.jpg").unwrap(),
            "/photos/HW%201/a%23.jpg"
        );
        for name in [
            "b.jpg",
            "link.jpg",
            "../secret.jpg",
            "/etc/passwd",
            "gone.jpg",
            "other.jpg",
            "",
        ] {
            assert!(photos.read(name).unwrap().is_none(), "{name}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let error =
            CataloguePhotos::open(&catalogue(&[]), Path::new("no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"));
    }
}
