use super::*;
use crate::health::{Health, InputHealth};
use crate::outbox::{Counts, Outbox};
use crate::sample;
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::sighting::{Acknowledged, MessageKind};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

type Events = Result<UplinkEvent, LinkError>;

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
    /// The connection fails after this many messages.
    breaks_after: Option<usize>,
    to_boat: Option<UnboundedSender<Events>>,
}

struct FakeUplink {
    shore: Arc<Mutex<Shore>>,
    events: Option<UnboundedReceiver<Events>>,
}

impl Uplink for FakeUplink {
    async fn connect(&mut self) -> Result<(), LinkError> {
        let mut shore = self.shore.lock().unwrap();
        if shore.failures > 0 {
            shore.failures -= 1;
            return Err(LinkError("connection failed".into()));
        }
        shore.connections += 1;
        let (sender, receiver) = unbounded_channel();
        shore.to_boat = Some(sender);
        self.events = Some(receiver);
        Ok(())
    }

    fn send(&mut self, key: Key, _topic: &str, _message: Vec<u8>) -> Result<bool, LinkError> {
        let mut shore = self.shore.lock().unwrap();
        let connection = shore.connections;
        shore.sent.push((connection, key, Instant::now()));
        let to_boat = shore.to_boat.clone().unwrap();
        if shore.breaks_after.is_some_and(|n| shore.sent.len() > n) {
            shore.breaks_after = None;
            to_boat.send(Err(LinkError("cut".into()))).unwrap();
            return Ok(true);
        }
        if shore.accepts {
            to_boat.send(Ok(UplinkEvent::BrokerAccepted(key))).unwrap();
        }
        let times = shore.sent.iter().filter(|(_, k, _)| *k == key).count();
        if (shore.acks)(times) {
            to_boat
                .send(Ok(UplinkEvent::Ack(ack("balaena", key))))
                .unwrap();
        }
        Ok(true)
    }

    async fn event(&mut self) -> Result<UplinkEvent, LinkError> {
        self.events.as_mut().unwrap().recv().await.unwrap()
    }
}

fn ack(boat: &str, key: Key) -> Vec<u8> {
    wire::encode(&Ack {
        boat: boat.parse().unwrap(),
        stored: vec![Acknowledged {
            sighting: key.sighting,
            kind: key.part,
            revision: key.revision,
        }],
    })
    .unwrap()
}

struct Boat {
    folder: tempfile::TempDir,
    _outbox: Outbox,
    counts: Queue,
    shore: Arc<Mutex<Shore>>,
    counters: Arc<Counters>,
    uploader: JoinHandle<()>,
}

const TIMEOUT: Duration = Duration::from_secs(60);

impl Boat {
    /// A boat with `sightings` in its outbox, each with a picture of `bytes` bytes, and a shore changed
    /// by `change`.
    fn new(sightings: u64, bytes: usize, window: usize, change: impl FnOnce(&mut Shore)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path(), &sample::boat(), 1 << 30).unwrap();
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
            breaks_after: None,
            to_boat: None,
        };
        change(&mut shore);
        let shore = Arc::new(Mutex::new(shore));
        let counters = Arc::new(Counters::default());
        let uploader = Uploader::new(UploaderParts {
            uplink: FakeUplink {
                shore: shore.clone(),
                events: None,
            },
            broker: "memory".into(),
            queue: outbox.queue().unwrap(),
            settings: UploaderSettings {
                window,
                ack_timeout: TIMEOUT,
            },
            backoff: Backoff::new(Duration::from_secs(30), Box::new(StdRng::seed_from_u64(7))),
            clock: Arc::new(ManualClock::new(Timestamp(0))),
            counters: counters.clone(),
            accepted: Arc::new(Notify::new()),
        });
        let counts = outbox.queue().unwrap();
        Self {
            folder,
            _outbox: outbox,
            counts,
            shore,
            counters,
            uploader: tokio::spawn(uploader.run()),
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
            accepted: 60
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
    assert_eq!(boat.shore.lock().unwrap().connections, 3);
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
            accepted: 3
        }
    );
    assert_eq!(boat.sent().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn pictures_in_flight_are_limited_in_bytes() {
    let boat = Boat::new(12, 190_000, 50, |shore| shore.acks = |_| false);
    tokio::time::sleep(TIMEOUT / 2).await;
    let pictures = boat
        .sent()
        .iter()
        .filter(|k| k.part == MessageKind::Picture)
        .count();
    assert_eq!(pictures, 5, "5 x 190 kB and 12 sightings stay below 1 MiB");
}
