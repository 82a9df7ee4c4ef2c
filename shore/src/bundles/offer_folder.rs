//! The files of offers.

use super::error::BundlesError;
use super::offer::Offer;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::sighting::BoatId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use uuid::Uuid;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024;

const LOCK_FILE: &str = "lock";
const EXTENSION: &str = "json";

/// The folder of offers in a station's data folder, with one file per boat. Several processes may use it
/// at a time.
#[derive(Clone, Debug)]
pub struct OfferFolder {
    data: PathBuf,
    folder: PathBuf,
}

/// The right to change offers and the library, until it is dropped.
#[derive(Debug)]
pub struct OffersLock {
    _file: File,
}

/// Changes when an offer is written or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<PathBuf, (SystemTime, u64, u64)>);

impl OfferFolder {
    /// That of a station's data folder.
    pub fn in_data(data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            folder: data.join("offers"),
        }
    }

    /// Blocks until no other process changes offers.
    ///
    /// # Errors
    /// When the data folder does not exist, or cannot be written.
    pub fn lock(&self) -> Result<OffersLock, BundlesError> {
        let file = self.lock_file()?;
        let locked = file.lock();
        locked.map_err(BundlesError::io("lock", &self.folder.join(LOCK_FILE)))?;
        Ok(OffersLock { _file: file })
    }

    /// The same without waiting; `None` where another process changes offers.
    ///
    /// # Errors
    /// As [`OfferFolder::lock`].
    pub fn try_lock(&self) -> Result<Option<OffersLock>, BundlesError> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(OffersLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(BundlesError::io(
                "lock",
                &self.folder.join(LOCK_FILE),
            )(error)),
        }
    }

    fn lock_file(&self) -> Result<File, BundlesError> {
        if !self.data.is_dir() {
            return Err(BundlesError::NoData(self.data.clone()));
        }
        let folder = &self.folder;
        fs::create_dir_all(folder).map_err(BundlesError::io("create", folder))?;
        let file = folder.join(LOCK_FILE);
        File::create(&file).map_err(BundlesError::io("create", &file))
    }

    /// Makes an offer, in place of an earlier one to the same boat.
    ///
    /// # Errors
    /// When the file cannot be written; the earlier offer then stands.
    pub fn write(&self, _lock: &OffersLock, offer: &Offer) -> Result<(), BundlesError> {
        let file = self.file_of(&offer.boat);
        write_atomically(&file, &offer.to_bytes()).map_err(BundlesError::io("write", &file))
    }

    /// Removes the offer to `boat`, also a damaged one.
    ///
    /// # Errors
    /// [`BundlesError::NotOffered`] where nothing is offered, or when the file cannot be removed.
    pub fn remove(&self, _lock: &OffersLock, boat: &BoatId) -> Result<(), BundlesError> {
        let file = self.file_of(boat);
        match fs::remove_file(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(BundlesError::NotOffered(boat.clone()))
            }
            removed => removed.map_err(BundlesError::io("delete", &file)),
        }
    }

    /// Removes the offer `id` to `boat`, unless another one has replaced it.
    ///
    /// # Errors
    /// When the file cannot be read or removed.
    pub(super) fn end(
        &self,
        lock: &OffersLock,
        boat: &BoatId,
        id: Uuid,
    ) -> Result<(), BundlesError> {
        match self.read(&self.file_of(boat), boat)? {
            Some(offer) if offer.id == id => self.remove(lock, boat),
            _ => Ok(()),
        }
    }

    /// All offers, by boat; an error for each one that cannot be read.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Result<Offer, BundlesError>>, BundlesError> {
        let mut offers = vec![];
        for file in self.files()? {
            let Some(boat) = boat_of(&file) else { continue };
            // Absent: removed meanwhile.
            offers.extend(self.read(&file, &boat).transpose());
        }
        Ok(offers)
    }

    /// The manifests of all bundles that are offered.
    ///
    /// # Errors
    /// When one of the offers cannot be read.
    pub fn manifests(&self) -> Result<BTreeSet<ContentId>, BundlesError> {
        let offers = self.all()?.into_iter();
        offers.map(|offer| Ok(offer?.manifest)).collect()
    }

    /// Identifies the state of the files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn fingerprint(&self) -> Result<Fingerprint, BundlesError> {
        let mut versions = BTreeMap::new();
        for file in self.files()? {
            match fs::metadata(&file).and_then(|metadata| version(&metadata)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                found => {
                    let version = found.map_err(BundlesError::io("read", &file))?;
                    versions.insert(file, version);
                }
            }
        }
        Ok(Fingerprint(versions))
    }

    /// The files of offers, by name.
    fn files(&self) -> Result<Vec<PathBuf>, BundlesError> {
        let read_error = || BundlesError::io("read", &self.folder);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(read_error())?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>().map_err(read_error())?;
        paths.retain(|path| boat_of(path).is_some());
        paths.sort();
        Ok(paths)
    }

    fn file_of(&self, boat: &BoatId) -> PathBuf {
        self.folder.join(format!("{boat}.{EXTENSION}"))
    }

    fn read(&self, file: &Path, boat: &BoatId) -> Result<Option<Offer>, BundlesError> {
        match read_bounded(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => {
                let bytes = read.map_err(BundlesError::io("read", file))?;
                Offer::from_bytes(file, boat, &bytes).map(Some)
            }
        }
    }
}

fn read_bounded(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    let opened = File::open(file)?;
    opened.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The boat whose offer a file is; `None` for other files, e.g. one that is being written.
fn boat_of(file: &Path) -> Option<BoatId> {
    let name = file.file_name()?.to_str()?;
    let boat = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    boat.parse().ok()
}

fn version(metadata: &fs::Metadata) -> io::Result<(SystemTime, u64, u64)> {
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Ok((metadata.modified()?, metadata.len(), inode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::bundle::{Signature, SignatureTerms};
    use flukewatch_common::clock::Timestamp;
    use flukewatch_trust::SigningKey;
    use tempfile::TempDir;

    fn folder() -> (TempDir, OfferFolder) {
        let data = tempfile::tempdir().unwrap();
        let folder = OfferFolder::in_data(data.path());
        (data, folder)
    }

    fn offer(boat: &str, number: u128) -> Offer {
        let terms = SignatureTerms {
            version: 3,
            expires: Timestamp(4_102_444_800_000),
        };
        let signature = Signature::new(&SigningKey::from_seed([1; 32]), b"manifest", terms);
        Offer {
            boat: boat.parse().unwrap(),
            id: Uuid::from_u128(number),
            manifest: ContentId::of(b"manifest"),
            offered_at: Timestamp(1_795_450_800_123),
            signature: Some(signature.unwrap()),
        }
    }

    fn all(folder: &OfferFolder) -> Vec<Offer> {
        let offers = folder.all().unwrap();
        offers.into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn an_offer_stands_until_it_is_replaced_or_removed() {
        let (_data, folder) = folder();
        assert_eq!(all(&folder), []);
        let empty = folder.fingerprint().unwrap();
        let lock = folder.lock().unwrap();
        let unsigned = Offer {
            signature: None,
            ..offer("balaena", 1)
        };
        folder.write(&lock, &unsigned).unwrap();
        folder.write(&lock, &offer("mysticeta", 2)).unwrap();
        assert_eq!(all(&folder), [unsigned, offer("mysticeta", 2)]);
        let two = folder.fingerprint().unwrap();
        assert_ne!(two, empty);
        folder.write(&lock, &offer("balaena", 3)).unwrap();
        assert_ne!(folder.fingerprint().unwrap(), two);
        assert_eq!(all(&folder), [offer("balaena", 3), offer("mysticeta", 2)]);
        folder.remove(&lock, &offer("mysticeta", 2).boat).unwrap();
        // Not the offer that replaced it.
        let boat = offer("balaena", 3).boat;
        folder.end(&lock, &boat, Uuid::from_u128(1)).unwrap();
        assert_eq!(all(&folder), [offer("balaena", 3)]);
        folder.end(&lock, &boat, Uuid::from_u128(3)).unwrap();
        assert_eq!(all(&folder), []);
        let error = folder.remove(&lock, &boat).unwrap_err();
        assert!(matches!(error, BundlesError::NotOffered(b) if b == boat));
        assert_eq!(folder.fingerprint().unwrap(), empty);
    }

    #[test]
    fn one_process_at_a_time_changes_offers() {
        let (_data, folder) = folder();
        let lock = folder.lock().unwrap();
        assert!(folder.try_lock().unwrap().is_none());
        drop(lock);
        assert!(folder.try_lock().unwrap().is_some());
        let nowhere = OfferFolder::in_data(Path::new("/nonexistent/station"));
        let error = nowhere.lock().unwrap_err();
        assert!(matches!(error, BundlesError::NoData(_)), "{error}");
    }

    #[test]
    fn a_damaged_offer_names_its_file_and_hides_no_other() {
        let (_data, folder) = folder();
        let lock = folder.lock().unwrap();
        folder.write(&lock, &offer("mysticeta", 2)).unwrap();
        let good = String::from_utf8(offer("balaena", 1).to_bytes()).unwrap();
        let file = folder.folder.join("balaena.json");
        for bad in [
            String::new(),
            "null".into(),
            "[".repeat(20_000),
            good[..good.len() - 9].to_owned(),
            good.replace("balaena", "mysticeta"),
            good.replace("balaena", "../balaena"),
            good.replace("2026-", "2026/"),
            good.replace("ed25519:", "rsa:"),
            good.replace(&ContentId::of(b"manifest").to_string(), "../secret"),
            good.replace("\"offer\"", "\"order\""),
        ] {
            fs::write(&file, &bad).unwrap();
            let offers = folder.all().unwrap();
            let [Err(error), Ok(other)] = &offers[..] else {
                panic!("{bad}: {offers:?}");
            };
            assert!(matches!(error, BundlesError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(file.to_str().unwrap()));
            assert_eq!(*other, offer("mysticeta", 2));
        }
        fs::write(&file, r#"{"format":2,"boats":[]}"#).unwrap();
        let newer = folder.all().unwrap().remove(0).unwrap_err();
        assert!(
            matches!(newer, BundlesError::Newer { format: 2, .. }),
            "{newer}"
        );
        // What is not an offer is ignored.
        for other in ["notes.txt", "Ocean!.json", "balaena.json.17-0.new", ".json"] {
            fs::write(folder.folder.join(other), "?").unwrap();
        }
        assert_eq!(folder.all().unwrap().len(), 2);
        folder.remove(&lock, &offer("balaena", 1).boat).unwrap();
        assert_eq!(all(&folder), [offer("mysticeta", 2)]);
    }
}
