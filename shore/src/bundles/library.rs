//! The bundles that the station can offer.

use super::error::BundlesError;
use super::stored_bundle::StoredBundle;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::bundle::delivery::Delivery;
use flukewatch_common::bundle::{
    BundleError, BundleHead, BundleTrust, MANIFEST_FILE, SIGNATURE_FILE, Signature,
};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many bundles are kept that are not offered to any boat.
pub const KEPT_BUNDLES: usize = 4;

/// Where a bundle is put together.
const NEW: &str = ".new";
/// Where a bundle is deleted.
const OLD: &str = ".old";

/// Which bundles are added to the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Those that are signed.
    Required,
    /// All: for a lab.
    Optional,
}

/// The folder of bundles in a station's data folder. It is changed by who holds the
/// [`OffersLock`](super::OffersLock).
#[derive(Clone, Debug)]
pub struct Library {
    folder: PathBuf,
}

impl Library {
    /// That of a station's data folder.
    pub fn in_data(data: &Path) -> Self {
        Self {
            folder: data.join("bundles"),
        }
    }

    /// Copies the bundle at `path`, a folder or a `.flukebundle` file, once each part of it is verified. A copy
    /// that is there already, and intact, is used. Returns it with the bundle's signature.
    ///
    /// # Errors
    /// When the bundle cannot be used or copied.
    pub fn add(
        &self,
        path: &Path,
        signing: Signing,
        now: Timestamp,
    ) -> Result<(StoredBundle, Option<Signature>), BundlesError> {
        let head = BundleHead::read(path)?;
        head.check(path, &BundleTrust::Everyone)?;
        let signature = head.signature().cloned();
        if signature.is_none() && signing == Signing::Required {
            return Err(BundlesError::Unsigned(path.to_owned()));
        }
        let manifest = ContentId::of(head.manifest_bytes());
        let folder = self.folder_of(manifest);
        let stored = match StoredBundle::open(&folder, manifest) {
            Ok(stored) if stored.is_intact() => {
                set_signature(&folder, signature.as_ref())?;
                stored
            }
            Ok(_) | Err(_) => {
                self.remove(&folder)?;
                self.copy(path, head, &folder)?;
                StoredBundle::open(&folder, manifest)?
            }
        };
        note_use(&folder, now)?;
        Ok((stored, signature))
    }

    fn copy(&self, path: &Path, head: BundleHead, to: &Path) -> Result<(), BundlesError> {
        let manifest = head.manifest(path)?;
        let new = self.folder.join(NEW);
        let delivery = Delivery::begin(&new, head, &BundleTrust::Everyone)?;
        delivery.collect(path)?;
        if let Some(missing) = delivery.missing()?.first() {
            let mut parts = manifest.parts.iter();
            let altered = parts.find(|(_, info)| info.sha256 == missing.sha256);
            return Err(BundlesError::Bundle(BundleError::Altered {
                path: path.to_owned(),
                part: altered.map_or_else(String::new, |(part, _)| part.clone()),
            }));
        }
        delivery.assemble(to, &BundleTrust::Everyone)?;
        delivery.discard()?;
        Ok(())
    }

    /// The bundle with this manifest.
    ///
    /// # Errors
    /// When it is not there, or damaged.
    pub fn open(&self, manifest: ContentId) -> Result<StoredBundle, BundlesError> {
        StoredBundle::open(&self.folder_of(manifest), manifest)
    }

    /// Deletes bundles that are not in `offered`, except for the [`KEPT_BUNDLES`] that were used last, and what an
    /// interrupted command left behind.
    ///
    /// # Errors
    /// When the folder cannot be read or changed.
    pub fn prune(&self, offered: &BTreeSet<ContentId>) -> Result<(), BundlesError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(BundlesError::io("read", &self.folder))?,
        };
        for left in [NEW, OLD] {
            remove_folder(&self.folder.join(left))?;
        }
        let mut unused = vec![];
        for entry in entries {
            let entry = entry.map_err(BundlesError::io("read", &self.folder))?;
            let name = entry.file_name();
            let manifest: Option<ContentId> = name.to_str().and_then(|name| name.parse().ok());
            if let Some(manifest) = manifest
                && !offered.contains(&manifest)
            {
                let folder = entry.path();
                unused.push((last_use(&folder), folder));
            }
        }
        unused.sort();
        let kept = unused.len().saturating_sub(KEPT_BUNDLES);
        for (_, folder) in &unused[..kept] {
            self.remove(folder)?;
        }
        Ok(())
    }

    fn folder_of(&self, manifest: ContentId) -> PathBuf {
        self.folder.join(manifest.to_string())
    }

    /// Deletes a bundle. After a power cut it is there as a whole, or not at all.
    fn remove(&self, folder: &Path) -> Result<(), BundlesError> {
        let old = self.folder.join(OLD);
        remove_folder(&old)?;
        match fs::rename(folder, &old) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            renamed => {
                renamed.map_err(BundlesError::io("delete", folder))?;
                remove_folder(&old)
            }
        }
    }
}

/// The bundle may have been signed again, e.g. with a later expiry: its manifest stays the same.
fn set_signature(folder: &Path, signature: Option<&Signature>) -> Result<(), BundlesError> {
    let file = folder.join(SIGNATURE_FILE);
    match signature {
        Some(signature) => {
            let written = write_atomically(&file, &signature.to_bytes());
            written.map_err(BundlesError::io("write", &file))
        }
        None => match fs::remove_file(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(BundlesError::io("delete", &file)),
        },
    }
}

fn remove_folder(folder: &Path) -> Result<(), BundlesError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(BundlesError::io("delete", folder)),
    }
}

/// Notes when a bundle was used last, in the time of its manifest's file.
fn note_use(folder: &Path, now: Timestamp) -> Result<(), BundlesError> {
    let file = folder.join(MANIFEST_FILE);
    let at = UNIX_EPOCH + Duration::from_millis(now.0.max(0).unsigned_abs());
    File::open(&file)
        .and_then(|opened| opened.set_modified(at))
        .map_err(BundlesError::io("change the time of", &file))
}

fn last_use(folder: &Path) -> SystemTime {
    let manifest = fs::metadata(folder.join(MANIFEST_FILE));
    manifest
        .and_then(|metadata| metadata.modified())
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample_bundle::{bundle, sign};
    use tempfile::TempDir;

    /// A folder with the signed bundles `names`.
    fn bundles(names: &[&str]) -> (TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let saved = |name: &&str| {
            let path = folder.path().join(format!("{name}.flukebundle"));
            bundle(name).save(&path).unwrap();
            sign(&path, 1);
            path
        };
        let paths = names.iter().map(saved).collect();
        (folder, paths)
    }

    fn stored(library: &Library) -> BTreeSet<String> {
        let names = fs::read_dir(&library.folder).unwrap();
        names
            .map(|name| name.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn archive_and_folder_are_one_bundle_in_the_library() {
        let (folder, paths) = bundles(&["azores"]);
        let as_folder = folder.path().join("as-folder");
        bundle("azores").save(&as_folder).unwrap();
        sign(&as_folder, 2);
        let data = tempfile::tempdir().unwrap();
        let library = Library::in_data(data.path());
        let (added, signature) = library
            .add(&paths[0], Signing::Required, Timestamp(0))
            .unwrap();
        assert_eq!(signature.unwrap().version(), 1);
        let (again, signature) = library
            .add(&as_folder, Signing::Required, Timestamp(0))
            .unwrap();
        assert_eq!(signature.unwrap().version(), 2);
        assert_eq!(again, added);
        assert_eq!(library.open(added.manifest()).unwrap(), added);
        assert_eq!(added.name(), "azores");
        let name = added.manifest().to_string();
        assert_eq!(stored(&library), BTreeSet::from([name.clone()]));
        // It is a bundle itself, with the last signature.
        let copy = flukewatch_common::bundle::Bundle::open(&library.folder.join(name)).unwrap();
        assert_eq!(copy.manifest_sha256(), added.manifest().to_string());
        assert_eq!(copy.signature().unwrap().version(), 2);
        let contents: u64 = copy.manifest.parts.values().map(|part| part.bytes).sum();
        assert_eq!(added.bytes(), contents + u64::from(added.manifest_bytes()));
        for id in added.content_ids() {
            let content = added.content(id).unwrap();
            let read = content.read(0, u32::MAX).unwrap().unwrap();
            assert_eq!(ContentId::of(&read), id);
        }
        assert!(added.content(ContentId::of(b"other")).is_none());
    }

    #[test]
    fn only_intact_and_signed_bundles_are_added() {
        let (folder, _) = bundles(&[]);
        let path = folder.path().join("azores");
        bundle("azores").save(&path).unwrap();
        let data = tempfile::tempdir().unwrap();
        let library = Library::in_data(data.path());
        let add = |signing| library.add(&path, signing, Timestamp(0));
        let error = add(Signing::Required).unwrap_err();
        assert!(matches!(error, BundlesError::Unsigned(_)), "{error}");
        assert!(!library.folder.exists());
        let (_, signature) = add(Signing::Optional).unwrap();
        assert_eq!(signature, None);

        // A part or the manifest is changed after it was signed.
        sign(&path, 1);
        let other = tempfile::tempdir().unwrap();
        let library = Library::in_data(other.path());
        let add = || library.add(&path, Signing::Required, Timestamp(0));
        let card = path.join("CARD.md");
        let good = fs::read(&card).unwrap();
        fs::write(&card, good.to_ascii_uppercase()).unwrap();
        let error = add().unwrap_err();
        assert!(
            matches!(&error, BundlesError::Bundle(BundleError::Altered { part, .. }) if part == "card"),
            "{error}"
        );
        fs::write(&card, good).unwrap();
        let manifest = path.join(MANIFEST_FILE);
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.replace("azores", "madeira")).unwrap();
        let error = add().unwrap_err();
        assert!(
            matches!(error, BundlesError::Bundle(BundleError::Untrusted { .. })),
            "{error}"
        );
        fs::write(&manifest, text).unwrap();
        add().unwrap();
    }

    #[test]
    fn a_damaged_copy_is_replaced() {
        let (_folder, paths) = bundles(&["azores"]);
        let data = tempfile::tempdir().unwrap();
        let library = Library::in_data(data.path());
        let add = || library.add(&paths[0], Signing::Required, Timestamp(0));
        let (added, _) = add().unwrap();
        let folder = library.folder_of(added.manifest());
        for damage in ["model.onnx", MANIFEST_FILE] {
            fs::write(folder.join(damage), b"?").unwrap();
            assert!(!library.open(added.manifest()).is_ok_and(|b| b.is_intact()));
            assert_eq!(add().unwrap().0, added);
            assert!(library.open(added.manifest()).unwrap().is_intact());
        }
    }

    #[test]
    fn offered_bundles_and_those_used_last_are_kept() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        let (_folder, paths) = bundles(&names);
        let data = tempfile::tempdir().unwrap();
        let library = Library::in_data(data.path());
        library.prune(&BTreeSet::new()).unwrap();
        let add = |index: usize, at: i64| {
            let at = Timestamp(1_700_000_000_000 + at);
            let added = library.add(&paths[index], Signing::Required, at);
            added.unwrap().0.manifest()
        };
        let ids: Vec<ContentId> = (0..names.len()).map(|i| add(i, i as i64)).collect();
        // Used again.
        add(1, 100);
        // Left by a command that was killed.
        fs::create_dir(library.folder.join(NEW)).unwrap();
        let offered = BTreeSet::from([ids[0]]);
        library.prune(&offered).unwrap();
        let kept = [0, 1, 4, 5, 6].map(|i| ids[i].to_string());
        assert_eq!(stored(&library), BTreeSet::from(kept));
    }
}
