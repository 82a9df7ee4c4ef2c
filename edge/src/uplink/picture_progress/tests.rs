use super::*;
use crate::sample;
use uuid::Uuid;

const PIECE: u32 = 8192;

fn key(number: u128) -> Key {
    Key {
        sighting: Uuid::from_u128(number),
        part: MessageKind::Picture,
        revision: 0,
    }
}

fn begun(number: u128, bytes: usize) -> PictureProgress {
    let mut pictures = PictureProgress::default();
    begin(&mut pictures, number, bytes);
    pictures
}

fn begin(pictures: &mut PictureProgress, number: u128, bytes: usize) {
    let jpeg: Vec<u8> = (0..bytes).map(|n| n as u8).collect();
    let content = PictureContent {
        file: ContentId::of(&jpeg),
        picture: Picture {
            sighting: key(number).sighting,
            boat: sample::boat(),
            jpeg,
            original: None,
        },
        size: bytes as u64,
    };
    pictures.begin(key(number), content);
}

fn offset(pictures: &mut PictureProgress) -> Option<u32> {
    pictures.next_part(&key(1), PIECE).map(|part| part.offset)
}

fn planned(pictures: &PictureProgress, bytes: u64) -> (MessageKind, u64) {
    let planned = pictures.plan(&key(1), bytes, PIECE);
    (planned.kind, planned.bytes)
}

#[test]
fn large_pictures_are_planned_in_parts() {
    let part = |bytes| (MessageKind::PicturePart, bytes + PART_OVERHEAD);
    let none = PictureProgress::default();
    assert_eq!(planned(&none, 8192), (MessageKind::Picture, 8192));
    assert_eq!(planned(&none, 8193), part(8192));
    let sighting = Key {
        part: MessageKind::Sighting,
        ..key(1)
    };
    let of_sighting = none.plan(&sighting, 9000, PIECE);
    assert_eq!(of_sighting.kind, MessageKind::Sighting);
    let mut pictures = begun(1, 20_000);
    assert_eq!(planned(&pictures, 20_000), part(8192));
    pictures.answered(&key(1), 16_384, true);
    assert_eq!(planned(&pictures, 20_000), part(20_000 - 16_384));
    // Over a faster link, the rest goes in one part.
    let rest = pictures.plan(&key(1), 20_000, 65_536);
    assert_eq!((rest.kind, rest.bytes), part(20_000 - 16_384));
    assert_eq!(offset(&mut pictures), Some(16_384));
}

#[test]
fn two_answers_that_take_it_back_end_the_parts() {
    let mut pictures = begun(1, 20_000);
    pictures.answered(&key(1), 8192, true);
    // Shore has more than this process knows.
    pictures.answered(&key(1), 16_384, true);
    pictures.answered(&key(1), 0, true);
    assert_eq!(offset(&mut pictures), Some(0), "shore has lost it");
    pictures.answered(&key(1), 8192, true);
    assert_eq!(offset(&mut pictures), Some(8192));
    pictures.answered(&key(1), 8192, true);
    assert_eq!(offset(&mut pictures), None);
    assert_eq!(planned(&pictures, 20_000), (MessageKind::Picture, 20_000));
    let whole: Vec<Key> = pictures.whole_above(19_999).collect();
    assert_eq!(whole, [key(1)]);
    assert_eq!(pictures.whole_above(20_000).count(), 0);
}

#[test]
fn an_impossible_number_of_bytes_takes_it_back() {
    for received in [20_000, u32::MAX] {
        let mut pictures = begun(1, 20_000);
        pictures.answered(&key(1), 8192, true);
        pictures.answered(&key(1), received, true);
        assert_eq!(offset(&mut pictures), Some(0));
    }
    // An answer about a picture that is not in parts.
    PictureProgress::default().answered(&key(1), 1, true);
}

#[test]
fn a_station_that_knows_no_parts_is_asked_again_on_another_connection() {
    let mut pictures = begun(1, 20_000);
    pictures.answered(&key(1), 8192, true);
    pictures.rejected(&key(1), "wrong_kind: message of kind 14", true);
    assert!(!pictures.station_reads_parts());
    assert_eq!(planned(&pictures, 20_000), (MessageKind::Picture, 20_000));
    pictures.disconnected();
    assert_eq!(planned(&pictures, 20_000).0, MessageKind::PicturePart);
    assert_eq!(offset(&mut pictures), Some(8192));
    pictures.rejected(&key(1), "picture_mismatch: another one", true);
    assert!(pictures.station_reads_parts());
    assert_eq!(offset(&mut pictures), None);
}

#[test]
fn an_acceptance_after_the_answer_is_of_the_earlier_part() {
    let mut pictures = begun(1, 20_000);
    assert!(!pictures.is_late_acceptance(&key(1)));
    pictures.answered(&key(1), 8192, false);
    assert!(pictures.is_late_acceptance(&key(1)));
    assert!(!pictures.is_late_acceptance(&key(1)));
    pictures.answered(&key(1), 16_384, false);
    pictures.disconnected();
    assert!(!pictures.is_late_acceptance(&key(1)));
}

#[test]
fn only_so_many_pictures_are_kept_in_memory() {
    let mut pictures = begun(1, 20_000);
    for number in 2..200 {
        begin(&mut pictures, number, 20_000);
        assert_eq!(offset(&mut pictures), Some(0), "it is used all the time");
    }
    assert_eq!(pictures.pictures.len(), MAX_PICTURES);
    assert_eq!(pictures.known_size(&key(199)), Some(20_000));
    assert_eq!(pictures.known_size(&key(2)), None);
}
