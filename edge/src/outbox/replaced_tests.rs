//! Damaged, lost and restored outboxes, and a check that tries everything.

use super::*;
use crate::sample;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_795_450_800_000);

fn fresh(number: u128) -> NewEpoch {
    NewEpoch {
        id: Uuid::from_u128(number << 64),
        now: NOW,
    }
}

fn open(folder: &Path, epoch: u128) -> Outbox {
    Outbox::open(folder, &sample::boat(), 1 << 30, fresh(epoch)).unwrap()
}

fn accept(outbox: &mut Outbox, number: u64) -> u64 {
    let (sighting, jpeg) = sample::sighting(number, 500);
    outbox.accept(&sighting, &jpeg, NOW).unwrap()
}

/// A folder with an outbox with `sightings`, closed.
fn used(sightings: u64) -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("outbox");
    let mut outbox = open(&folder, 1);
    for number in 1..=sightings {
        accept(&mut outbox, number);
    }
    (parent, folder)
}

/// The names of files in `folder`, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn epoch_of(queue: &Queue, number: u64) -> Option<Uuid> {
    let key = Key {
        sighting: Uuid::from_u128(u128::from(number)),
        part: MessageKind::Sighting,
        revision: 0,
    };
    let Load::Message(message) = queue.load(key).unwrap() else {
        panic!("not pending")
    };
    wire::decode::<Sighting>(&message).unwrap().epoch
}

/// Opens the outbox in `folder`, which must be replaced for a reason with `words`; everything of the
/// old one must be in the folder that was set aside, with `pictures`.
fn replaced(folder: &Path, words: &str, pictures: usize) -> PathBuf {
    let mut outbox = open(folder, 2);
    let [aside] = &set_aside(folder)[..] else {
        panic!("{:?}", set_aside(folder))
    };
    assert!(aside.reason.contains(words), "{aside:?}");
    let name = aside.folder.file_name().unwrap().to_string_lossy();
    assert_eq!(name, "outbox-set-aside-2026-11-23T16-20-00");
    assert_eq!(names(&aside.folder.join("pictures")).len(), pictures);
    assert_eq!(accept(&mut outbox, 100), 1, "numbers start again");
    let queue = outbox.queue().unwrap();
    assert_eq!(epoch_of(&queue, 100), Some(fresh(2).id));
    assert_eq!(queue.counts().unwrap().pending(), 2);
    aside.folder.clone()
}

#[test]
fn a_missing_empty_or_new_database_sets_pictures_aside() {
    let (_parent, folder) = used(3);
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    replaced(&folder, "missing", 3);

    let (_parent, folder) = used(3);
    fs::write(folder.join("outbox.sqlite3"), "").unwrap();
    replaced(&folder, "empty", 3);

    let (_parent, folder) = used(3);
    let (_other, other) = used(0);
    fs::copy(other.join("outbox.sqlite3"), folder.join("outbox.sqlite3")).unwrap();
    replaced(&folder, "new", 3);

    // A database without a table, as a power cut may leave it.
    let (_parent, folder) = used(3);
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    let raw = rusqlite::Connection::open(folder.join("outbox.sqlite3")).unwrap();
    raw.pragma_update(None, "journal_mode", "WAL").unwrap();
    raw.execute_batch("VACUUM").unwrap();
    drop(raw);
    assert!(fs::metadata(folder.join("outbox.sqlite3")).unwrap().len() > 0);
    replaced(&folder, "new", 3);
}

#[test]
fn archived_pictures_without_their_database_are_set_aside() {
    let (_parent, folder) = used(1);
    let outbox = open(&folder, 1);
    let both = [MessageKind::Sighting, MessageKind::Picture].map(|part| Key {
        sighting: Uuid::from_u128(1),
        part,
        revision: 0,
    });
    let mut queue = outbox.queue().unwrap().archives();
    queue.acknowledge(&both).unwrap();
    drop((outbox, queue));
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    let aside = replaced(&folder, "missing", 0);
    assert_eq!(names(&aside.join("archive")).len(), 1);
}

#[test]
fn a_log_without_its_database_is_set_aside() {
    let (_parent, folder) = used(0);
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    fs::write(folder.join("outbox.sqlite3-wal"), "transactions").unwrap();
    let aside = replaced(&folder, "missing", 0);
    let log = fs::read(aside.join("outbox.sqlite3-wal")).unwrap();
    assert_eq!(log, b"transactions");
}

/// Changes the database's file.
fn damage(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let file = folder.join("outbox.sqlite3");
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, &bytes).unwrap();
    bytes
}

#[test]
fn a_damaged_database_is_set_aside_whole() {
    const PAGE: usize = 4096;
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 8] = [
        ("a page of garbage", |b| b[5 * PAGE..6 * PAGE].fill(0xa5)),
        ("a page of zeros", |b| {
            let middle = b.len() / PAGE / 2 * PAGE;
            b[middle..middle + PAGE].fill(0);
        }),
        ("cut in the middle", |b| b.truncate(b.len() / 2)),
        ("cut within a page", |b| b.truncate(b.len() / 2 + 1000)),
        ("cut within the header", |b| b.truncate(50)),
        ("garbage", |b| {
            b.iter_mut()
                .enumerate()
                .for_each(|(i, b)| *b = (i * 31 % 251) as u8);
        }),
        ("text", |b| {
            *b = b"this is a text and not a database".repeat(10)
        }),
        ("an impossible version", |b| b[60..64].fill(0xff)),
    ];
    for (what, change) in damages {
        let (_parent, folder) = used(40);
        let bytes = damage(&folder, change);
        let error = Listing::read(&folder).err();
        assert!(
            error.is_none_or(|e| matches!(e, OutboxError::Damaged { .. })),
            "{what}"
        );
        let error = rehearse(&folder, &sample::boat(), fresh(3)).unwrap_err();
        assert!(
            matches!(error, OutboxError::Damaged { .. }),
            "{what}: {error}"
        );
        let aside = replaced(&folder, "damaged", 40);
        assert_eq!(
            fs::read(aside.join("outbox.sqlite3")).unwrap(),
            bytes,
            "{what}"
        );
    }
}

#[test]
fn a_damaged_message_becomes_a_dead_letter() {
    let (_parent, folder) = used(1);
    let raw = rusqlite::Connection::open(folder.join("outbox.sqlite3")).unwrap();
    raw.execute("UPDATE pending SET message = CAST(substr(message, 1, 60) || x'00' || substr(message, 62) AS BLOB) WHERE part = 0", [])
        .unwrap();
    drop(raw);
    let queue = open(&folder, 2).queue().unwrap();
    let key = Key {
        sighting: Uuid::from_u128(1),
        part: MessageKind::Sighting,
        revision: 0,
    };
    assert!(matches!(queue.load(key).unwrap(), Load::Unsendable(_)));
}

#[test]
fn an_older_copy_of_the_database_begins_an_epoch_and_deletes_nothing() {
    let (_parent, folder) = used(2);
    let copy = fs::read(folder.join("outbox.sqlite3")).unwrap();
    let mut outbox = open(&folder, 1);
    (3..=5).for_each(|number| assert_eq!(accept(&mut outbox, number), number));
    drop(outbox);
    fs::write(folder.join("outbox.sqlite3"), copy).unwrap();

    let mut outbox = open(&folder, 2);
    let aside = set_aside(&folder);
    assert_eq!(aside.len(), 1);
    assert_eq!(names(&aside[0].folder.join("pictures")).len(), 3);
    assert!(aside[0].reason.contains("3 accepted files"), "{aside:?}");
    assert_eq!(
        accept(&mut outbox, 6),
        1,
        "numbers 3 to 5 are not used again"
    );
    let queue = outbox.queue().unwrap();
    assert_eq!(epoch_of(&queue, 1), Some(fresh(1).id), "kept and pending");
    assert_ne!(epoch_of(&queue, 6), Some(fresh(1).id));
    assert_eq!(queue.counts().unwrap().pending(), 6);
}

#[test]
fn pictures_get_their_name_after_the_commit() {
    let (_parent, folder) = used(1);
    let name = format!("{}.jpg", Uuid::from_u128(1));
    let pictures = folder.join("pictures");
    assert_eq!(names(&pictures), std::slice::from_ref(&name));
    // A power cut between the commit and the rename.
    let part = pictures.join(format!("{name}.part"));
    fs::rename(pictures.join(&name), &part).unwrap();
    assert!(
        recent_picture(&folder, Uuid::from_u128(1))
            .unwrap()
            .is_some()
    );
    drop(open(&folder, 2));
    assert_eq!(names(&pictures), [name]);
    assert_eq!(set_aside(&folder), []);
}

#[test]
fn the_same_second_twice_gets_two_folders() {
    let (_parent, folder) = used(1);
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    let mut outbox = open(&folder, 2);
    accept(&mut outbox, 5);
    drop(outbox);
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    drop(open(&folder, 3));
    let aside = set_aside(&folder);
    assert_eq!(aside.len(), 2);
    assert!(
        aside
            .iter()
            .all(|a| names(&a.folder.join("pictures")).len() == 1)
    );
}

#[test]
fn a_database_that_is_damaged_while_it_is_open_is_replaced() {
    let (_parent, folder) = used(3);
    let mut outbox = open(&folder, 1);
    outbox
        .replace_damaged("test", NOW.plus_millis(60_000))
        .unwrap();
    assert_eq!(accept(&mut outbox, 4), 1);
    // A minute after it was opened.
    let name = set_aside(&folder)[0].folder.display().to_string();
    assert!(name.ends_with("-21-00"), "{name}");
    assert_eq!(
        names(&set_aside(&folder)[0].folder.join("pictures")).len(),
        3
    );
    assert_eq!(outbox.queue().unwrap().counts().unwrap().sightings, 1);
}

fn check(folder: &Path) -> Result<(), OutboxError> {
    rehearse(folder, &sample::boat(), fresh(9))
}

#[test]
fn a_check_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/b/outbox");
    check(&folder).unwrap();
    assert_eq!(names(parent.path()), [""; 0]);

    let (_parent, folder) = used(3);
    let before = names(&folder);
    check(&folder).unwrap();
    assert_eq!(names(&folder), before);
    let mut outbox = open(&folder, 1);
    check(&folder).unwrap();
    assert_eq!(accept(&mut outbox, 4), 4, "while a boat works");
}

#[test]
fn a_check_fails_where_a_boat_would() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "-").unwrap();
    for path in [file.clone(), file.join("outbox")] {
        let error = check(&path).unwrap_err();
        assert!(
            matches!(&error, OutboxError::NotAFolder(at) if *at == file),
            "{error}"
        );
        let error = Outbox::open(&path, &sample::boat(), 1, fresh(1))
            .err()
            .unwrap();
        assert!(matches!(error, OutboxError::NotAFolder(_)), "{error}");
    }
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(parent.path().join("card"), &link).unwrap();
    for path in [link.clone(), link.join("outbox")] {
        let error = check(&path).unwrap_err();
        assert!(matches!(error, OutboxError::DeadLink { .. }), "{error}");
    }

    let (_parent, folder) = used(1);
    let error = rehearse(&folder, &"mysticeta".parse().unwrap(), fresh(9)).unwrap_err();
    assert!(matches!(error, OutboxError::OtherBoat { .. }), "{error}");
    fs::remove_file(folder.join("outbox.sqlite3")).unwrap();
    let error = check(&folder).unwrap_err();
    assert!(matches!(error, OutboxError::Lost { .. }), "{error}");
    fs::remove_dir_all(folder.join("pictures")).unwrap();
    check(&folder).unwrap();
    fs::write(folder.join("pictures"), "-").unwrap();
    let error = check(&folder).unwrap_err();
    assert!(matches!(error, OutboxError::NotAFolder(_)), "{error}");
}
