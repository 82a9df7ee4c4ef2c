//! Photos of the catalogue, to compare a sighting with.

use super::Pages;
use super::error::PageError;
use axum::extract::{Path as Asked, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use flukewatch_common::catalogue::Catalogue;
use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The largest photo that is served, in bytes.
const LARGEST: u64 = 32 << 20;

/// Why the photos cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PhotosError {
    /// The folder is not there.
    #[error("the folder of catalogue photos {folder} cannot be read: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// The photos that a bundle's catalogue names, and no other file.
#[derive(Debug)]
pub struct Photos {
    folder: PathBuf,
    names: BTreeSet<String>,
}

impl Photos {
    /// The photos of `catalogue` in `folder`. A name that leads out of the folder is left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(catalogue: &Catalogue, folder: &Path) -> Result<Self, PhotosError> {
        let failed = |source| PhotosError::Folder {
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

    /// How many photos the catalogue names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Where the pages serve a photo; `None` where the catalogue does not name it.
    pub fn address(&self, name: &str) -> Option<String> {
        self.names
            .contains(name)
            .then(|| format!("/photos/{}", encoded(name)))
    }

    /// Reads a photo and says what it is; `None` for any name that the catalogue does not hold, and for files that are no photo.
    fn read(&self, name: &str) -> io::Result<Option<(&'static str, Vec<u8>)>> {
        if !self.names.contains(name) {
            return Ok(None);
        }
        // A link in the folder may point anywhere; what is served must lie inside.
        let file = match self.folder.join(name).canonicalize() {
            Ok(file) if file.starts_with(&self.folder) => file,
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if std::fs::metadata(&file)?.len() > LARGEST {
            return Ok(None);
        }
        let bytes = std::fs::read(file)?;
        let kind = match bytes.as_slice() {
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            _ => return Ok(None),
        };
        Ok(Some((kind, bytes)))
    }
}

fn stays_inside(name: &str) -> bool {
    !name.is_empty()
        && Path::new(name)
            .components()
            .all(|c| matches!(c, Component::Normal(_)))
}

/// Percent-encodes a name for use in an address; `/` stays.
fn encoded(name: &str) -> String {
    let mut address = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            address.push(char::from(byte));
        } else {
            address.push_str(&format!("%{byte:02X}"));
        }
    }
    address
}

/// `GET /photos/{name}`
pub(super) async fn photo(
    State(pages): State<Pages>,
    Asked(name): Asked<String>,
) -> Result<Response, PageError> {
    let photos = pages.photos.ok_or(PageError::NotFound)?;
    let read = tokio::task::spawn_blocking(move || photos.read(&name)).await?;
    match read {
        Ok(Some((kind, bytes))) => {
            let headers = [
                (header::CONTENT_TYPE, kind),
                (header::CACHE_CONTROL, "private, max-age=3600"),
            ];
            Ok((headers, bytes).into_response())
        }
        Ok(None) => Err(PageError::NotFound),
        Err(error) => {
            tracing::warn!(%error, "a catalogue photo cannot be read");
            Err(PageError::NotFound)
        }
    }
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
            };
            catalogue
                .enrol(entry, &Embedding::normalised(vec![1.0, 0.0]).unwrap())
                .unwrap();
        }
        catalogue
    }

    #[test]
    fn only_photos_of_the_catalogue_are_read() {
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
        let photos = Photos::open(&catalogue(&names), &inside).unwrap();
        assert_eq!(photos.len(), 4, "names that lead out are left out");
        assert_eq!(photos.read("HW 1/a#.jpg").unwrap().unwrap().0, "image/jpeg");
        assert_eq!(
            photos.address("HW 1/a#.jpg").unwrap(),
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
    fn a_missing_folder_is_named() {
        let error = Photos::open(&catalogue(&[]), Path::new("no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("no/such/folder"));
    }
}
