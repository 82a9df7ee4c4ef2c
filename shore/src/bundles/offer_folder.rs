//! The files of offers.

use super::error::BundlesError;
use super::offer::Offer;
use crate::boat_files::{BoatFiles, FilesLock, Fingerprint};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::sighting::BoatId;
use std::collections::BTreeSet;
use std::path::Path;
use uuid::Uuid;

/// The folder of offers in a station's data folder, with one file per boat. Several processes may use it
/// at a time.
#[derive(Clone, Debug)]
pub struct OfferFolder {
    files: BoatFiles,
}

/// The right to change offers and the library, until it is dropped.
#[derive(Debug)]
pub struct OffersLock {
    _files: FilesLock,
}

impl OfferFolder {
    /// That of a station's data folder.
    pub fn in_data(data: &Path) -> Self {
        Self {
            files: BoatFiles::new(data, "offers"),
        }
    }

    /// Blocks until no other process changes offers.
    ///
    /// # Errors
    /// When the data folder does not exist, or cannot be written.
    pub fn lock(&self) -> Result<OffersLock, BundlesError> {
        let files = self.files.lock()?;
        Ok(OffersLock { _files: files })
    }

    /// The same without waiting; `None` where another process changes offers.
    ///
    /// # Errors
    /// As [`OfferFolder::lock`].
    pub fn try_lock(&self) -> Result<Option<OffersLock>, BundlesError> {
        let files = self.files.try_lock()?;
        Ok(files.map(|files| OffersLock { _files: files }))
    }

    /// Makes an offer, in place of an earlier one to the same boat.
    ///
    /// # Errors
    /// When the file cannot be written; the earlier offer then stands.
    pub fn write(&self, _lock: &OffersLock, offer: &Offer) -> Result<(), BundlesError> {
        Ok(self.files.write(&offer.boat, &offer.to_bytes())?)
    }

    /// Removes the offer to `boat`, also a damaged one.
    ///
    /// # Errors
    /// [`BundlesError::NotOffered`] where nothing is offered, or when the file cannot be removed.
    pub fn remove(&self, _lock: &OffersLock, boat: &BoatId) -> Result<(), BundlesError> {
        if self.files.remove(boat)? {
            Ok(())
        } else {
            Err(BundlesError::NotOffered(boat.clone()))
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
        match self.read(boat)? {
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
        for boat in self.files.boats()? {
            // Absent: removed meanwhile.
            offers.extend(self.read(&boat).transpose());
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
        Ok(self.files.fingerprint()?)
    }

    fn read(&self, boat: &BoatId) -> Result<Option<Offer>, BundlesError> {
        let Some(bytes) = self.files.read(boat)? else {
            return Ok(None);
        };
        Offer::from_bytes(&self.files.file_of(boat), boat, &bytes).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::bundle::{Signature, SignatureTerms};
    use flukewatch_common::clock::Timestamp;
    use flukewatch_trust::SigningKey;
    use std::fs;
    use std::path::PathBuf;
    use tempfile::TempDir;

    fn path(folder: &OfferFolder, name: &str) -> PathBuf {
        let file = folder.files.file_of(&"any".parse().unwrap());
        file.with_file_name(name)
    }

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
        let file = path(&folder, "balaena.json");
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
            fs::write(path(&folder, other), "?").unwrap();
        }
        assert_eq!(folder.all().unwrap().len(), 2);
        folder.remove(&lock, &offer("balaena", 1).boat).unwrap();
        assert_eq!(all(&folder), [offer("mysticeta", 2)]);
    }
}
