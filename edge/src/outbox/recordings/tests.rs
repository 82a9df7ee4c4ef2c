use super::*;
use crate::outbox::recording_files::name;
use crate::outbox::{Key, Load, NewEpoch, Outbox, OutboxError};
use crate::sample;
use flukewatch_common::sighting::MessageKind;
use rusqlite::Connection;
use std::collections::HashSet;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const DAY: i64 = 86_400_000;
const ROOM: u64 = 1 << 30;

fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn open(folder: &Path, room: u64) -> Outbox {
    Outbox::open(folder, &sample::boat(), room, sample::epoch()).unwrap()
}

fn record(outbox: &mut Outbox, number: u64, at: Timestamp) -> Result<u64, OutboxError> {
    let (recording, jpeg) = sample::recording(number);
    outbox.record(&recording, &jpeg, sample::taken(), at)
}

/// The pending sightings.
fn pending(queue: &Queue) -> Vec<Sighting> {
    let keys = queue.next(&HashSet::new(), 99).unwrap();
    let sightings = keys.iter().filter(|p| p.key.part == MessageKind::Sighting);
    sightings
        .map(|p| match queue.load(p.key).unwrap() {
            Load::Message(message) => wire::decode(&message).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn acknowledge_all(queue: &mut Queue) {
    let keys = queue.next(&HashSet::new(), 99).unwrap();
    let keys: Vec<Key> = keys.iter().map(|p| p.key).collect();
    queue.acknowledge(&keys).unwrap();
}

fn known(sighting: &mut Sighting) {
    sighting.verdict = Verdict::New;
    sighting.embedding = flukewatch_common::samples::sighting().embedding;
}

#[test]
fn a_verdict_is_a_revision_of_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let queue = outbox.queue().unwrap();
    let mut recordings = outbox.recordings().unwrap();
    assert_eq!(recordings.next().unwrap(), None);
    assert_eq!(record(&mut outbox, 1, NOW).unwrap(), 1);
    assert_eq!(record(&mut outbox, 2, NOW).unwrap(), 2);
    assert_eq!(record(&mut outbox, 1, NOW).unwrap(), 1, "it is there");
    assert_eq!(pending(&queue), []);
    let open = recordings.next().unwrap().unwrap();
    assert_eq!((open.sighting, open.attempts), (id(1), 0));
    let loaded = recordings.load(id(1)).unwrap().unwrap();
    assert_eq!(loaded, sample::recording(1).0);

    recordings.begin(id(1)).unwrap();
    let next = recordings.next().unwrap().unwrap();
    assert_eq!(next.attempts, 1);
    let revised = recordings.conclude(id(1), false, known).unwrap().unwrap();
    assert_eq!((revised.revision, revised.sequence), (1, 1));
    assert_eq!(pending(&queue), [revised]);
    // Another worker is late.
    assert_eq!(recordings.conclude(id(1), false, known).unwrap(), None);
    assert_eq!(recordings.next().unwrap().unwrap().sighting, id(2));
    assert_eq!(recordings.all().unwrap(), [id(1), id(2)]);
    assert_eq!(queue.counts().unwrap().unidentified, 1);
}

#[test]
fn what_is_still_to_be_identified_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let mut queue = outbox.queue().unwrap();
    let mut recordings = outbox.recordings().unwrap();
    record(&mut outbox, 1, NOW).unwrap();
    queue.release_held(NOW.plus_millis(1)).unwrap();
    acknowledge_all(&mut queue);
    let counts = queue.counts().unwrap();
    assert_eq!((counts.pending(), counts.is_delivered()), (0, false));
    recordings.conclude(id(1), false, known).unwrap();
    assert!(!queue.counts().unwrap().is_delivered());
    acknowledge_all(&mut queue);
    assert!(queue.counts().unwrap().is_delivered());
}

#[test]
fn a_recorded_sighting_can_be_revised_after_shore_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let mut queue = outbox.queue().unwrap();
    let mut recordings = outbox.recordings().unwrap();
    record(&mut outbox, 1, NOW).unwrap();
    recordings.conclude(id(1), false, known).unwrap();
    acknowledge_all(&mut queue);
    assert_eq!(queue.counts().unwrap().pending(), 0);
    let revised = recordings.conclude(id(1), true, |s| s.frames = 42).unwrap();
    let revised = revised.unwrap();
    assert_eq!(
        (revised.revision, revised.frames, &revised.verdict),
        (2, 42, &Verdict::New)
    );
    assert_eq!(recordings.newest(id(1)).unwrap().as_ref(), Some(&revised));
    assert_eq!(recordings.newest(id(7)).unwrap(), None);
    assert_eq!(pending(&queue), [revised]);
}

#[test]
fn a_verdict_gives_a_rejected_sighting_another_chance() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let mut queue = outbox.queue().unwrap();
    let mut recordings = outbox.recordings().unwrap();
    record(&mut outbox, 1, NOW).unwrap();
    queue.release_held(NOW.plus_millis(1)).unwrap();
    let key = Key {
        sighting: id(1),
        part: MessageKind::Sighting,
        revision: 0,
    };
    queue.move_to_dead_letters(key, "version 7", NOW).unwrap();
    assert_eq!(pending(&queue), []);
    let revised = recordings.conclude(id(1), false, known).unwrap().unwrap();
    assert_eq!(pending(&queue), [revised]);
    assert_eq!(queue.counts().unwrap().dead_letters, 0);
}

#[test]
fn a_lost_recording_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let recordings = outbox.recordings().unwrap();
    record(&mut outbox, 1, NOW).unwrap();
    std::fs::remove_file(folder.path().join("recordings").join(name(id(1)))).unwrap();
    let lost = recordings.load(id(1)).unwrap();
    assert!(matches!(lost, Err(RecordingError::Missing)));
}

#[test]
fn recordings_are_pruned_once_shore_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let mut queue = outbox.queue().unwrap();
    let mut recordings = outbox.recordings().unwrap();
    let later = NOW.plus_millis(10 * DAY);
    for (number, at) in [(1, NOW), (2, NOW), (3, later), (4, NOW)] {
        record(&mut outbox, number, at).unwrap();
    }
    for number in [1, 3] {
        recordings.conclude(id(number), false, known).unwrap();
    }
    acknowledge_all(&mut queue);
    recordings.conclude(id(4), false, known).unwrap();
    let limits = RecordingLimits {
        max_age: Duration::from_secs(5 * 86_400),
        max_bytes: ROOM,
    };
    // The second is not identified, the third is young, the fourth is not acknowledged.
    assert_eq!(queue.prune_recordings(limits, later).unwrap(), 1);
    assert_eq!(recordings.all().unwrap(), [id(2), id(3), id(4)]);
    let nothing = RecordingLimits {
        max_bytes: 0,
        ..limits
    };
    assert_eq!(queue.prune_recordings(nothing, later).unwrap(), 1);
    let files = std::fs::read_dir(folder.path().join("recordings")).unwrap();
    assert_eq!(files.count(), 2);
}

#[test]
fn recordings_count_until_shore_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let size = sample::recording(1).0.to_file().unwrap().len() as u64 + 3000;
    let mut outbox = open(folder.path(), size * 5 / 2);
    let mut queue = outbox.queue().unwrap();
    let mut recordings = outbox.recordings().unwrap();
    record(&mut outbox, 1, NOW).unwrap();
    record(&mut outbox, 2, NOW).unwrap();
    let full = record(&mut outbox, 3, NOW);
    assert!(matches!(full, Err(OutboxError::Full { .. })), "{full:?}");
    recordings.conclude(id(1), false, known).unwrap();
    acknowledge_all(&mut queue);
    assert_eq!(record(&mut outbox, 3, NOW).unwrap(), 3);
}

#[test]
fn a_power_cut_leaves_no_recording_without_its_sighting() {
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("recordings");
    let part = |number: u64| files.join(format!("{}.tar.part", id(number)));
    let mut outbox = open(folder.path(), ROOM);
    record(&mut outbox, 1, NOW).unwrap();
    drop(outbox);
    // Cut before the rename, and before the commit.
    std::fs::rename(files.join(name(id(1))), part(1)).unwrap();
    std::fs::write(part(2), b"half").unwrap();
    let outbox = open(folder.path(), ROOM);
    let recordings = outbox.recordings().unwrap();
    assert_eq!(
        recordings.load(id(1)).unwrap().unwrap(),
        sample::recording(1).0
    );
    assert!(!part(1).exists() && !part(2).exists());
}

#[test]
fn recordings_of_another_database_are_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let outbox_folder = folder.path().join("outbox");
    drop(open(&outbox_folder, ROOM));
    let stray = outbox_folder.join("recordings").join(name(id(8)));
    std::fs::write(&stray, b"recorded elsewhere").unwrap();
    let fresh = NewEpoch {
        now: NOW,
        ..sample::epoch()
    };
    Outbox::open(&outbox_folder, &sample::boat(), ROOM, fresh).unwrap();
    assert!(!stray.exists());
    let aside = crate::outbox::set_aside(&outbox_folder);
    let kept = aside[0].folder.join("recordings").join(name(id(8)));
    assert_eq!(std::fs::read(kept).unwrap(), b"recorded elsewhere");
}

#[test]
fn an_older_outbox_is_upgraded() {
    const WITHOUT_REQUESTS: &str =
        "DROP TABLE requested_file; DROP TABLE command; DROP TABLE deleted_recording;
        PRAGMA user_version = 6;";
    const WITHOUT_BRIEFS: &str = "DROP INDEX pending_brief; DROP INDEX pending_size;
        ALTER TABLE pending DROP COLUMN briefed; PRAGMA user_version = 5;";
    const WITHOUT_RECORDINGS: &str = "DROP TABLE recording;
        ALTER TABLE pending DROP COLUMN held; PRAGMA user_version = 4;";
    upgraded(WITHOUT_REQUESTS);
    upgraded(&format!("{WITHOUT_REQUESTS} {WITHOUT_BRIEFS}"));
    upgraded(&format!(
        "{WITHOUT_REQUESTS} {WITHOUT_BRIEFS} {WITHOUT_RECORDINGS}"
    ));
}

/// Upgrades an outbox that `downgrade` has brought to an older version.
fn upgraded(downgrade: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path(), ROOM);
    let (sighting, jpeg) = sample::sighting(1, 3000);
    outbox.accept(&sighting, &jpeg, NOW).unwrap();
    drop(outbox);
    // As the version before made it.
    let database = Connection::open(folder.path().join("outbox.sqlite3")).unwrap();
    database.execute_batch(downgrade).unwrap();
    drop(database);
    assert_eq!(crate::outbox::recent(folder.path(), 9).unwrap().len(), 1);
    let listing = crate::outbox::Listing::read(folder.path()).unwrap();
    assert_eq!((listing.accepted, listing.pending.len()), (1, 2));
    let mut outbox = open(folder.path(), ROOM);
    assert_eq!(record(&mut outbox, 2, NOW).unwrap(), 2);
    let queue = outbox.queue().unwrap();
    assert_eq!(pending(&queue).len(), 1);
    let briefs = queue.next_briefs(&HashSet::new(), 9).unwrap();
    assert_eq!(briefs.len(), 1, "of what was pending before");
    let indices =
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('pending_brief', 'pending_size')";
    let indices: i64 = queue
        .connection
        .query_row(indices, [], |row| row.get(0))
        .unwrap();
    assert_eq!(indices, 2);
    assert_eq!(queue.requested_clips(NOW).unwrap(), [""; 0]);
}
