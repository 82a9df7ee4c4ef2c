use super::*;
use crate::bundle_trust::AcceptedFile;
use crate::sample;
use crate::time::ManualMonotonicClock;
use flukewatch_common::bundle::{AcceptedBundle, SignatureTerms, sign};
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::sha256::sha256_hex;
use flukewatch_trust::SigningKey;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use uuid::Uuid;

/// 2027-06-01.
const NOW: Timestamp = Timestamp(1_811_808_000_000);
const PACE: Pace = Pace {
    piece_bytes: 1000,
    window: 3,
};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

/// A boat with a bundle of two whales, version 7, and a station with another bundle.
struct Scene {
    folder: TempDir,
    config: Config,
    clock: Arc<ManualClock>,
    monotonic: Arc<ManualMonotonicClock>,
    receiver: Receiver,
    /// What the self-test says.
    fault: Arc<std::sync::Mutex<Option<String>>>,
    tests: Arc<AtomicUsize>,
    reports: Vec<TransferProgress>,
}

/// A bundle that the station offers.
struct Station {
    contents: HashMap<ContentId, Vec<u8>>,
    offer: BundleOffer,
    /// Bytes that were sent.
    sent: usize,
}

fn signed(path: &Path, whales: u32, seed: u8, version: u64) {
    sample::bundle(whales).save(path).unwrap();
    let terms = SignatureTerms {
        version,
        expires: NOW.plus_millis(86_400_000),
    };
    sign(path, &key(seed), terms).unwrap();
}

impl Station {
    fn new(folder: &Path, whales: u32, seed: u8, version: u64) -> Self {
        let path = folder.join(format!("offered-{whales}-{seed}-{version}"));
        signed(&path, whales, seed, version);
        let head = BundleHead::read(&path).unwrap();
        let mut contents = HashMap::new();
        for entry in std::fs::read_dir(&path).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            contents.insert(ContentId::of(&bytes), bytes);
        }
        let manifest = head.manifest_bytes();
        Self {
            offer: BundleOffer {
                boat: "balaena".parse().unwrap(),
                id: Uuid::from_u128(version.into()),
                manifest: ContentId::of(manifest),
                manifest_bytes: manifest.len() as u32,
                signature: head.signature().unwrap().to_bytes(),
            },
            contents,
            sent: 0,
        }
    }

    fn offer(&self) -> FromShore {
        FromShore::Offer(wire::encode(&self.offer).unwrap())
    }

    fn answer(&mut self, request: &ContentRequest) -> ContentPiece {
        assert_eq!(request.offer, self.offer.id);
        let content = &self.contents[&request.content];
        let begin = request.offset as usize;
        let end = content.len().min(begin + request.max_bytes as usize);
        self.sent += end - begin;
        ContentPiece {
            boat: request.boat.clone(),
            content: request.content,
            offset: request.offset,
            piece: Some(content[begin..end].to_vec()),
        }
    }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "[boat]\nname = \"balaena\"\n[bundle]\npath = \"whales\"\ntrusted_keys = [\"{}\"]\n\
             [camera]\nsource = \"replay\"\npath = \"frames\"\n[outbox]\npath = \"outbox\"\n\
             [uplink]\nbroker = \"mqtt://127.0.0.1:1\"\n",
            key(1).public()
        );
        let config = Config::parse(&text, &folder.path().join("edge.toml")).unwrap();
        signed(&config.bundle.path, 2, 1, 7);
        let head = BundleHead::read(&config.bundle.path).unwrap();
        let accepted = AcceptedBundle {
            manifest_sha256: sha256_hex(head.manifest_bytes()),
            version: 7,
        };
        let file = AcceptedFile::new(&config.outbox.path);
        file.note(&accepted).unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let start = MonotonicTimestamp::from_millis(0);
        let monotonic = Arc::new(ManualMonotonicClock::new(start));
        let fault = Arc::<std::sync::Mutex<Option<String>>>::default();
        let tests = Arc::<AtomicUsize>::default();
        let receiver = receiver(&clock, &monotonic, &fault, &tests);
        Self {
            folder,
            config,
            clock,
            monotonic,
            receiver,
            fault,
            tests,
            reports: vec![],
        }
    }

    /// The program starts again.
    fn restart(&mut self) {
        self.receiver = receiver(&self.clock, &self.monotonic, &self.fault, &self.tests);
    }

    fn station(&self, whales: u32, seed: u8, version: u64) -> Station {
        Station::new(self.folder.path(), whales, seed, version)
    }

    fn bundles(&self) -> ReceivedBundles {
        ReceivedBundles::of(&self.config)
    }

    /// Does what is due. Returns the requests, and whether a bundle was installed.
    fn poll(&mut self) -> (Vec<ContentRequest>, bool) {
        let wants = self.receiver.poll(&self.config, PACE);
        let mut requests = vec![];
        for message in wants.messages {
            if let Ok(report) = wire::decode::<TransferReport>(&message) {
                assert_eq!(report.validate(), Ok(()));
                self.reports.push(report.progress);
            } else {
                requests.push(wire::decode::<ContentRequest>(&message).unwrap());
            }
        }
        (requests, wants.installed)
    }

    fn take(&mut self, message: FromShore) {
        self.receiver.take(message, &self.config);
    }

    fn takes_piece(&mut self, piece: &ContentPiece) {
        self.take(FromShore::Content(wire::encode(piece).unwrap()));
    }

    /// Exchanges messages until nothing is requested any more. Returns whether a bundle was installed.
    fn receive(&mut self, station: &mut Station) -> bool {
        let mut installed = false;
        for _ in 0..10_000 {
            let (requests, now) = self.poll();
            installed |= now;
            let complete = matches!(
                self.receiver.transfer.as_ref().map(|t| &t.stage),
                Some(TransferStage::Complete(_))
            );
            if requests.is_empty() && !complete {
                return installed;
            }
            for request in requests {
                let piece = station.answer(&request);
                self.takes_piece(&piece);
            }
        }
        panic!("it does not end");
    }
}

fn receiver(
    clock: &Arc<ManualClock>,
    monotonic: &Arc<ManualMonotonicClock>,
    fault: &Arc<std::sync::Mutex<Option<String>>>,
    tests: &Arc<AtomicUsize>,
) -> Receiver {
    let (fault, tests) = (fault.clone(), tests.clone());
    let selftest: Selftest = Box::new(move |path, _| {
        tests.fetch_add(1, Ordering::SeqCst);
        assert!(Bundle::open(path).is_ok());
        fault.lock().unwrap().clone().map_or(Ok(()), Err)
    });
    Receiver::new(clock.clone(), monotonic.clone(), selftest)
}

fn rejected(progress: Option<&TransferProgress>) -> &str {
    match progress {
        Some(TransferProgress::Rejected { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bundle_is_received_tested_and_installed() {
    let mut scene = Scene::new();
    let mut station = scene.station(3, 1, 8);
    scene.take(station.offer());
    assert!(scene.receive(&mut station));
    let in_use = scene.bundles().in_use().unwrap();
    assert_eq!(in_use.manifest, station.offer.manifest);
    assert_eq!(in_use.version, Some(8));
    let path = scene.bundles().path_in_use();
    assert_eq!(Bundle::open(&path).unwrap().catalogue.len(), 3);
    assert_eq!(scene.tests.load(Ordering::SeqCst), 1);
    let [
        TransferProgress::Receiving { .. },
        ..,
        TransferProgress::Testing,
        last,
    ] = &scene.reports[..]
    else {
        panic!("{:?}", scene.reports);
    };
    assert_eq!(*last, TransferProgress::OnTrial);
    let complete = |report: &TransferProgress| matches!(report, TransferProgress::Receiving { received, total } if received == total);
    assert!(scene.reports.iter().any(complete));
    assert!(!scene.bundles().delivery_folder().exists());
    scene.bundles().pass_trial().unwrap();
    scene.poll();
    assert_eq!(scene.reports.last(), Some(&TransferProgress::Active));
}

#[test]
fn only_what_is_not_aboard_is_transferred() {
    let mut scene = Scene::new();
    let mut station = scene.station(3, 1, 8);
    let model = &sample::bundle(3).model;
    assert!(station.contents.contains_key(&ContentId::of(model)));
    scene.take(station.offer());
    scene.receive(&mut station);
    // The model is the same; manifest and catalogue are not.
    let all: usize = station.contents.values().map(Vec::len).sum();
    assert!(
        station.sent + model.len() <= all,
        "{} of {all}, model {}",
        station.sent,
        model.len()
    );
}

#[test]
fn a_restart_resumes_where_it_ended() {
    let mut scene = Scene::new();
    let mut station = scene.station(40, 1, 8);
    scene.take(station.offer());
    // The manifest and a few pieces of the catalogue.
    for _ in 0..8 {
        let (requests, _) = scene.poll();
        for request in requests.into_iter().take(2) {
            let piece = station.answer(&request);
            scene.takes_piece(&piece);
        }
    }
    let received = scene.receiver.progress(&scene.config);
    let Some(TransferProgress::Receiving { received, total }) = received else {
        panic!("{received:?}");
    };
    assert!(0 < received && received < total);
    scene.restart();
    assert!(scene.poll().0.is_empty(), "nothing is offered yet");
    scene.take(station.offer());
    assert_eq!(
        scene.receiver.progress(&scene.config),
        Some(TransferProgress::Receiving { received, total })
    );
    let sent = station.sent;
    assert!(scene.receive(&mut station));
    // What was on its way at the restart is sent twice at most.
    assert!(station.sent - sent <= (total - received) as usize);
}

#[test]
fn lost_repeated_and_foreign_pieces_do_no_harm() {
    let mut scene = Scene::new();
    let mut station = scene.station(20, 1, 8);
    scene.take(station.offer());
    let mut installed = false;
    for round in 0..10_000 {
        let (requests, now) = scene.poll();
        installed |= now;
        if installed {
            break;
        }
        if requests.is_empty() {
            scene.monotonic.advance(Duration::from_secs(600));
        }
        for (number, request) in requests.iter().enumerate() {
            let piece = station.answer(request);
            if (round + number) % 5 == 3 {
                continue;
            }
            let altered = ContentPiece {
                offset: piece.offset + 1,
                ..piece.clone()
            };
            let for_another = ContentPiece {
                boat: "other".parse().unwrap(),
                ..piece.clone()
            };
            scene.takes_piece(&altered);
            scene.takes_piece(&for_another);
            scene.takes_piece(&piece);
            scene.takes_piece(&piece);
        }
        scene.take(FromShore::Content(vec![1, 2, 3]));
        scene.take(FromShore::Offer(vec![]));
    }
    assert!(installed);
}

#[test]
fn an_altered_content_is_requested_again() {
    let mut scene = Scene::new();
    let mut station = scene.station(3, 1, 8);
    scene.take(station.offer());
    let mut altered = 0;
    for _ in 0..200 {
        let (requests, installed) = scene.poll();
        if installed {
            assert!(altered >= 2, "manifest and a part were altered");
            return;
        }
        for request in requests {
            let mut piece = station.answer(&request);
            if altered < 2
                && (request.content == station.offer.manifest) == (altered == 0)
                && let Some(byte) = piece.piece.as_mut().and_then(|p| p.first_mut())
            {
                *byte ^= 1;
                altered += 1;
            }
            scene.takes_piece(&piece);
        }
    }
    panic!("not installed");
}

#[test]
fn older_foreign_and_unsigned_bundles_are_rejected_before_their_parts_are_sent() {
    for (seed, version, why) in [
        (1, 6, "version 6 is older than version 7"),
        (2, 9, "not in trusted_keys"),
        (0, 9, "not signed"),
    ] {
        let mut scene = Scene::new();
        let mut station = scene.station(30, seed.max(1), version);
        if seed == 0 {
            station.offer.signature.clear();
        }
        scene.take(station.offer());
        assert!(!scene.receive(&mut station));
        let reason = rejected(scene.reports.last());
        assert!(reason.contains(why), "{reason}");
        assert!(station.sent <= station.offer.manifest_bytes as usize);
        assert_eq!(scene.bundles().in_use(), None);
        // It is not received again after a restart, and its report is repeated.
        scene.restart();
        scene.reports.clear();
        scene.take(station.offer());
        assert_eq!(scene.poll().0, []);
        assert!(rejected(scene.reports.last()).contains(why));
    }
}

#[test]
fn a_bundle_that_fails_its_selftest_is_rejected_and_may_be_offered_again() {
    let mut scene = Scene::new();
    *scene.fault.lock().unwrap() = Some("cosine 0.2".into());
    let mut station = scene.station(3, 1, 8);
    scene.take(station.offer());
    assert!(!scene.receive(&mut station));
    let reason = rejected(scene.reports.last());
    assert_eq!(reason, "self-test failed: cosine 0.2");
    assert_eq!(scene.bundles().in_use(), None);
    *scene.fault.lock().unwrap() = None;
    station.offer.id = Uuid::from_u128(99);
    scene.take(station.offer());
    assert!(scene.receive(&mut station));
}

#[test]
fn without_a_date_the_boat_pauses_instead_of_rejecting() {
    let mut scene = Scene::new();
    // A computer without a clock battery.
    scene.clock.set(Timestamp(0));
    let mut station = scene.station(3, 1, 8);
    scene.take(station.offer());
    assert!(!scene.receive(&mut station));
    assert!(scene.reports.iter().all(|report| !report.is_final()));
    scene.clock.set(NOW);
    scene.monotonic.advance(PAUSE);
    assert!(scene.receive(&mut station));
}

#[test]
fn a_boat_that_wants_no_bundles_over_the_air_says_so() {
    let mut scene = Scene::new();
    scene.config.bundle.over_the_air = false;
    let mut station = scene.station(3, 1, 8);
    scene.take(station.offer());
    assert!(!scene.receive(&mut station));
    let reason = rejected(scene.reports.last());
    assert!(reason.contains("bundle.over_the_air"), "{reason}");
    assert_eq!(station.sent, 0);
}

#[test]
fn a_withdrawn_offer_ends_the_transfer() {
    let mut scene = Scene::new();
    let station = scene.station(3, 1, 8);
    scene.take(station.offer());
    assert!(!scene.poll().0.is_empty());
    scene.take(FromShore::Withdrawn);
    scene.monotonic.advance(Duration::from_secs(3600));
    assert_eq!(scene.poll(), (vec![], false));
    assert_eq!(scene.receiver.progress(&scene.config), None);
}

#[test]
fn the_bundle_that_is_in_use_already_is_reported_as_active() {
    let mut scene = Scene::new();
    let mut station = scene.station(2, 1, 8);
    let head = BundleHead::read(&scene.config.bundle.path).unwrap();
    station.offer.manifest = ContentId::of(head.manifest_bytes());
    scene.take(station.offer());
    assert_eq!(scene.poll().0, []);
    assert_eq!(scene.reports, [TransferProgress::Active]);
}
