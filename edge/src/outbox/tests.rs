use super::*;
use crate::sample;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{MessageKind, Picture, Sighting};
use flukewatch_common::wire;
use std::collections::HashSet;
use std::path::Path;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const ROOM: u64 = 1 << 30;

fn open(folder: &Path) -> Outbox {
    Outbox::open(folder, &sample::boat(), ROOM, sample::epoch()).unwrap()
}

fn accept(outbox: &mut Outbox, number: u64) -> u64 {
    let (sighting, jpeg) = sample::sighting(number, 500);
    outbox.accept(&sighting, &jpeg, NOW).unwrap()
}

fn accept_all(outbox: &mut Outbox, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        accept(outbox, number);
    }
}

fn key(number: u64, part: MessageKind) -> Key {
    Key {
        sighting: uuid::Uuid::from_u128(u128::from(number)),
        part,
        revision: 0,
    }
}

fn pictures(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("pictures")).unwrap().count()
}

fn next(queue: &Queue, in_flight: &[Key], max: usize) -> Vec<Key> {
    let in_flight: HashSet<Key> = in_flight.iter().copied().collect();
    queue
        .next(&in_flight, max)
        .unwrap()
        .into_iter()
        .map(|q| q.key)
        .collect()
}

#[test]
fn sightings_go_before_pictures_and_old_before_new() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let sequences: Vec<u64> = (1..=3).map(|n| accept(&mut outbox, n)).collect();
    assert_eq!(sequences, [1, 2, 3]);
    let queue = outbox.queue().unwrap();
    use MessageKind::{Picture, Sighting};
    let order = [
        (1, Sighting),
        (2, Sighting),
        (3, Sighting),
        (1, Picture),
        (2, Picture),
        (3, Picture),
    ];
    let order = order.map(|(n, part)| key(n, part));
    assert_eq!(next(&queue, &[], 10), order);
    assert_eq!(next(&queue, &order[..2], 2), order[2..4]);
    assert_eq!(
        queue.counts().unwrap(),
        Counts {
            sightings: 3,
            pictures: 3,
            dead_letters: 0,
            accepted: 3,
            unidentified: 0,
        }
    );
}

#[test]
fn messages_are_loaded_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let (sighting, jpeg) = sample::sighting(7, 900);
    outbox.accept(&sighting, &jpeg, NOW).unwrap();
    let queue = outbox.queue().unwrap();
    let Load::Message(message) = queue.load(key(7, MessageKind::Sighting)).unwrap() else {
        panic!("not pending")
    };
    assert_eq!(
        wire::decode::<Sighting>(&message).unwrap(),
        Sighting {
            sequence: 1,
            epoch: Some(sample::epoch().id),
            ..sighting.clone()
        }
    );
    let Load::Message(message) = queue.load(key(7, MessageKind::Picture)).unwrap() else {
        panic!("not pending")
    };
    let picture = Picture {
        sighting: sighting.id,
        boat: sighting.boat,
        jpeg,
        original: None,
    };
    assert_eq!(wire::decode::<Picture>(&message).unwrap(), picture);
}

#[test]
fn only_an_acknowledgement_deletes_messages() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept(&mut outbox, 1);
    accept(&mut outbox, 2);
    let mut queue = outbox.queue().unwrap();
    let acked = [
        key(1, MessageKind::Picture),
        key(1, MessageKind::Sighting),
        key(99, MessageKind::Sighting),
    ];
    assert_eq!(queue.acknowledge(&acked).unwrap(), 2);
    assert_eq!(
        queue.acknowledge(&acked).unwrap(),
        0,
        "an acknowledgement may arrive twice"
    );
    assert_eq!(
        next(&queue, &[], 9),
        [key(2, MessageKind::Sighting), key(2, MessageKind::Picture)]
    );
    assert_eq!(
        queue.load(key(1, MessageKind::Sighting)).unwrap(),
        Load::AlreadyAcknowledged
    );
    assert_eq!(pictures(folder.path()), 1);
}

/// Simulates a process that dies: no destructor runs, nothing is closed or flushed. The files are
/// copied, since the lock is held as long as this process lives.
fn after_a_crash(outbox: Outbox, folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("pictures")).unwrap();
    for part in ["", "pictures"] {
        for entry in std::fs::read_dir(folder.join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file()
                && !entry.file_name().to_string_lossy().ends_with("-shm")
            {
                std::fs::copy(entry.path(), copy.path().join(part).join(entry.file_name()))
                    .unwrap();
            }
        }
    }
    std::mem::forget(outbox);
    copy
}

#[test]
fn a_crash_loses_nothing_and_the_numbers_continue() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept_all(&mut outbox, 1..=5);
    outbox
        .queue()
        .unwrap()
        .acknowledge(&[key(5, MessageKind::Sighting), key(5, MessageKind::Picture)])
        .unwrap();
    let copy = after_a_crash(outbox, folder.path());

    let mut outbox = open(copy.path());
    assert_eq!(
        outbox.queue().unwrap().counts().unwrap(),
        Counts {
            sightings: 4,
            pictures: 4,
            dead_letters: 0,
            accepted: 5,
            unidentified: 0,
        }
    );
    assert_eq!(
        accept(&mut outbox, 6),
        6,
        "the number of an acknowledged sighting is not used again"
    );
    assert_eq!(
        accept(&mut outbox, 3),
        3,
        "a sighting that is accepted twice keeps its number"
    );
    assert_eq!(outbox.queue().unwrap().counts().unwrap().accepted, 6);
}

#[test]
fn an_uncommitted_transaction_has_no_effect() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept(&mut outbox, 1);
    // A power cut between the picture and the transaction, and one in the middle of a picture.
    for orphan in [
        "pictures/00000000-0000-0000-0000-000000000002.jpg.part",
        "pictures/x.jpg.part",
    ] {
        std::fs::write(folder.path().join(orphan), "half").unwrap();
    }
    let copy = after_a_crash(outbox, folder.path());
    let mut outbox = open(copy.path());
    assert_eq!(
        pictures(copy.path()),
        1,
        "orphans are deleted, the accepted picture is kept"
    );
    assert!(matches!(
        outbox
            .queue()
            .unwrap()
            .load(key(1, MessageKind::Picture))
            .unwrap(),
        Load::Message(_)
    ));
    assert_eq!(accept(&mut outbox, 2), 2);
}

#[test]
fn a_second_process_cannot_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    assert!(matches!(
        Outbox::open(folder.path(), &sample::boat(), ROOM, sample::epoch()),
        Err(OutboxError::InUse(_))
    ));
    assert_eq!(
        Listing::read(folder.path()).unwrap(),
        Listing::default(),
        "reading does not need the lock"
    );
    drop(first);
    open(folder.path());
}

#[test]
fn a_full_disk_rejects_whole_sightings_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    outbox.limit_pages(16);
    let mut accepted = 0;
    let error = loop {
        let (sighting, jpeg) = sample::sighting(accepted + 1, 500);
        match outbox.accept(&sighting, &jpeg, NOW) {
            Ok(sequence) => accepted = sequence,
            Err(e) => break e,
        }
        assert!(accepted < 10_000, "the limit has no effect");
    };
    assert!(matches!(error, OutboxError::Full { .. }), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(accepted > 0);
    assert_eq!(
        pictures(folder.path()) as u64,
        accepted,
        "the picture of the rejected sighting is deleted"
    );
    assert_eq!(
        outbox.queue().unwrap().counts().unwrap().sightings,
        accepted
    );
    outbox.limit_pages(1_000);
    assert_eq!(
        accept(&mut outbox, accepted + 1),
        accepted + 1,
        "a rejected sighting uses no sequence number"
    );
}

#[test]
fn space_for_deleting_is_reserved_before_anything_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let reserve = folder.path().join("outbox.reserve");
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 512 * 1024);
    std::fs::remove_file(&reserve).unwrap();
    // A folder with the reserve's temporary name prevents the reservation.
    std::fs::create_dir(folder.path().join("outbox.reserve.part")).unwrap();
    let (sighting, jpeg) = sample::sighting(1, 500);
    assert!(outbox.accept(&sighting, &jpeg, NOW).is_err());
    assert_eq!(
        (
            pictures(folder.path()),
            outbox.queue().unwrap().counts().unwrap().pending()
        ),
        (0, 0)
    );
    std::fs::remove_dir(folder.path().join("outbox.reserve.part")).unwrap();
    assert_eq!(accept(&mut outbox, 1), 1);
    assert!(reserve.exists());
}

#[test]
fn the_configured_limit_is_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path(), &sample::boat(), 2_700, sample::epoch()).unwrap();
    accept_all(&mut outbox, 1..=4);
    let (sighting, jpeg) = sample::sighting(5, 500);
    let said = outbox.accept(&sighting, &jpeg, NOW).unwrap_err();
    assert!(
        matches!(said, OutboxError::Full { .. }) && said.to_string().contains("allows 2700 bytes"),
        "{said}"
    );
    outbox
        .queue()
        .unwrap()
        .acknowledge(&[key(1, MessageKind::Picture)])
        .unwrap();
    assert_eq!(outbox.accept(&sighting, &jpeg, NOW).unwrap(), 5);
}

#[test]
fn an_oversized_message_becomes_a_dead_letter_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    let (mut sighting, jpeg) = sample::sighting(1, wire::MAX_MESSAGE + 1);
    outbox.accept(&sighting, &jpeg, NOW).unwrap();
    sighting.id = uuid::Uuid::from_u128(2);
    sighting.camera = "c".repeat(wire::MAX_MESSAGE);
    outbox.accept(&sighting, b"small", NOW).unwrap();
    let listing = Listing::read(folder.path()).unwrap();
    let parts = |l: &[Listed]| l.iter().map(|m| (m.sequence, m.part)).collect::<Vec<_>>();
    assert_eq!(parts(&listing.pending), [(1, "sighting"), (2, "picture")]);
    assert_eq!(
        parts(&listing.dead_letters),
        [(1, "picture"), (2, "sighting")]
    );
    assert!(
        listing.dead_letters[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("262144")
    );
    drop(outbox);
    open(folder.path());
    assert_eq!(
        pictures(folder.path()),
        2,
        "the picture of a dead letter is kept"
    );
}

#[test]
fn a_damaged_or_missing_picture_becomes_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(folder.path());
    accept_all(&mut outbox, 1..=2);
    let file = |n: u128| {
        folder
            .path()
            .join(format!("pictures/{}.jpg", uuid::Uuid::from_u128(n)))
    };
    std::fs::remove_file(file(1)).unwrap();
    std::fs::write(file(2), "other").unwrap();
    let mut queue = outbox.queue().unwrap();
    for (number, what) in [(1, "is missing"), (2, "is damaged")] {
        let Load::Unsendable(reason) = queue.load(key(number, MessageKind::Picture)).unwrap()
        else {
            panic!("unsendable")
        };
        assert!(reason.contains(what), "{reason}");
        queue
            .move_to_dead_letters(key(number, MessageKind::Picture), &reason, NOW)
            .unwrap();
    }
    assert_eq!(
        queue.counts().unwrap(),
        Counts {
            sightings: 2,
            pictures: 0,
            dead_letters: 2,
            accepted: 2,
            unidentified: 0,
        }
    );
}

#[test]
fn another_boats_messages_are_not_sent_under_this_name() {
    let folder = tempfile::tempdir().unwrap();
    accept(&mut open(folder.path()), 1);
    let other = "mysticeta".parse().unwrap();
    let said = Outbox::open(folder.path(), &other, ROOM, sample::epoch())
        .err()
        .unwrap()
        .to_string();
    assert!(said.contains("the boat 'balaena'"), "{said}");
    let keys = [key(1, MessageKind::Sighting), key(1, MessageKind::Picture)];
    open(folder.path())
        .queue()
        .unwrap()
        .acknowledge(&keys)
        .unwrap();
    Outbox::open(folder.path(), &other, ROOM, sample::epoch()).unwrap();
}

#[test]
fn another_version_or_a_foreign_database_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let database = folder.path().join("outbox.sqlite3");
    let raw = rusqlite::Connection::open(&database).unwrap();
    for version in [1, 2, 3, 9] {
        raw.pragma_update(None, "user_version", version).unwrap();
        let error = Outbox::open(folder.path(), &sample::boat(), ROOM, sample::epoch())
            .err()
            .unwrap();
        assert!(
            matches!(
                error,
                OutboxError::Version { got, supported: 7, .. } if got == version
            ),
            "{error}"
        );
        assert!(matches!(
            Listing::read(folder.path()),
            Err(OutboxError::Version { .. })
        ));
    }
    raw.pragma_update(None, "user_version", 0).unwrap();
    drop(raw);
    let error = Outbox::open(folder.path(), &sample::boat(), ROOM, sample::epoch())
        .err()
        .unwrap();
    assert!(matches!(error, OutboxError::Foreign(_)), "{error}");
}

#[test]
fn a_folder_without_an_outbox_lists_as_empty() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Listing::read(folder.path()).unwrap(), Listing::default());
}
