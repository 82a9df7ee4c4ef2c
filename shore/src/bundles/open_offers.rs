//! What a running station offers: it follows the files, and what boats report.

use super::error::BundlesError;
use super::library::Library;
use super::offer::Offer;
use super::offer_folder::OfferFolder;
use super::stored_bundle::StoredBundle;
use crate::boat_files::Fingerprint;
use crate::store::{RecordedOffer, Store, StoreError};
use flukewatch_common::bundle_transfer::{BundleOffer, ContentId};
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// An offer that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOffer {
    /// The bundle.
    pub bundle: Arc<StoredBundle>,
    /// The message that offers it.
    pub message: BundleOffer,
}

/// What is offered at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// The offers that stand, at most one per boat.
    pub by_boat: BTreeMap<BoatId, OpenOffer>,
    /// Boats without an offer that had one since the station started, or when it ended the last time.
    pub ended: BTreeSet<BoatId>,
}

/// What the station offers, followed by those who use it.
#[derive(Clone, Debug)]
pub struct OpenOffers {
    opened: watch::Receiver<Arc<Opened>>,
    look: Arc<Notify>,
}

impl OpenOffers {
    /// What is offered now.
    pub fn now(&self) -> Arc<Opened> {
        Arc::clone(&self.opened.borrow())
    }

    /// What is offered now and from now on.
    pub fn follow(&self) -> watch::Receiver<Arc<Opened>> {
        self.opened.clone()
    }

    /// Looks at once: a boat has dealt with an offer.
    pub fn look(&self) {
        self.look.notify_one();
    }
}

/// Follows the files of offers, and records them in the store.
pub struct OfferWatch {
    folder: OfferFolder,
    library: Library,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    opened: watch::Sender<Arc<Opened>>,
    look: Arc<Notify>,
    /// The files that were looked at last; `None` where that has to be done again.
    seen: Option<Fingerprint>,
    /// The problems that were logged last.
    problems: Vec<String>,
}

/// Why nothing is known of the offers.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Files(#[from] BundlesError),
    #[error("cannot record offers: {0}")]
    Store(#[from] StoreError),
}

impl OfferWatch {
    /// The watch over the offers in the data folder of a station with this store. Nothing is offered before
    /// the first [`OfferWatch::run_once`].
    pub fn new(data: &Path, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            folder: OfferFolder::in_data(data),
            library: Library::in_data(data),
            store,
            clock,
            opened: watch::Sender::default(),
            look: Arc::default(),
            seen: None,
            problems: vec![],
        }
    }

    /// What it finds.
    pub fn offers(&self) -> OpenOffers {
        OpenOffers {
            opened: self.opened.subscribe(),
            look: Arc::clone(&self.look),
        }
    }

    /// Looks until `shutdown` turns true.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let look = Arc::clone(&self.look);
        loop {
            let looked = tokio::task::spawn_blocking(move || {
                self.run_once();
                self
            });
            self = match looked.await {
                Ok(watch) => watch,
                Err(error) => {
                    tracing::error!(%error, "offers of bundles are not followed any more");
                    return;
                }
            };
            tokio::select! {
                _ = shutdown.changed() => return,
                () = look.notified() => self.seen = None,
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }

    /// Looks at the files, if they have changed, and at what boats have reported.
    pub fn run_once(&mut self) {
        let mut problems = vec![];
        if let Err(error) = self.look(&mut problems) {
            self.seen = None;
            problems.push(error.to_string());
        }
        // Each is logged once, and not at each look.
        for problem in &problems {
            if !self.problems.contains(problem) {
                tracing::error!(problem, "cannot offer bundle");
            }
        }
        self.problems = problems;
    }

    fn look(&mut self, problems: &mut Vec<String>) -> Result<(), LookError> {
        let files = self.folder.fingerprint()?;
        if self.seen.as_ref() == Some(&files) {
            // They are still as they were.
            problems.append(&mut self.problems);
            return Ok(());
        }
        let offers = self.read(problems)?;
        let recorded = offers.iter().map(|(offer, bundle)| offer.recorded(bundle));
        let recorded: Vec<RecordedOffer> = recorded.collect();
        let transfers = self.store.record_offers(&recorded, self.clock.now())?;
        let mut opened = Opened {
            by_boat: BTreeMap::new(),
            ended: self.opened.borrow().ended.clone(),
        };
        let boats = transfers.iter().map(|transfer| &transfer.offer.boat);
        opened.ended.extend(boats.cloned());
        self.seen = Some(files);
        for ((offer, bundle), transfer) in offers.into_iter().zip(&transfers) {
            if transfer.stage.is_final() {
                match self.end(&offer) {
                    Ok(true) => {}
                    Ok(false) => self.seen = None,
                    // The store knows that it has ended.
                    Err(error) => problems.push(error.to_string()),
                }
            } else {
                let message = offer.message(&bundle);
                opened
                    .by_boat
                    .insert(offer.boat, OpenOffer { bundle, message });
            }
        }
        opened
            .ended
            .retain(|boat| !opened.by_boat.contains_key(boat));
        self.opened.send_if_modified(|before| {
            let is_new = **before != opened;
            *before = Arc::new(opened);
            is_new
        });
        Ok(())
    }

    /// The offers whose files can be read and whose bundles are in the library.
    fn read(
        &self,
        problems: &mut Vec<String>,
    ) -> Result<Vec<(Offer, Arc<StoredBundle>)>, BundlesError> {
        let mut bundles: BTreeMap<ContentId, Option<Arc<StoredBundle>>> = BTreeMap::new();
        let mut offers = vec![];
        for offer in self.folder.all()? {
            let offer = match offer {
                Ok(offer) => offer,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let bundle = bundles.entry(offer.manifest).or_insert_with(|| {
                let opened = self.library.open(offer.manifest);
                let opened = opened.inspect_err(|error| problems.push(error.to_string()));
                opened.ok().map(Arc::new)
            });
            if let Some(bundle) = bundle {
                offers.push((offer, Arc::clone(bundle)));
            }
        }
        Ok(offers)
    }

    /// Removes the file of an offer that its boat has dealt with. Returns `false` where another process
    /// changes offers at the moment.
    fn end(&self, offer: &Offer) -> Result<bool, BundlesError> {
        let Some(lock) = self.folder.try_lock()? else {
            return Ok(false);
        };
        self.folder.end(&lock, &offer.boat, offer.id)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundles::Signing;
    use crate::ingest::validate;
    use crate::sample_bundle::{bundle, sign};
    use crate::store::{BundleTransfer, SqliteStore, TransferStage};
    use flukewatch_common::bundle_transfer::{TransferProgress, TransferReport};
    use flukewatch_common::clock::{ManualClock, Timestamp};
    use flukewatch_common::{topic, wire};
    use tempfile::TempDir;
    use uuid::Uuid;

    /// A station's data folder, its store and its watch.
    struct Fixture {
        data: TempDir,
        store: Arc<SqliteStore>,
        clock: Arc<ManualClock>,
    }

    impl Fixture {
        fn new() -> Self {
            let data = tempfile::tempdir().unwrap();
            let store = Arc::new(SqliteStore::open(data.path()).unwrap());
            let clock = Arc::new(ManualClock::new(Timestamp(1000)));
            Self { data, store, clock }
        }

        fn watch(&self) -> OfferWatch {
            let (store, clock) = (self.store.clone(), self.clock.clone());
            OfferWatch::new(self.data.path(), store, clock)
        }

        /// Offers the bundle `name` to `boat`.
        fn offer(&self, name: &str, boat: &str, number: u128) -> Offer {
            let path = self.data.path().join("made.flukebundle");
            bundle(name).save(&path).unwrap();
            sign(&path, 4);
            let folder = OfferFolder::in_data(self.data.path());
            let lock = folder.lock().unwrap();
            let library = Library::in_data(self.data.path());
            let now = self.clock.now();
            let (stored, signature) = library.add(&path, Signing::Required, now).unwrap();
            let offer = Offer {
                boat: boat.parse().unwrap(),
                id: Uuid::from_u128(number),
                manifest: stored.manifest(),
                offered_at: now,
                signature,
            };
            folder.write(&lock, &offer).unwrap();
            offer
        }

        fn withdraw(&self, offer: &Offer) {
            let folder = OfferFolder::in_data(self.data.path());
            folder.remove(&folder.lock().unwrap(), &offer.boat).unwrap();
        }

        fn report(&self, offer: &Offer, progress: TransferProgress) {
            let report = TransferReport {
                boat: offer.boat.clone(),
                offer: offer.id,
                at: Timestamp(5),
                progress,
            };
            let message = wire::encode(&report).unwrap();
            let message = validate(&topic::of_requests(&offer.boat), &message);
            self.store.accept(&[message], self.clock.now()).unwrap();
        }

        fn transfers(&self) -> Vec<BundleTransfer> {
            self.store.last_transfers().unwrap()
        }

        fn files(&self) -> usize {
            let folder = OfferFolder::in_data(self.data.path());
            folder.all().unwrap().len()
        }
    }

    fn offered(offers: &OpenOffers) -> Vec<Uuid> {
        let opened = offers.now();
        opened.by_boat.values().map(|o| o.message.id).collect()
    }

    fn ended(offers: &OpenOffers) -> Vec<String> {
        let opened = offers.now();
        opened.ended.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn offers_are_followed_and_recorded() {
        let fixture = Fixture::new();
        let mut watch = fixture.watch();
        let offers = watch.offers();
        watch.run_once();
        assert_eq!((offered(&offers), fixture.transfers()), (vec![], vec![]));

        let first = fixture.offer("azores", "balaena", 1);
        let other = fixture.offer("madeira", "mysticeta", 2);
        watch.run_once();
        assert_eq!(offered(&offers), [first.id, other.id]);
        let opened = offers.now();
        let message = &opened.by_boat[&first.boat].message;
        assert_eq!(message.validate(), Ok(()));
        assert_eq!(message.manifest, first.manifest);
        assert_eq!(
            message.signature,
            first.signature.as_ref().unwrap().to_bytes()
        );
        let recorded = &fixture.transfers()[0];
        assert_eq!(
            (recorded.offer.id, recorded.stage),
            (first.id, TransferStage::Offered)
        );
        assert_eq!(
            (&*recorded.offer.name, recorded.offer.version),
            ("azores", Some(4))
        );

        // A boat's new offer replaces the one before.
        fixture.clock.advance(500);
        let second = fixture.offer("azores", "balaena", 3);
        watch.run_once();
        assert_eq!(offered(&offers), [second.id, other.id]);
        assert_eq!(ended(&offers), [""; 0]);

        fixture.withdraw(&other);
        fixture.clock.advance(500);
        watch.run_once();
        assert_eq!(offered(&offers), [second.id]);
        assert_eq!(ended(&offers), ["mysticeta"]);
        let transfers = fixture.transfers();
        assert_eq!(transfers[1].withdrawn_at, Some(Timestamp(2000)));
        assert!(transfers[0].is_open());

        // Nothing has changed.
        let mut follow = offers.follow();
        follow.mark_unchanged();
        watch.run_once();
        assert!(!follow.has_changed().unwrap());
    }

    #[test]
    fn an_offer_ends_with_the_boat_s_final_report() {
        let fixture = Fixture::new();
        let offer = fixture.offer("azores", "balaena", 1);
        let mut watch = fixture.watch();
        let offers = watch.offers();
        watch.run_once();
        fixture.report(&offer, TransferProgress::OnTrial);
        watch.seen = None;
        watch.run_once();
        assert_eq!(offered(&offers), [offer.id]);

        fixture.report(&offer, TransferProgress::Active);
        watch.seen = None;
        let lock = OfferFolder::in_data(fixture.data.path()).lock().unwrap();
        watch.run_once();
        assert_eq!((offered(&offers), fixture.files()), (vec![], 1));
        assert_eq!(ended(&offers), ["balaena"]);
        // Once no command changes offers, the file is removed.
        drop(lock);
        watch.run_once();
        assert_eq!(fixture.files(), 0);
        let transfer = &fixture.transfers()[0];
        assert_eq!(
            (transfer.stage, transfer.withdrawn_at),
            (TransferStage::Active, None)
        );

        // Offered again, it is another offer.
        let again = fixture.offer("azores", "balaena", 2);
        watch.run_once();
        assert_eq!((offered(&offers), ended(&offers)), (vec![again.id], vec![]));
    }

    #[test]
    fn what_ended_while_the_station_was_off_is_known_at_its_start() {
        let fixture = Fixture::new();
        let withdrawn = fixture.offer("azores", "balaena", 1);
        let finished = fixture.offer("azores", "mysticeta", 2);
        fixture.watch().run_once();
        fixture.withdraw(&withdrawn);
        fixture.report(&finished, TransferProgress::Active);
        let mut watch = fixture.watch();
        watch.run_once();
        let offers = watch.offers();
        assert_eq!(ended(&offers), ["balaena", "mysticeta"]);
        assert_eq!((offered(&offers), fixture.files()), (vec![], 0));
        let mut watch = fixture.watch();
        watch.run_once();
        assert_eq!(ended(&watch.offers()), [""; 0]);
    }

    #[test]
    fn an_offer_that_cannot_be_read_hides_no_other() {
        let fixture = Fixture::new();
        let good = fixture.offer("azores", "balaena", 1);
        let lost = fixture.offer("madeira", "mysticeta", 2);
        let folder = fixture.data.path();
        std::fs::remove_dir_all(folder.join("bundles").join(lost.manifest.to_string())).unwrap();
        std::fs::write(folder.join("offers/orca.json"), "{}").unwrap();
        let mut watch = fixture.watch();
        watch.run_once();
        assert_eq!(offered(&watch.offers()), [good.id]);
        assert_eq!(watch.problems.len(), 2);
        watch.run_once();
        assert_eq!(watch.problems.len(), 2, "{:?}", watch.problems);
        // Once the bundle is there again, so is the offer.
        fixture.offer("madeira", "mysticeta", 2);
        watch.run_once();
        assert_eq!(offered(&watch.offers()), [good.id, lost.id]);
    }
}
