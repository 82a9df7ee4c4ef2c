use super::*;
use crate::outbox::{Key, Listing, Load, Outbox, recent, recent_picture, resend};
use crate::sample;
use crate::time::{MonotonicTimestamp, Timing};
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use std::collections::HashSet;
use std::path::Path;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
/// How much all clocks were wrong, in milliseconds.
const ERROR: i64 = 86_400_000;

fn open(folder: &Path) -> Outbox {
    Outbox::open(folder, &sample::boat(), 1 << 30, sample::epoch())
        .unwrap()
        .during(Some("boot".into()))
}

/// Taken at its number in milliseconds.
fn accept(outbox: &mut Outbox, number: u64) {
    let (sighting, jpeg) = sample::sighting(number, 500);
    let taken = Taken {
        started: MonotonicTimestamp::from_millis(number as i64),
        timing: Timing::Driver,
        clock: TimeSource::System,
    };
    outbox
        .accept_taken(&sighting, &jpeg, Some(taken), NOW)
        .unwrap();
}

fn key(number: u64, part: MessageKind, revision: u32) -> Key {
    Key {
        sighting: Uuid::from_u128(u128::from(number)),
        part,
        revision,
    }
}

fn sighting_key(number: u64, revision: u32) -> Key {
    key(number, MessageKind::Sighting, revision)
}

fn picture_key(number: u64) -> Key {
    key(number, MessageKind::Picture, 0)
}

/// Corrects the sightings in `numbers` that have no GNSS time yet.
fn correct(queue: &mut Queue, boot: &str, numbers: &[i64]) -> Result<Corrected, OutboxError> {
    let numbers: Vec<MonotonicTimestamp> = numbers
        .iter()
        .map(|n| MonotonicTimestamp::from_millis(*n))
        .collect();
    queue.correct_times(boot, |taken, started| {
        let wrong = taken.clock == TimeSource::System && numbers.contains(&taken.started);
        wrong.then(|| Correction {
            started: started.plus_millis(ERROR),
            basis: TimeBasis {
                source: TimeSource::Gnss,
                uncertainty: Some(520),
            },
            clock: TimeSource::Gnss,
        })
    })
}

fn pending(queue: &Queue) -> Vec<Key> {
    let all = queue.next(&HashSet::new(), 1000).unwrap();
    all.into_iter().map(|p| p.key).collect()
}

fn load(queue: &Queue, key: Key) -> Sighting {
    match queue.load(key).unwrap() {
        Load::Message(message) => wire::decode(&message).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn corrected(revised: usize, unavailable: usize) -> Corrected {
    Corrected {
        revised,
        unavailable,
    }
}

#[test]
fn a_pending_sighting_is_replaced_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    (1..=3).for_each(|n| accept(&mut outbox, n));
    let mut queue = outbox.queue().unwrap();
    let before = load(&queue, sighting_key(2, 0));
    assert_eq!(correct(&mut queue, "boot", &[2]).unwrap(), corrected(1, 0));
    let order = [
        sighting_key(1, 0),
        sighting_key(2, 1),
        sighting_key(3, 0),
        picture_key(1),
        picture_key(2),
        picture_key(3),
    ];
    assert_eq!(pending(&queue), order);
    let expected = Sighting {
        started: before.started.plus_millis(ERROR),
        ended: before.ended.plus_millis(ERROR),
        time: Some(TimeBasis {
            source: TimeSource::Gnss,
            uncertainty: Some(520),
        }),
        revision: 1,
        ..before
    };
    assert_eq!(load(&queue, sighting_key(2, 1)), expected);
    assert_eq!(correct(&mut queue, "boot", &[2]).unwrap(), corrected(0, 0));

    // The first revision may be in flight: its acknowledgement deletes nothing.
    assert_eq!(
        queue.load(sighting_key(2, 0)).unwrap(),
        Load::AlreadyAcknowledged
    );
    assert_eq!(queue.acknowledge(&[sighting_key(2, 0)]).unwrap(), 0);
    queue
        .move_to_dead_letters(sighting_key(2, 0), "too large", NOW)
        .unwrap();
    assert_eq!(pending(&queue), order);
    assert_eq!(queue.acknowledge(&[sighting_key(2, 1)]).unwrap(), 1);
}

#[test]
fn a_delivered_sighting_is_queued_again_without_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    (1..=2).for_each(|n| accept(&mut outbox, n));
    let mut queue = outbox.queue().unwrap().archives();
    let delivered = [sighting_key(1, 0), picture_key(1)];
    assert_eq!(queue.acknowledge(&delivered).unwrap(), 2);
    let before = queue.backlog().unwrap();
    assert_eq!(correct(&mut queue, "boot", &[1]).unwrap(), corrected(1, 0));
    let order = [sighting_key(2, 0), sighting_key(1, 1), picture_key(2)];
    assert_eq!(pending(&queue), order);
    let shown = recent(folder.path(), 2).unwrap().pop().unwrap();
    assert_eq!(
        (shown.sighting.revision, shown.acknowledged),
        (1, false),
        "the correction is not delivered yet"
    );

    assert_eq!(queue.acknowledge(&[sighting_key(1, 1)]).unwrap(), 1);
    let shown = recent(folder.path(), 2).unwrap().pop().unwrap();
    assert_eq!((shown.sighting.revision, shown.acknowledged), (1, true));
    let after = queue.backlog().unwrap();
    assert_eq!(after.archived, before.archived);
    assert!(
        after.archived_bytes.abs_diff(before.archived_bytes) < 20,
        "the replaced message is not counted: {before:?} {after:?}"
    );
    assert!(
        recent_picture(folder.path(), shown.sighting.id)
            .unwrap()
            .is_some()
    );
    let oldest = queue.backlog().unwrap().oldest;
    assert_eq!(oldest, Some(NOW), "of the other sighting");
}

#[test]
fn a_dead_letter_is_corrected_and_resent_as_its_revision() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    (1..=2).for_each(|n| accept(&mut outbox, n));
    let mut queue = outbox.queue().unwrap().archives();
    queue.acknowledge(&[sighting_key(1, 0)]).unwrap();
    assert_eq!(correct(&mut queue, "boot", &[1]).unwrap(), corrected(1, 0));
    // The revision of one and the first message of the other.
    for key in [sighting_key(1, 1), sighting_key(2, 0)] {
        queue.move_to_dead_letters(key, "closed", NOW).unwrap();
    }
    assert_eq!(correct(&mut queue, "boot", &[2]).unwrap(), corrected(1, 0));
    let pictures = [picture_key(1), picture_key(2)];
    assert_eq!(pending(&queue), pictures);

    assert_eq!(resend(folder.path()).unwrap(), 2);
    let sightings = [sighting_key(1, 1), sighting_key(2, 1)];
    assert_eq!(pending(&queue), [sightings, pictures].concat());
    for key in sightings {
        let sighting = load(&queue, key);
        assert_eq!(sighting.revision, 1);
        assert_eq!(sighting.time.unwrap().source, TimeSource::Gnss);
    }
    assert_eq!(queue.acknowledge(&sightings).unwrap(), 2);
    assert_eq!(pending(&queue), pictures);
}

#[test]
fn a_correction_does_not_change_the_age_of_messages() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept(&mut outbox, 1);
    let mut queue = outbox.queue().unwrap();
    assert_eq!(correct(&mut queue, "boot", &[1]).unwrap(), corrected(1, 0));
    assert_eq!(queue.backlog().unwrap().oldest, Some(NOW));
}

#[test]
fn what_is_not_on_board_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    (1..=2).for_each(|n| accept(&mut outbox, n));
    let (mut huge, jpeg) = sample::sighting(3, 500);
    huge.camera = "c".repeat(wire::MAX_MESSAGE);
    let taken = Taken {
        started: MonotonicTimestamp::from_millis(3),
        timing: Timing::Driver,
        clock: TimeSource::System,
    };
    outbox.accept_taken(&huge, &jpeg, Some(taken), NOW).unwrap();
    let mut queue = outbox.queue().unwrap();
    let delivered = [sighting_key(1, 0), picture_key(1)];
    queue.acknowledge(&delivered).unwrap();
    assert_eq!(
        correct(&mut queue, "boot", &[1, 2, 3]).unwrap(),
        corrected(1, 2),
        "one has left the boat, one is a dead letter"
    );
    assert_eq!(
        correct(&mut queue, "boot", &[1, 2, 3]).unwrap(),
        corrected(0, 0)
    );
    assert_eq!(Listing::read(folder.path()).unwrap().dead_letters.len(), 1);
}

#[test]
fn other_boots_and_unknown_timestamps_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept(&mut outbox, 1);
    let (sighting, jpeg) = sample::sighting(2, 500);
    outbox.accept(&sighting, &jpeg, NOW).unwrap();
    drop(outbox);
    let mut outbox = open(folder.path()).during(Some("next boot".into()));
    accept(&mut outbox, 3);
    drop(outbox);
    let mut outbox = open(folder.path()).during(None);
    accept(&mut outbox, 4);
    let mut queue = outbox.queue().unwrap();
    let all = [1, 2, 3, 4];
    assert_eq!(correct(&mut queue, "other", &all).unwrap(), corrected(0, 0));
    assert_eq!(
        correct(&mut queue, "next boot", &all).unwrap(),
        corrected(1, 0)
    );
    assert_eq!(correct(&mut queue, "boot", &all).unwrap(), corrected(1, 0));
    let revisions: Vec<u32> = pending(&queue).iter().map(|k| k.revision).collect();
    assert_eq!(revisions[..4], [1, 0, 1, 0]);
}

#[test]
fn sightings_under_an_earlier_name_of_the_boat_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept(&mut outbox, 1);
    let mut queue = outbox.queue().unwrap().archives();
    queue
        .acknowledge(&[sighting_key(1, 0), picture_key(1)])
        .unwrap();
    drop((outbox, queue));
    let renamed = Outbox::open(
        folder.path(),
        &"mysticeta".parse().unwrap(),
        1 << 30,
        sample::epoch(),
    )
    .unwrap();
    let mut queue = renamed.queue().unwrap();
    assert_eq!(correct(&mut queue, "boot", &[1]).unwrap(), corrected(0, 0));
    assert_eq!(pending(&queue), []);
}

#[test]
fn an_interrupted_correction_continues_with_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let count = BATCH as u64 + 20;
    (1..=count).for_each(|n| accept(&mut outbox, n));
    let mut queue = outbox.queue().unwrap();
    let numbers: Vec<i64> = (1..=count as i64).collect();
    let stop = "CREATE TEMP TRIGGER power_cut BEFORE UPDATE ON main.sighting
                WHEN new.sequence = 110 BEGIN SELECT RAISE(ABORT, 'cut'); END";
    queue.connection.execute_batch(stop).unwrap();
    assert!(matches!(
        correct(&mut queue, "boot", &numbers),
        Err(OutboxError::Database { .. })
    ));
    let revisions = |queue: &Queue| -> Vec<u32> {
        let all = pending(queue).into_iter();
        all.filter(|k| k.part == MessageKind::Sighting)
            .map(|k| k.revision)
            .collect()
    };
    let half = [vec![1; BATCH], vec![0; 20]].concat();
    assert_eq!(revisions(&queue), half, "a batch is corrected as a whole");
    // After the restart.
    drop((queue, outbox));
    let outbox = open(folder.path());
    let mut queue = outbox.queue().unwrap();
    assert_eq!(revisions(&queue), half);
    assert_eq!(
        correct(&mut queue, "boot", &numbers).unwrap(),
        corrected(20, 0)
    );
    assert_eq!(revisions(&queue), vec![1; count as usize]);
}
