mod parts;

use super::*;
use crate::health::{Health, InputHealth};
use crate::link_budget::LinkProfile;
use crate::machine::Severity;
use crate::outbox::{Counts, Load, Outbox, QueueOpener};
use crate::sample;
use crate::stage::{Stage, Stages};
use crate::time::{MonotonicClock, MonotonicTimestamp};
use crate::uplink::supervise;
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::file_transfer::{Chunk, Command, EncounterFile, RequestedFile};
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::picture_part::{self, PicturePart};
use flukewatch_common::sighting::{Ack, Acknowledged, MessageKind, Rejected};
use flukewatch_common::status_report::StatusReport;
use flukewatch_common::wire::{self, Message as _};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

type Events = Result<UplinkEvent, LinkError>;
/// The digest that an acknowledgement names of a message.
type NamedDigest = fn(&[u8]) -> Option<MessageDigest>;

/// A broker and a shore in memory.
struct Shore {
    /// Every message sent, by the number of its connection, with the time.
    sent: Vec<(u32, Key, Instant)>,
    connections: u32,
    /// How many of the first connections fail.
    failures: u32,
    accepts: bool,
    /// Whether a message is acknowledged, by how often it has arrived.
    acks: fn(usize) -> bool,
    /// The digest that an acknowledgement names of a message. With one, the boat demands it.
    digests: Option<NamedDigest>,
    /// Which messages are rejected.
    rejects: fn(Key) -> bool,
    /// The connection fails after this many messages.
    breaks_after: Option<usize>,
    /// The broker closes the connection on a larger message.
    closes_above: usize,
    /// The broker accepts larger messages, and does not pass them on.
    drops_above: usize,
    /// The link fails on a larger message.
    fails_above: usize,
    /// The broker closes the connection on a status report.
    closes_on_status: bool,
    /// The link panics after this many messages, once.
    panics_after: Option<usize>,
    /// The last will of each connection.
    last_wills: Vec<Option<Vec<u8>>>,
    /// Requests and reports about bundles.
    requests: Vec<Vec<u8>>,
    /// Chunks of requested files.
    chunks: Vec<Vec<u8>>,
    /// Whether it knows parts of pictures.
    reads_parts: bool,
    /// Parts go to several stations in turn.
    stations: usize,
    /// The parts of pictures.
    parts: Vec<PicturePart>,
    /// What each station has of pictures in parts.
    pictures: HashMap<(usize, Uuid), Vec<u8>>,
    /// What it has of them is lost after so many parts.
    loses_after: Option<usize>,
    /// The status reports, with the number of their connection and the time.
    reports: Vec<(u32, StatusReport, Instant)>,
    to_boat: Option<UnboundedSender<Events>>,
}

impl Shore {
    /// Takes a part of a picture. Returns the answer.
    fn take_part(&mut self, key: Key, message: &[u8]) -> Vec<u8> {
        let part: PicturePart = wire::decode(message).unwrap();
        let station = self.parts.len() % self.stations;
        if self.loses_after.is_some_and(|n| self.parts.len() >= n) {
            self.loses_after = None;
            self.pictures.clear();
        }
        self.parts.push(part.clone());
        if !self.reads_parts {
            let reason = "wrong_kind: message of kind 14; expected a picture";
            return rejection_because("balaena", key.part, message, reason);
        }
        let has = self.pictures.entry((station, part.sighting)).or_default();
        if part.offset as usize == has.len() {
            has.extend(&part.bytes);
        }
        let digest = MessageDigest::of(message);
        if has.len() == part.total as usize {
            assert_eq!(ContentId::of(has), part.file);
            return bound_ack("balaena", key, self.digests.map(|_| digest));
        }
        let answer = picture_part::answer(part.sighting, has.len() as u32, digest);
        wire::encode(&Ack {
            boat: part.boat,
            stored: vec![answer],
            rejected: vec![],
        })
        .unwrap()
    }
}

struct FakeUplink {
    shore: Arc<Mutex<Shore>>,
    events: Option<UnboundedReceiver<Events>>,
}

impl Uplink for FakeUplink {
    async fn connect(&mut self, last_will: Option<Vec<u8>>) -> Result<(), LinkError> {
        let mut shore = self.shore.lock().unwrap();
        if shore.failures > 0 {
            shore.failures -= 1;
            return Err(LinkError::new("connection failed"));
        }
        shore.connections += 1;
        shore.last_wills.push(last_will);
        let (sender, receiver) = unbounded_channel();
        shore.to_boat = Some(sender);
        self.events = Some(receiver);
        Ok(())
    }

    fn send(&mut self, key: Key, _topic: &str, message: Vec<u8>) -> Result<bool, LinkError> {
        let mut shore = self.shore.lock().unwrap();
        if shore.panics_after.is_some_and(|n| shore.sent.len() >= n) {
            shore.panics_after = None;
            drop(shore);
            panic!("the link is broken");
        }
        let connection = shore.connections;
        shore.sent.push((connection, key, Instant::now()));
        let to_boat = shore.to_boat.clone().unwrap();
        if message.len() > shore.closes_above || message.len() > shore.fails_above {
            let error = LinkError {
                message: "closed".into(),
                closed_by_broker: message.len() > shore.closes_above,
            };
            to_boat.send(Err(error)).unwrap();
            return Ok(true);
        }
        if shore.breaks_after.is_some_and(|n| shore.sent.len() > n) {
            shore.breaks_after = None;
            to_boat.send(Err(LinkError::new("cut"))).unwrap();
            return Ok(true);
        }
        if shore.accepts {
            to_boat.send(Ok(UplinkEvent::BrokerAccepted(key))).unwrap();
        }
        if (shore.rejects)(key) {
            let rejection = rejection("balaena", key.part, &message);
            to_boat.send(Ok(UplinkEvent::Ack(rejection))).unwrap();
            return Ok(true);
        }
        let times = shore.sent.iter().filter(|(_, k, _)| *k == key).count();
        if wire::kind(&message) == Some(PicturePart::KIND) {
            let passes = message.len() <= shore.drops_above;
            let answer = passes.then(|| shore.take_part(key, &message));
            if let Some(answer) = answer.filter(|_| (shore.acks)(times)) {
                to_boat.send(Ok(UplinkEvent::Ack(answer))).unwrap();
            }
            return Ok(true);
        }
        let digest = shore.digests.and_then(|digest| digest(&message));
        if (shore.acks)(times) && message.len() <= shore.drops_above {
            to_boat
                .send(Ok(UplinkEvent::Ack(bound_ack("balaena", key, digest))))
                .unwrap();
        }
        Ok(true)
    }

    fn request(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        self.shore.lock().unwrap().requests.push(message);
        Ok(true)
    }

    fn send_chunk(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        self.shore.lock().unwrap().chunks.push(message);
        Ok(true)
    }

    fn announce(&mut self, message: Vec<u8>) -> Result<(), LinkError> {
        let shore = self.shore.lock().unwrap();
        let to_boat = shore.to_boat.clone().unwrap();
        let _ = to_boat.send(Ok(UplinkEvent::Presence(message)));
        if (shore.acks)(1) {
            let alive = wire::encode(&Ack {
                boat: sample::boat(),
                stored: vec![],
                rejected: vec![],
            });
            let _ = to_boat.send(Ok(UplinkEvent::Ack(alive.unwrap())));
        }
        Ok(())
    }

    fn report_status(&mut self, message: Vec<u8>) -> Result<bool, LinkError> {
        let mut shore = self.shore.lock().unwrap();
        let report = wire::decode(&message).unwrap();
        let connection = shore.connections;
        shore.reports.push((connection, report, Instant::now()));
        let answer = if shore.closes_on_status {
            Err(LinkError {
                message: "closed".into(),
                closed_by_broker: true,
            })
        } else {
            Ok(UplinkEvent::StatusAccepted)
        };
        shore.to_boat.clone().unwrap().send(answer).unwrap();
        Ok(true)
    }

    async fn event(&mut self) -> Result<UplinkEvent, LinkError> {
        self.events.as_mut().unwrap().recv().await.unwrap()
    }
}

fn ack(boat: &str, key: Key) -> Vec<u8> {
    bound_ack(boat, key, None)
}

/// An acknowledgement of this content.
fn bound_ack(boat: &str, key: Key, message: Option<MessageDigest>) -> Vec<u8> {
    wire::encode(&Ack {
        boat: boat.parse().unwrap(),
        stored: vec![Acknowledged {
            sighting: key.sighting,
            kind: key.part,
            revision: key.revision,
            message,
        }],
        rejected: vec![],
    })
    .unwrap()
}

fn rejection(boat: &str, kind: MessageKind, message: &[u8]) -> Vec<u8> {
    rejection_because(boat, kind, message, "invalid:\n no whale")
}

fn rejection_because(boat: &str, kind: MessageKind, message: &[u8], reason: &str) -> Vec<u8> {
    wire::encode(&Ack {
        boat: boat.parse().unwrap(),
        stored: vec![],
        rejected: vec![Rejected {
            kind,
            message: MessageDigest::of(message),
            reason: reason.into(),
        }],
    })
    .unwrap()
}

/// The clock of the tests' runtime.
struct RuntimeClock(Instant);

impl MonotonicClock for RuntimeClock {
    fn now(&self) -> MonotonicTimestamp {
        MonotonicTimestamp::default().plus(self.0.elapsed())
    }
}

struct Boat {
    folder: tempfile::TempDir,
    outbox: Outbox,
    counts: Queue,
    shore: Arc<Mutex<Shore>>,
    counters: Arc<Counters>,
    board: Arc<StatusBoard>,
    stage: Arc<Stage>,
    budget: Arc<LinkBudget>,
    uploader: JoinHandle<()>,
}

const TIMEOUT: Duration = Duration::from_secs(60);

impl Boat {
    /// A boat with `sightings` in its outbox, each with a picture of `bytes` bytes, and a shore changed
    /// by `change`.
    fn new(sightings: u64, bytes: usize, window: usize, change: impl FnOnce(&mut Shore)) -> Self {
        Self::on_link(LinkClass::Harbour, sightings, bytes, window, change)
    }

    /// The same on a link of `class`.
    fn on_link(
        class: LinkClass,
        sightings: u64,
        bytes: usize,
        window: usize,
        change: impl FnOnce(&mut Shore),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox =
            Outbox::open(folder.path(), &sample::boat(), 1 << 30, sample::epoch()).unwrap();
        for number in 1..=sightings {
            let (sighting, jpeg) = sample::sighting(number, bytes);
            outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
        }
        let mut shore = Shore {
            sent: vec![],
            connections: 0,
            failures: 0,
            accepts: true,
            acks: |_| true,
            digests: None,
            rejects: |_| false,
            breaks_after: None,
            closes_above: usize::MAX,
            drops_above: usize::MAX,
            fails_above: usize::MAX,
            closes_on_status: false,
            panics_after: None,
            last_wills: vec![],
            requests: vec![],
            chunks: vec![],
            reads_parts: true,
            stations: 1,
            parts: vec![],
            pictures: HashMap::new(),
            loses_after: None,
            reports: vec![],
            to_boat: None,
        };
        change(&mut shore);
        let bound_acks = shore.digests.is_some();
        let shore = Arc::new(Mutex::new(shore));
        let counters = Arc::new(Counters::default());
        let queue = QueueOpener::new(folder.path(), sample::boat(), false);
        let counts = queue.open().unwrap();
        let board = Arc::new(StatusBoard::default());
        let stage = Stages::default().uplink;
        let limits = LinkClass::ALL.map(|class| LinkProfile::of(class).bytes_per_hour);
        let budget = LinkBudget::new(limits, Arc::new(RuntimeClock(Instant::now())));
        budget.set_class(class);
        let budget = Arc::new(budget);
        let start = {
            let budget = budget.clone();
            let (shore, counters, board) = (shore.clone(), counters.clone(), board.clone());
            let bundles = Arc::<Mailbox>::default();
            move || {
                let parts = UploaderParts {
                    uplink: FakeUplink {
                        shore: shore.clone(),
                        events: None,
                    },
                    broker: "memory".into(),
                    queue: queue.open().unwrap(),
                    settings: UploaderSettings {
                        window,
                        ack_timeout: TIMEOUT,
                        bound_acks,
                    },
                    backoff: Backoff::new(
                        Duration::from_secs(30),
                        Box::new(StdRng::seed_from_u64(7)),
                    ),
                    clock: Arc::new(ManualClock::new(Timestamp(0))),
                    counters: counters.clone(),
                    accepted: Arc::new(Notify::new()),
                    budget: budget.clone(),
                    packet_size: PacketSize::new(true, true),
                    instance: uuid::Uuid::from_u128(1),
                    bundles: bundles.clone(),
                };
                Ok(Uploader::new(parts).reporting(board.clone()))
            }
        };
        Self {
            folder,
            outbox,
            counts,
            shore,
            counters,
            board,
            uploader: tokio::spawn(supervise(start, stage.clone())),
            stage,
            budget,
        }
    }

    /// Lets time pass until the outbox is empty.
    async fn delivered(&self) {
        for _ in 0..100_000 {
            if self.counts.counts().unwrap().pending() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not delivered: {:?}", self.counts.counts());
    }

    fn sent(&self) -> Vec<Key> {
        self.shore
            .lock()
            .unwrap()
            .sent
            .iter()
            .map(|(_, key, _)| *key)
            .collect()
    }
}

impl Drop for Boat {
    fn drop(&mut self) {
        self.uploader.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_uploader_that_panics_is_replaced_and_loses_nothing() {
    let boat = Boat::new(5, 100, 3, |shore| shore.panics_after = Some(4));
    boat.delivered().await;
    let health = boat.stage.health();
    let failure = health.last_failure.unwrap();
    assert_eq!(health.restarts, 1);
    assert!(failure.contains("the link is broken"), "{failure}");
    assert_eq!(boat.shore.lock().unwrap().connections, 2);
    assert!(boat.counters.is_connected());
}

#[tokio::test(start_paused = true)]
async fn all_are_delivered_sightings_first() {
    let boat = Boat::new(60, 100, 50, |_| {});
    boat.delivered().await;
    let sent = boat.sent();
    assert_eq!(sent.len(), 120, "each once");
    assert!(sent[..60].iter().all(|k| k.part == MessageKind::Sighting));
    assert!(boat.counters.is_connected());
    assert_eq!(
        std::fs::read_dir(boat.folder.path().join("pictures"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn without_acks_the_window_fills_and_nothing_is_deleted() {
    let boat = Boat::new(60, 100, 50, |shore| shore.acks = |_| false);
    tokio::time::sleep(TIMEOUT / 2).await;
    assert_eq!(boat.sent().len(), 50);
    assert_eq!(
        boat.counts.counts().unwrap(),
        Counts {
            sightings: 60,
            pictures: 60,
            dead_letters: 0,
            accepted: 60,
            unidentified: 0,
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_ack_causes_a_retry() {
    let boat = Boat::new(10, 100, 50, |shore| shore.acks = |times| times == 3);
    boat.delivered().await;
    assert_eq!(boat.sent().len(), 60);
    let health = Health::of(&boat.counters, InputHealth::default());
    assert_eq!(
        (health.sent, health.retried, health.acknowledged),
        (60, 40, 20)
    );
}

#[tokio::test(start_paused = true)]
async fn retries_back_off_while_shore_never_acknowledges() {
    let boat = Boat::new(1, 100, 50, |shore| shore.acks = |_| false);
    tokio::time::sleep(TIMEOUT * 64).await;
    let shore = boat.shore.lock().unwrap();
    let first = shore.sent[0].1;
    let times: Vec<Instant> = shore
        .sent
        .iter()
        .filter(|(_, key, _)| *key == first)
        .map(|(_, _, at)| *at)
        .collect();
    let waits: Vec<u64> = times.windows(2).map(|w| (w[1] - w[0]).as_secs()).collect();
    let expected = [60, 120, 240, 480, 960, 960, 960];
    assert_eq!(waits.len(), expected.len(), "{waits:?}");
    assert!(
        waits
            .iter()
            .zip(expected)
            .all(|(&w, e)| (e..e + 3).contains(&w)),
        "{waits:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_sends_everything_unacknowledged_again() {
    let boat = Boat::new(20, 100, 50, |shore| {
        shore.failures = 3;
        shore.breaks_after = Some(15);
        shore.acks = |times| times > 1;
    });
    boat.delivered().await;
    let shore = boat.shore.lock().unwrap();
    assert_eq!(shore.connections, 2);
    let again = shore
        .sent
        .iter()
        .filter(|(connection, ..)| *connection == 2)
        .count();
    assert!(again >= 40, "everything is sent over the second connection");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_accepts_nothing_is_reconnected() {
    let boat = Boat::new(1, 100, 50, |shore| {
        shore.accepts = false;
        shore.acks = |times| times == 3;
    });
    boat.delivered().await;
    // Together, each of them alone, and the one that is acknowledged.
    assert_eq!(boat.shore.lock().unwrap().connections, 4);
}

#[tokio::test(start_paused = true)]
async fn foreign_and_malformed_acks_change_nothing() {
    let boat = Boat::new(2, 100, 50, |shore| shore.acks = |_| false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let key = boat.sent()[0];
    let (to_boat, number) = {
        let shore = boat.shore.lock().unwrap();
        (shore.to_boat.clone().unwrap(), shore.connections)
    };
    let mut newer = ack("balaena", key);
    newer[5] = 9;
    let mut damaged = ack("balaena", key);
    *damaged.last_mut().unwrap() ^= 1;
    let huge = vec![0; 2 * wire::MAX_MESSAGE];
    for bytes in [
        vec![],
        b"FLKW".to_vec(),
        newer,
        damaged,
        huge,
        ack("mysticeta", key),
    ] {
        to_boat.send(Ok(UplinkEvent::Ack(bytes))).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(boat.counts.counts().unwrap().pending(), 4);
    to_boat
        .send(Ok(UplinkEvent::Ack(ack("balaena", key))))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        boat.counts.counts().unwrap().pending(),
        3,
        "a valid one still counts"
    );
    assert_eq!(boat.shore.lock().unwrap().connections, number);
}

#[tokio::test(start_paused = true)]
async fn rejected_messages_become_dead_letters_and_block_nothing() {
    // More than one window at the head, and some pictures.
    let boat = Boat::new(130, 100, 50, |shore| {
        shore.rejects = |key| {
            let number = key.sighting.as_u128();
            match key.part {
                MessageKind::Sighting => number <= 110,
                MessageKind::Picture => number <= 5,
                MessageKind::Brief | MessageKind::PicturePart => false,
            }
        };
    });
    boat.delivered().await;
    assert_eq!(boat.sent().len(), 260, "each once");
    assert_eq!(boat.counts.counts().unwrap().dead_letters, 115);
    let health = Health::of(&boat.counters, InputHealth::default());
    assert_eq!((health.rejected, health.acknowledged), (115, 145));
    let listing = crate::outbox::Listing::read(boat.folder.path()).unwrap();
    assert_eq!(
        listing.dead_letters[0].reason.as_deref(),
        Some(
            "shore rejected it: invalid: no whale. Once the cause is removed, run `flukewatch-edge outbox --resend`"
        )
    );

    boat.shore.lock().unwrap().rejects = |_| false;
    assert_eq!(crate::outbox::resend(boat.folder.path()).unwrap(), 115);
    boat.delivered().await;
    assert_eq!(boat.counts.counts().unwrap().dead_letters, 0);
    assert_eq!(
        boat.shore.lock().unwrap().connections,
        1,
        "the connection stays"
    );
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_other_content_deletes_nothing() {
    for digests in [(|_| None) as NamedDigest, |_| {
        Some(MessageDigest::of(b"another message"))
    }] {
        let boat = Boat::new(2, 100, 50, |shore| shore.digests = Some(digests));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let counts = boat.counts.counts().unwrap();
        assert_eq!((counts.pending(), counts.dead_letters), (4, 0));
        assert_eq!(boat.counters.invalid_signature(), 5, "each is counted");
    }
    let right: NamedDigest = |message| Some(MessageDigest::of(message));
    let boat = Boat::new(2, 100, 50, |shore| shore.digests = Some(right));
    boat.delivered().await;
    assert_eq!(boat.counters.invalid_signature(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_a_message_not_in_flight_is_of_the_content_on_disk() {
    // The sighting is in flight, its picture is not.
    let boat = Boat::new(1, 100, 1, |shore| {
        shore.digests = Some(|_| None);
        shore.acks = |_| false;
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let key = Key {
        part: MessageKind::Picture,
        ..boat.sent()[0]
    };
    assert!(!boat.sent().contains(&key));
    let Load::Message(message) = boat.counts.load(key).unwrap() else {
        panic!("{key:?} is not pending");
    };
    let receive = |digest| {
        let to_boat = boat.shore.lock().unwrap().to_boat.clone().unwrap();
        let ack = bound_ack("balaena", key, Some(digest));
        to_boat.send(Ok(UplinkEvent::Ack(ack))).unwrap();
        tokio::time::sleep(Duration::from_secs(1))
    };
    receive(MessageDigest::of(b"another message")).await;
    assert_eq!(boat.counts.counts().unwrap().pending(), 2);
    receive(MessageDigest::of(&message)).await;
    assert_eq!(boat.counts.counts().unwrap().pending(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forged_or_late_rejection_deletes_nothing() {
    let boat = Boat::new(2, 100, 50, |shore| shore.acks = |_| false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let key = boat.sent()[0];
    let Load::Message(message) = boat.counts.load(key).unwrap() else {
        panic!("{key:?} is not pending");
    };
    let receive = |bytes: Vec<u8>| {
        let to_boat = boat.shore.lock().unwrap().to_boat.clone().unwrap();
        to_boat.send(Ok(UplinkEvent::Ack(bytes))).unwrap();
        tokio::time::sleep(Duration::from_secs(1))
    };
    let counts = || {
        let counts = boat.counts.counts().unwrap();
        (counts.pending(), counts.dead_letters)
    };
    let mut damaged = rejection("balaena", key.part, &message);
    *damaged.last_mut().unwrap() ^= 1;
    for bytes in [
        rejection("balaena", key.part, b"another message"),
        rejection("balaena", MessageKind::Picture, &message),
        rejection("mysticeta", key.part, &message),
        damaged,
    ] {
        receive(bytes).await;
        assert_eq!(counts(), (4, 0));
    }
    let real = rejection("balaena", key.part, &message);
    receive(real.clone()).await;
    assert_eq!(counts(), (3, 1), "kept as a dead letter");
    receive(real.clone()).await;
    assert_eq!(counts(), (3, 1));
    // Late: the message was resent and is acknowledged.
    crate::outbox::resend(boat.folder.path()).unwrap();
    tokio::time::sleep(TIMEOUT * 3).await;
    receive(ack("balaena", key)).await;
    receive(real).await;
    assert_eq!(counts(), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn unsendable_messages_do_not_block_the_rest() {
    let boat = Boat::new(3, 100, 50, |shore| shore.failures = 1);
    let first = boat
        .folder
        .path()
        .join(format!("pictures/{}.jpg", uuid::Uuid::from_u128(1)));
    std::fs::write(first, "damaged").unwrap();
    boat.delivered().await;
    assert_eq!(
        boat.counts.counts().unwrap(),
        Counts {
            sightings: 0,
            pictures: 0,
            dead_letters: 1,
            accepted: 3,
            unidentified: 0,
        }
    );
    assert_eq!(boat.sent().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn pictures_in_flight_are_limited_in_bytes() {
    let boat = Boat::new(20, 190_000, 50, |shore| shore.acks = |_| false);
    tokio::time::sleep(TIMEOUT / 2).await;
    let pictures = boat
        .sent()
        .iter()
        .filter(|k| k.part == MessageKind::Picture)
        .count();
    assert_eq!(
        pictures, 15,
        "15 parts of 64 KiB and 20 sightings stay below 1 MiB"
    );
}

/// A boat with sightings and pictures of 5 kB, and one picture of 150 kB.
fn boat_with_a_large_picture(change: impl FnOnce(&mut Shore)) -> Boat {
    let mut boat = Boat::new(6, 5_000, 50, |shore| {
        shore.failures = 1;
        change(shore);
    });
    let (sighting, jpeg) = sample::sighting(7, 150_000);
    boat.outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
    boat
}

/// How many connections are made in this time.
async fn connections_in(boat: &Boat, time: Duration) -> u32 {
    let before = boat.shore.lock().unwrap().connections;
    tokio::time::sleep(time).await;
    boat.shore.lock().unwrap().connections - before
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_broker_closes_on_is_found_and_the_rest_goes_on() {
    let boat = boat_with_a_large_picture(|shore| shore.closes_above = 60_000);
    boat.delivered().await;
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.accepted, counts.dead_letters), (7, 1));
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(boat.shore.lock().unwrap().connections, 4);
    assert_eq!(connections_in(&boat, TIMEOUT).await, 0);
    let listing = crate::outbox::Listing::read(boat.folder.path()).unwrap();
    assert_eq!(
        (
            listing.dead_letters[0].sequence,
            listing.dead_letters[0].part
        ),
        (7, "picture")
    );
    // Once the limit is raised, it can be sent.
    boat.shore.lock().unwrap().closes_above = usize::MAX;
    assert_eq!(crate::outbox::resend(boat.folder.path()).unwrap(), 1);
    boat.delivered().await;
    assert_eq!(boat.counts.counts().unwrap().dead_letters, 0);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_closes_on_every_message_gets_no_dead_letters() {
    let boat = Boat::new(3, 100, 50, |shore| shore.closes_above = 0);
    boat.shore.lock().unwrap().acks = |_| false;
    tokio::time::sleep(TIMEOUT).await;
    let hour = connections_in(&boat, TIMEOUT * 60).await;
    assert!((120..=260).contains(&hour), "{hour} connections in an hour");
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.pending(), counts.dead_letters), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_only_the_link_fails_on_is_kept_and_blocks_nothing() {
    let mut boat = boat_with_a_large_picture(|shore| shore.fails_above = 60_000);
    tokio::time::sleep(TIMEOUT * 5).await;
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.pending(), counts.dead_letters), (1, 0));
    let (sighting, jpeg) = sample::sighting(8, 100);
    boat.outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
    tokio::time::sleep(TIMEOUT * 2).await;
    assert_eq!(boat.counts.counts().unwrap().pending(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_broker_drops_is_found_and_the_rest_goes_on() {
    let mut boat = boat_with_a_large_picture(|shore| shore.drops_above = 60_000);
    for number in 8..20 {
        let (sighting, jpeg) = sample::sighting(number, 5_000);
        boat.outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
        tokio::time::sleep(TIMEOUT / 2).await;
    }
    boat.delivered().await;
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.accepted, counts.dead_letters), (19, 1));
}

#[tokio::test(start_paused = true)]
async fn dropped_messages_do_not_fill_the_window() {
    let mut boat = Boat::new(20, 190_000, 50, |shore| shore.drops_above = 60_000);
    let (sighting, jpeg) = sample::sighting(21, 100);
    boat.outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
    tokio::time::sleep(TIMEOUT * 30).await;
    let sent = boat.sent();
    let small = Key {
        sighting: sighting.id,
        part: MessageKind::Picture,
        revision: 0,
    };
    assert!(sent.contains(&small), "the small picture is sent");
}

#[tokio::test(start_paused = true)]
async fn the_status_is_reported_each_minute_and_when_its_severity_changes() {
    let boat = Boat::new(1, 100, 50, |shore| shore.breaks_after = Some(0));
    let reports = || boat.shore.lock().unwrap().reports.clone();
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(reports().len(), 0, "no health document yet");
    let mut health = Health::of(&boat.counters, InputHealth::default());
    boat.board.publish(health.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(reports().len(), 1);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(reports().len(), 1, "nothing has changed");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(reports().len(), 2);
    health.dead_letters = 1;
    boat.board.publish(health.clone());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = reports();
    let severities: Vec<_> = all
        .iter()
        .map(|(_, r, _)| r.condition.as_ref().unwrap().severity)
        .collect();
    assert_eq!(severities, [Severity::Ok, Severity::Ok, Severity::Warning]);
    // The last will is of the same connection, the second one.
    let shore = boat.shore.lock().unwrap();
    assert_eq!(shore.last_wills.len(), 2);
    for (number, last_will) in (1..).zip(&shore.last_wills) {
        let last_will: StatusReport = wire::decode(last_will.as_ref().unwrap()).unwrap();
        assert_eq!(
            (last_will.condition, last_will.connection.number),
            (None, number)
        );
    }
    assert!(
        all.iter()
            .all(|(connection, report, _)| { *connection == 2 && report.connection.number == 2 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_permits_no_status_still_takes_messages() {
    let boat = Boat::new(0, 100, 50, |shore| shore.closes_on_status = true);
    let health = Health::of(&boat.counters, InputHealth::default());
    boat.board.publish(health);
    tokio::time::sleep(TIMEOUT * 5).await;
    {
        let shore = boat.shore.lock().unwrap();
        let with_will: Vec<bool> = shore.last_wills.iter().map(Option::is_some).collect();
        assert_eq!(with_will, [true, true, true, false]);
        assert_eq!(shore.reports.len(), 3);
    }
    // A later connection tries again.
    let to_boat = boat.shore.lock().unwrap().to_boat.clone().unwrap();
    boat.shore.lock().unwrap().closes_on_status = false;
    to_boat.send(Err(LinkError::new("cut"))).unwrap();
    tokio::time::sleep(TIMEOUT * 2).await;
    let shore = boat.shore.lock().unwrap();
    assert!(shore.last_wills[4].is_some());
    assert!(shore.reports.len() >= 4);
}

#[tokio::test(start_paused = true)]
async fn a_twin_is_recognised_within_seconds_and_forgotten_when_it_ends() {
    let boat = Boat::new(1, 100, 50, |_| {});
    tokio::time::sleep(TIMEOUT * 3).await;
    assert!(!boat.counters.has_twin());
    let report = |instance: u128| {
        let presence = flukewatch_common::presence::Presence {
            boat: sample::boat(),
            instance: uuid::Uuid::from_u128(instance),
            epoch: uuid::Uuid::nil(),
        };
        let message = wire::encode(&presence).unwrap();
        let to_boat = boat.shore.lock().unwrap().to_boat.clone().unwrap();
        to_boat.send(Ok(UplinkEvent::Presence(message))).unwrap();
    };
    report(2);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(!boat.counters.has_twin(), "it may have ended");
    // The boat's own report, 2 s later, may be late on a busy machine.
    for _ in 0..5 {
        report(2);
        tokio::time::sleep(Duration::from_secs(4)).await;
        if boat.counters.has_twin() {
            break;
        }
    }
    assert!(boat.counters.has_twin());
    tokio::time::sleep(TIMEOUT * 5).await;
    assert!(!boat.counters.has_twin());
}

#[tokio::test(start_paused = true)]
async fn over_iridium_identities_are_sent_under_the_budget_and_all_in_harbour() {
    let hour = Duration::from_secs(3600);
    let boat = Boat::on_link(LinkClass::Iridium, 200, 5_000, 50, |_| {});
    let health = Health::of(&boat.counters, InputHealth::default());
    boat.board.publish(health);
    tokio::time::sleep(hour).await;
    let first = boat.sent();
    assert!(
        (25..60).contains(&first.len()),
        "{} in an hour",
        first.len()
    );
    let (_, spent) = boat.budget.totals()[LinkClass::Iridium.index()];
    assert!((22_000..=30_000).contains(&spent), "{spent} bytes");
    let reports = boat.shore.lock().unwrap().reports.len();
    assert!((4..=5).contains(&reports), "{reports} status reports");
    tokio::time::sleep(6 * hour).await;
    let sent = boat.sent();
    assert_eq!(sent.len(), 200, "each once");
    assert!(sent.iter().all(|key| key.part == MessageKind::Brief));
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.sightings, counts.pictures), (200, 200));
    boat.budget.set_class(LinkClass::Harbour);
    boat.delivered().await;
    let sent = boat.sent();
    assert_eq!(sent.len(), 600);
    assert!(
        sent[200..400]
            .iter()
            .all(|key| key.part == MessageKind::Sighting)
    );
    assert_eq!(
        boat.shore.lock().unwrap().connections,
        2,
        "probed more often"
    );
}

#[tokio::test(start_paused = true)]
async fn over_vsat_identities_go_before_sightings_and_these_before_pictures() {
    let boat = Boat::on_link(LinkClass::Vsat, 100, 5_000, 50, |_| {});
    boat.delivered().await;
    let parts: Vec<MessageKind> = boat.sent().iter().map(|key| key.part).collect();
    let expected = [
        MessageKind::Brief,
        MessageKind::Sighting,
        MessageKind::Picture,
    ];
    let expected: Vec<MessageKind> = expected.into_iter().flat_map(|part| [part; 100]).collect();
    assert_eq!(parts, expected);
}

#[tokio::test(start_paused = true)]
async fn a_brief_that_shore_rejects_is_not_sent_again() {
    let boat = Boat::on_link(LinkClass::Iridium, 3, 100, 50, |shore| {
        shore.rejects = |key| key.part == MessageKind::Brief;
    });
    tokio::time::sleep(TIMEOUT * 60).await;
    assert_eq!(boat.sent().len(), 3);
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.pending(), counts.dead_letters), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_for_it_no_connection_is_made() {
    let boat = Boat::on_link(LinkClass::Iridium, 1, 100, 50, |shore| shore.failures = 1);
    boat.budget.spend(30_000);
    tokio::time::sleep(TIMEOUT * 59).await;
    let attempts = |boat: &Boat| {
        let shore = boat.shore.lock().unwrap();
        (shore.failures, shore.connections)
    };
    assert_eq!(attempts(&boat), (1, 0));
    tokio::time::sleep(TIMEOUT * 4).await;
    assert_eq!(attempts(&boat), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_one_link_failed_on_does_not_stop_another() {
    let boat = Boat::new(3, 60_000, 50, |shore| shore.fails_above = 50_000);
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(boat.counts.counts().unwrap().sightings, 0);
    boat.budget.set_class(LinkClass::Iridium);
    tokio::time::sleep(TIMEOUT).await;
    let connections = connections_in(&boat, TIMEOUT * 30).await;
    assert_eq!(connections, 0, "no picture is tried");
    assert_eq!(boat.counts.counts().unwrap().pictures, 3);
}

#[tokio::test(start_paused = true)]
async fn an_hour_over_iridium_without_a_sighting_costs_little() {
    let hour = Duration::from_secs(3600);
    let boat = Boat::on_link(LinkClass::Iridium, 0, 100, 50, |_| {});
    let mut health = Health::of(&boat.counters, InputHealth::default());
    health.link = crate::link_budget::LinkHealth {
        class: LinkClass::Iridium,
        report_interval_seconds: 900,
        bytes_per_hour: Some(30_000),
        bytes_left: Some(20_000),
        ..health.link
    };
    boat.board.publish(health);
    let spent = || boat.budget.totals()[LinkClass::Iridium.index()].1;
    tokio::time::sleep(hour / 2).await;
    let before = spent();
    tokio::time::sleep(hour).await;
    let quiet = spent() - before;
    // Less than an eighth of the hour, which identities leave to it.
    assert!((2_000..3_750).contains(&quiet), "{quiet} bytes");
    assert!(
        (4_000..6_500).contains(&(before - quiet / 2)),
        "{before} bytes with the connection"
    );
}

/// Records an encounter, and lets shore request its crops.
fn request_crops(boat: &mut Boat, issued: i64, over_any_link: bool) {
    let (recording, jpeg) = sample::recording(99);
    let id = recording.sighting.id;
    boat.outbox
        .record(&recording, &jpeg, sample::taken(), Timestamp(0))
        .unwrap();
    let mut recordings = boat.outbox.recordings().unwrap();
    recordings.conclude(id, false, |s| s.frames = 42).unwrap();
    let command = Command {
        boat: sample::boat(),
        issued: Timestamp(issued),
        files: vec![RequestedFile {
            id: Uuid::from_u128(7),
            sighting: id,
            file: EncounterFile::Crops,
            received: None,
            max_bytes: 1 << 30,
            expires: Timestamp(1 << 40),
            over_any_link,
        }],
    };
    let command = wire::encode(&command).unwrap();
    let shore = boat.shore.lock().unwrap();
    let to_boat = shore.to_boat.clone().unwrap();
    to_boat.send(Ok(UplinkEvent::Command(command))).unwrap();
}

fn chunks(boat: &Boat) -> Vec<Vec<u8>> {
    boat.shore.lock().unwrap().chunks.clone()
}

#[tokio::test(start_paused = true)]
async fn requested_files_are_sent_after_everything_else() {
    let mut boat = Boat::new(30, 100_000, 10, |_| {});
    tokio::time::sleep(Duration::from_millis(1)).await;
    request_crops(&mut boat, 1, false);
    boat.delivered().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let chunks = chunks(&boat);
    assert_eq!(chunks.len(), 1, "a small file");
    assert!(wire::decode::<Chunk>(&chunks[0]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn malformed_and_foreign_commands_change_nothing() {
    let mut boat = Boat::new(0, 100, 10, |_| {});
    tokio::time::sleep(Duration::from_secs(2)).await;
    let foreign = Command {
        boat: "orca".parse().unwrap(),
        issued: Timestamp(9),
        files: vec![],
    };
    for bytes in [b"FLKW".to_vec(), wire::encode(&foreign).unwrap(), vec![]] {
        let to_boat = boat.shore.lock().unwrap().to_boat.clone().unwrap();
        to_boat.send(Ok(UplinkEvent::Command(bytes))).unwrap();
    }
    request_crops(&mut boat, 1, false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(chunks(&boat).len(), 1);
    assert_eq!(boat.shore.lock().unwrap().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn over_iridium_a_file_is_sent_only_where_the_request_says_so() {
    let mut boat = Boat::on_link(LinkClass::Iridium, 0, 100, 10, |_| {});
    tokio::time::sleep(Duration::from_secs(2)).await;
    request_crops(&mut boat, 1, false);
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(chunks(&boat).len(), 0);
    request_crops(&mut boat, 2, true);
    tokio::time::sleep(TIMEOUT).await;
    let sent = chunks(&boat);
    assert!((1..=4).contains(&sent.len()), "{}", sent.len());
    assert!(sent.iter().all(|chunk| chunk.len() < 2_200));
    let left = boat.budget.bytes_left().unwrap();
    assert!(left > 17_000, "{left}: most of the hour is for identities");
}
