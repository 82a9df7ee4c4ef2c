//! Pictures that arrive in parts, in the store and through the broker.

use crate::fixtures::{sample, start_station};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::picture_part::{self, MAX_PARTED_BYTES, PicturePart};
use flukewatch_common::sighting::{MessageKind, Picture, Sighting};
use flukewatch_common::{topic, wire};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::{
    IncomingMessage, IngestResult, MAX_PARTED_BYTES_OF_BOAT, PictureState, RejectReason,
    SqliteStore, Store, StoreError,
};
use flukewatch_test_support::wait::until;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const DAY: i64 = 86_400_000;
/// The bytes of a part.
const PIECE: u32 = 100;

struct Fixture {
    data: tempfile::TempDir,
    store: SqliteStore,
    sighting: Sighting,
    picture: Picture,
}

impl Fixture {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        let (sighting, picture) = sample::sighting("balaena", 3);
        assert!(picture.jpeg.len() > 3 * PIECE as usize);
        Self {
            data,
            store,
            sighting,
            picture,
        }
    }

    fn total(&self) -> u32 {
        self.picture.jpeg.len() as u32
    }

    fn accept_sighting(&self) {
        let topic = topic::of_message(&self.sighting.boat, MessageKind::Sighting);
        let message = validate(&topic, &wire::encode(&self.sighting).unwrap());
        let results = self.store.accept(&[message], NOW).unwrap();
        assert!(matches!(results[..], [IngestResult::Stored { .. }]));
    }

    fn part(&self, offset: u32) -> PicturePart {
        part(&self.picture, offset)
    }

    fn accept(&self, part: &PicturePart) -> IngestResult {
        accept(&self.store, part, NOW)
    }

    /// Sends the part at `offset`. Returns how many bytes the store has then.
    fn has_after(&self, offset: u32) -> u32 {
        has(&self.accept(&self.part(offset)))
    }

    /// Sends all parts from `offset` on. Returns the last result.
    fn complete_from(&self, offset: u32) -> IngestResult {
        let offsets = (offset..self.total()).step_by(PIECE as usize);
        let results = offsets.map(|offset| self.accept(&self.part(offset)));
        results.last().unwrap()
    }

    fn stored(&self) -> Option<Vec<u8>> {
        self.store.picture(self.picture.sighting).unwrap()
    }

    fn reopened(self) -> Self {
        let Self {
            data,
            store,
            sighting,
            picture,
        } = self;
        drop(store);
        Self {
            store: open_again(data.path()),
            data,
            sighting,
            picture,
        }
    }
}

/// Opens a store that was closed just now. A program that another test starts at this moment has a copy of the lock's file for an instant.
fn open_again(data: &Path) -> SqliteStore {
    let mut opened = None;
    until("the folder is free", || {
        opened = match SqliteStore::open(data) {
            Err(StoreError::InUse(_)) => None,
            store => Some(store.unwrap()),
        };
        opened.is_some()
    });
    opened.unwrap()
}

fn part(picture: &Picture, offset: u32) -> PicturePart {
    let file = ContentId::of(&picture.jpeg);
    PicturePart::of(picture, file, offset, PIECE).unwrap()
}

fn received(part: &PicturePart) -> IncomingMessage {
    let topic = topic::of_message(&part.boat, MessageKind::PicturePart);
    validate(&topic, &wire::encode(part).unwrap())
}

fn accept(store: &SqliteStore, part: &PicturePart, now: Timestamp) -> IngestResult {
    store.accept(&[received(part)], now).unwrap().remove(0)
}

/// How many bytes of a picture the store has.
fn has(result: &IngestResult) -> u32 {
    match result {
        IngestResult::PartStored { received, .. } => *received,
        result => panic!("{result:?}"),
    }
}

fn is_stored(result: &IngestResult) -> Option<bool> {
    match result {
        IngestResult::Stored {
            kind: MessageKind::Picture,
            revision: 0,
            duplicate,
            ..
        } => Some(*duplicate),
        _ => None,
    }
}

fn reason(result: &IngestResult) -> Option<RejectReason> {
    match result {
        IngestResult::Rejected(rejection) => Some(rejection.reason),
        _ => None,
    }
}

fn parts_folder(data: &Path) -> PathBuf {
    data.join("pictures").join("parts")
}

/// The number of files of pictures that are incomplete.
fn files(data: &Path) -> usize {
    std::fs::read_dir(parts_folder(data)).map_or(0, Iterator::count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever arrives of a picture, in whatever order, ends with the picture as it is once the boat follows the
    /// answers.
    #[test]
    fn parts_in_any_order_make_the_picture(
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
        restarts in proptest::collection::vec(any::<bool>(), 30),
        sighting_first in any::<bool>(),
    ) {
        let mut fixture = Fixture::new();
        if sighting_first {
            fixture.accept_sighting();
        }
        let total = fixture.total();
        let offsets: Vec<u32> = (0..total).step_by(PIECE as usize).collect();
        let mut expected = 0;
        for (index, restart) in order.iter().zip(restarts) {
            if restart {
                fixture = fixture.reopened();
            }
            let offset = *index.get(&offsets);
            let result = fixture.accept(&fixture.part(offset));
            if offset == expected && expected < total {
                expected = total.min(offset + PIECE);
            }
            if expected == total {
                prop_assert!(is_stored(&result).is_some(), "{result:?}");
            } else {
                prop_assert_eq!(has(&result), expected);
            }
        }
        let mut next = if expected == total { 0 } else { expected };
        loop {
            match fixture.accept(&fixture.part(next)) {
                IngestResult::PartStored { received, .. } => {
                    prop_assert!(received > next);
                    next = received;
                }
                result => {
                    prop_assert!(is_stored(&result).is_some(), "{result:?}");
                    break;
                }
            }
        }
        if !sighting_first {
            fixture.accept_sighting();
        }
        prop_assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
        prop_assert_eq!(files(fixture.data.path()), 0);
    }
}

#[test]
fn a_picture_in_parts_is_stored_like_a_whole_one() {
    let fixture = Fixture::new();
    fixture.accept_sighting();
    assert_eq!(fixture.has_after(0), PIECE);
    assert_eq!(fixture.has_after(0), PIECE, "repeated");
    assert_eq!(fixture.has_after(2 * PIECE), PIECE, "a gap");
    assert_eq!(fixture.has_after(PIECE), 2 * PIECE);
    assert_eq!(fixture.stored(), None);
    assert_eq!(is_stored(&fixture.complete_from(2 * PIECE)), Some(false));
    assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
    let state = || {
        let stored = fixture.store.sighting(fixture.sighting.id).unwrap();
        stored.unwrap().picture
    };
    let in_parts = state();
    assert_eq!(in_parts, PictureState::Stored);
    assert_eq!(files(fixture.data.path()), 0);
    // Any part of it, and the whole one, are duplicates.
    for offset in [0, PIECE] {
        let again = fixture.accept(&fixture.part(offset));
        assert_eq!(is_stored(&again), Some(true));
    }
    let topic = topic::of_message(&fixture.picture.boat, MessageKind::Picture);
    let whole = validate(&topic, &wire::encode(&fixture.picture).unwrap());
    let again = fixture.store.accept(&[whole], NOW).unwrap().remove(0);
    assert_eq!(is_stored(&again), Some(true));
    assert_eq!(state(), in_parts);
    // A deleted file arrives again.
    let file = format!("pictures/{}.jpg", fixture.sighting.id);
    std::fs::remove_file(fixture.data.path().join(file)).unwrap();
    assert_eq!(fixture.has_after(0), PIECE);
    fixture.complete_from(PIECE);
    assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
}

#[test]
fn all_parts_in_one_batch_make_the_picture() {
    let fixture = Fixture::new();
    fixture.accept_sighting();
    let offsets = (0..fixture.total()).step_by(PIECE as usize);
    let mut batch: Vec<_> = offsets.map(|at| received(&fixture.part(at))).collect();
    let last = batch.last().unwrap().clone();
    batch.push(last);
    let results = fixture.store.accept(&batch, NOW).unwrap();
    let ends: Vec<_> = results[results.len() - 2..].iter().map(is_stored).collect();
    assert_eq!(ends, [Some(false), Some(true)]);
    assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
}

#[test]
fn a_whole_picture_ends_its_parts() {
    let fixture = Fixture::new();
    fixture.has_after(0);
    assert_eq!(files(fixture.data.path()), 1);
    let topic = topic::of_message(&fixture.picture.boat, MessageKind::Picture);
    let whole = validate(&topic, &wire::encode(&fixture.picture).unwrap());
    fixture.store.accept(&[whole], NOW).unwrap();
    assert_eq!(files(fixture.data.path()), 0);
    assert_eq!(is_stored(&fixture.accept(&fixture.part(PIECE))), Some(true));
}

#[test]
fn a_restart_continues_and_lost_bytes_begin_again() {
    let fixture = Fixture::new();
    fixture.has_after(0);
    let file = parts_folder(fixture.data.path()).join(format!("{}.part", fixture.sighting.id));
    // Written, and not committed before the power was cut.
    let mut longer = std::fs::read(&file).unwrap();
    longer.extend([7; 50]);
    std::fs::write(&file, &longer).unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fixture.has_after(PIECE), 2 * PIECE);
    // A person has deleted it.
    std::fs::remove_file(&file).unwrap();
    assert_eq!(fixture.has_after(2 * PIECE), 0);
    assert_eq!(fixture.has_after(0), PIECE);
    assert_eq!(is_stored(&fixture.complete_from(PIECE)), Some(false));
    fixture.accept_sighting();
    assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
    // A file of no row is deleted at the start.
    std::fs::write(&file, "an orphan").unwrap();
    let fixture = fixture.reopened();
    assert_eq!(files(fixture.data.path()), 0);
}

#[test]
fn another_file_begins_again() {
    let fixture = Fixture::new();
    let other = Picture {
        jpeg: vec![1; 1000],
        ..fixture.picture.clone()
    };
    assert_eq!(has(&fixture.accept(&part(&other, 0))), PIECE);
    assert_eq!(fixture.has_after(PIECE), 0, "its beginning is not there");
    assert_eq!(has(&fixture.accept(&part(&other, PIECE))), 2 * PIECE);
    assert_eq!(fixture.has_after(0), PIECE);
    assert_eq!(has(&fixture.accept(&part(&other, 2 * PIECE))), 0);
    let other_total = PicturePart {
        total: fixture.total() + 1,
        ..fixture.part(PIECE)
    };
    assert_eq!(has(&fixture.accept(&other_total)), 0);
    assert_eq!(is_stored(&fixture.complete_from(PIECE)), Some(false));
    fixture.accept_sighting();
    assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
}

#[test]
fn what_a_sighting_did_not_announce_is_rejected_with_the_first_part() {
    let fixture = Fixture::new();
    fixture.accept_sighting();
    let other = Picture {
        jpeg: vec![1; 1000],
        ..fixture.picture.clone()
    };
    let result = fixture.accept(&part(&other, 0));
    assert_eq!(reason(&result), Some(RejectReason::PictureMismatch));
    let of_other_boat = PicturePart {
        boat: "megaptera".parse().unwrap(),
        ..fixture.part(0)
    };
    let result = fixture.accept(&of_other_boat);
    assert_eq!(reason(&result), Some(RejectReason::WrongBoat));
    assert_eq!(files(fixture.data.path()), 0);
}

#[test]
fn parts_that_are_not_the_announced_file_are_rejected_and_deleted() {
    let fixture = Fixture::new();
    let lie = |offset| PicturePart {
        bytes: vec![7; fixture.part(offset).bytes.len()],
        ..fixture.part(offset)
    };
    fixture.accept(&lie(0));
    let result = fixture.complete_from(PIECE);
    assert_eq!(reason(&result), Some(RejectReason::PictureMismatch));
    assert_eq!(files(fixture.data.path()), 0);
    assert_eq!(fixture.store.rejected_counts().unwrap()[0].total, 1);
    assert_eq!(fixture.has_after(PIECE), 0);
    assert_eq!(is_stored(&fixture.complete_from(0)), Some(false));
}

#[test]
fn a_reduced_copy_may_arrive_in_parts() {
    let fixture = Fixture::new();
    fixture.accept_sighting();
    let copy = Picture {
        jpeg: fixture.picture.jpeg[..2 * PIECE as usize - 10].to_vec(),
        original: Some(fixture.sighting.picture.sha256),
        ..fixture.picture.clone()
    };
    assert_eq!(has(&fixture.accept(&part(&copy, 0))), PIECE);
    let result = fixture.accept(&part(&copy, PIECE));
    assert_eq!(is_stored(&result), Some(false));
    // The whole one replaces it.
    assert_eq!(is_stored(&fixture.complete_from(0)), Some(false));
    assert_eq!(fixture.stored(), Some(fixture.picture.jpeg.clone()));
}

#[test]
fn a_boat_cannot_take_the_place_of_another() {
    let fixture = Fixture::new();
    let foreign = PicturePart {
        boat: "megaptera".parse().unwrap(),
        ..fixture.part(0)
    };
    assert_eq!(has(&fixture.accept(&foreign)), PIECE);
    let result = fixture.accept(&fixture.part(0));
    assert_eq!(reason(&result), Some(RejectReason::Conflict));
    // The sighting says whose it is.
    fixture.accept_sighting();
    assert_eq!(is_stored(&fixture.complete_from(0)), Some(false));
}

#[test]
fn incomplete_pictures_are_limited_in_size_and_age() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let beginning = |number: u64| {
        received(&PicturePart {
            boat: "balaena".parse().unwrap(),
            sighting: Uuid::from_u128(u128::from(number)),
            file: ContentId::of(b"a large picture"),
            total: MAX_PARTED_BYTES,
            offset: 0,
            bytes: vec![1],
            original: None,
        })
    };
    let begin = |number, now| store.accept(&[beginning(number)], now).unwrap().remove(0);
    let most = MAX_PARTED_BYTES_OF_BOAT / u64::from(MAX_PARTED_BYTES);
    let batch: Vec<_> = (0..most).map(beginning).collect();
    let results = store.accept(&batch, NOW).unwrap();
    assert!(results.iter().all(|result| has(result) == 1));
    let result = begin(most, NOW);
    assert_eq!(reason(&result), Some(RejectReason::Invalid));
    assert_eq!(has(&begin(0, NOW)), 1, "one of them again");
    assert_eq!(files(data.path()) as u64, most);
    // What has not grown for a month is deleted, some of it at a time.
    let later = NOW.plus_millis(31 * DAY);
    assert_eq!(has(&begin(most, later)), 1);
    let left = files(data.path()) as u64;
    assert!(left < most && left > most / 2, "{left} of {most}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boat_is_answered_what_there_is_of_its_picture() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = crate::fixtures::Boat::connect_to(&station, "balaena").await;
    let (sighting, picture) = sample::sighting("balaena", 1);
    let topic = topic::of_message(&picture.boat, MessageKind::PicturePart);
    boat.send_sighting(&sighting).await;
    boat.expect_acknowledged(1).await;
    let mut offset = 0;
    loop {
        let part = part(&picture, offset);
        let message = wire::encode(&part).unwrap();
        boat.send(&topic, message.clone()).await;
        let acks = boat.expect_acknowledged(1).await;
        offset = part.end();
        if offset == part.total {
            assert_eq!(acks[0].kind, MessageKind::Picture);
            assert_eq!(acks[0].revision, 0);
            break;
        }
        let digest = MessageDigest::of(&message);
        let answer = picture_part::answer(picture.sighting, offset, digest);
        assert_eq!(acks, [answer]);
    }
    let stored = station.store().picture(picture.sighting).unwrap();
    assert_eq!(stored, Some(picture.jpeg));
    station.shutdown().await;
}
