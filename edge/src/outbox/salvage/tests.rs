//! Outboxes that were set aside, whole and damaged.

use super::*;
use crate::outbox::{Load, NewEpoch, Outbox, Queue, set_aside};
use crate::sample;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_795_450_800_000);

fn open(folder: &Path, epoch: u128) -> Outbox {
    let fresh = NewEpoch {
        id: Uuid::from_u128(epoch << 64),
        now: NOW,
    };
    Outbox::open(folder, &sample::boat(), 1 << 30, fresh).unwrap()
}

/// An outbox that accepted `sightings` and then another after its database was changed.
fn replaced(
    sightings: u64,
    change: impl FnOnce(&mut Vec<u8>),
) -> (TempDir, PathBuf, PathBuf, Outbox) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("outbox");
    let mut outbox = open(&folder, 1);
    for number in 1..=sightings {
        let (sighting, jpeg) = sample::sighting(number, 500);
        outbox.accept(&sighting, &jpeg, NOW).unwrap();
    }
    drop(outbox);
    let database = folder.join("outbox.sqlite3");
    let mut bytes = fs::read(&database).unwrap();
    change(&mut bytes);
    fs::write(&database, bytes).unwrap();
    let mut outbox = open(&folder, 2);
    let (sighting, jpeg) = sample::sighting(1000, 500);
    assert_eq!(outbox.accept(&sighting, &jpeg, NOW).unwrap(), 1);
    let [aside] = &set_aside(&folder)[..] else {
        panic!("{:?}", set_aside(&folder))
    };
    assert_eq!(aside.salvaged, None);
    let aside = aside.folder.clone();
    (parent, folder, aside, outbox)
}

fn salvaged(folder: &Path, aside: &Path) -> Salvaged {
    let stop = CancellationToken::default();
    let done = salvage(folder, &sample::boat(), aside, NOW, &stop).unwrap();
    assert_eq!(set_aside(folder)[0].salvaged, done);
    assert!(!aside.join("copy").exists());
    done.unwrap()
}

/// Number and epoch of each pending sighting, whose message and picture must be whole.
fn pending(queue: &Queue) -> Vec<(u64, Uuid)> {
    let mut found = vec![];
    for number in 1..=1000u128 {
        let key = |part| super::super::Key {
            sighting: Uuid::from_u128(number),
            part,
            revision: 0,
        };
        let Load::Message(message) = queue.load(key(MessageKind::Sighting)).unwrap() else {
            continue;
        };
        let sighting: flukewatch_common::sighting::Sighting =
            flukewatch_common::wire::decode(&message).unwrap();
        let picture = queue.load(key(MessageKind::Picture)).unwrap();
        assert!(matches!(picture, Load::Message(_)), "picture of {number}");
        found.push((sighting.sequence, sighting.epoch.unwrap()));
    }
    found
}

fn epoch(number: u128) -> Uuid {
    Uuid::from_u128(number << 64)
}

#[test]
fn a_database_whose_root_alone_is_damaged_comes_back_whole() {
    // The number of pages in the header: what is checked first, and nothing depends on it.
    let (_parent, folder, aside, outbox) = replaced(5, |bytes| bytes[36..40].fill(0x7f));
    let before = fs::read(aside.join("outbox.sqlite3")).unwrap();
    let done = salvaged(&folder, &aside);
    assert_eq!(
        done,
        Salvaged {
            messages: 10,
            complete: true
        }
    );
    let queue = outbox.queue().unwrap();
    let expected: Vec<_> = (1..=5)
        .map(|n| (n, epoch(1)))
        .chain([(1, epoch(2))])
        .collect();
    assert_eq!(pending(&queue), expected);
    assert_eq!(fs::read(aside.join("outbox.sqlite3")).unwrap(), before);
    drop((outbox, queue));

    // The next number is one of the new epoch, and nothing is set aside at the next start.
    let mut outbox = open(&folder, 3);
    let (sighting, jpeg) = sample::sighting(1001, 500);
    assert_eq!(outbox.accept(&sighting, &jpeg, NOW).unwrap(), 2);
    assert_eq!(set_aside(&folder).len(), 1);
    // Once more, nothing is added.
    let again = salvaged(&folder, &aside);
    assert_eq!(again.messages, 0);
}

#[test]
fn what_is_around_a_damaged_page_comes_back() {
    const PAGE: usize = 4096;
    let (_parent, folder, aside, outbox) = replaced(200, |bytes| {
        let middle = bytes.len() / PAGE / 2 * PAGE;
        bytes[middle..middle + PAGE].fill(0xa5);
    });
    let done = salvaged(&folder, &aside);
    assert!(!done.complete);
    assert!(
        (200..400).contains(&done.messages),
        "{} of 400 messages",
        done.messages
    );
    let pending = outbox.queue().unwrap().counts().unwrap().pending();
    assert_eq!(pending, done.messages + 2);
}

#[test]
fn nothing_comes_back_from_what_is_not_a_database() {
    let (_parent, folder, aside, _outbox) = replaced(3, |bytes| *bytes = b"text".repeat(500));
    assert_eq!(salvaged(&folder, &aside), Salvaged::default());
}

#[test]
fn a_cancelled_salvage_is_not_noted() {
    let (_parent, folder, aside, outbox) = replaced(3, |bytes| bytes[36..40].fill(0x7f));
    let stop = CancellationToken::default();
    stop.cancel();
    let done = salvage(&folder, &sample::boat(), &aside, NOW, &stop);
    assert_eq!(done.unwrap(), None);
    assert_eq!(set_aside(&folder)[0].salvaged, None);
    assert_eq!(outbox.queue().unwrap().counts().unwrap().pending(), 2);
}

#[test]
fn messages_of_another_boat_stay_where_they_are() {
    let (_parent, folder, aside, _outbox) = replaced(2, |bytes| bytes[36..40].fill(0x7f));
    let stop = CancellationToken::default();
    let other = "another".parse().unwrap();
    let done = salvage(&folder, &other, &aside, NOW, &stop).unwrap();
    assert_eq!(done, Some(Salvaged::default()));
}

#[test]
fn recordings_come_back_with_their_sightings() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("outbox");
    let mut outbox = open(&folder, 1);
    let (recording, jpeg) = sample::recording(7);
    let id = recording.sighting.id;
    outbox
        .record(&recording, &jpeg, sample::taken(), NOW)
        .unwrap();
    outbox.replace_damaged("test", NOW).unwrap();
    let aside = set_aside(&folder)[0].folder.clone();
    assert_eq!(salvaged(&folder, &aside).messages, 2);
    let recordings = outbox.recordings().unwrap();
    assert_eq!(recordings.next().unwrap().unwrap().sighting, id);
    assert_eq!(recordings.load(id).unwrap().unwrap().crops, recording.crops);
}
