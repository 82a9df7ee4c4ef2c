//! Large pictures in parts.

use super::*;
use flukewatch_common::picture_part;

/// The pictures of a VSAT link go in parts of so many bytes.
const PIECE: usize = 8192;
const BYTES: usize = 60_000;
const PARTS: usize = BYTES.div_ceil(PIECE);

/// A boat on a VSAT link with one sighting, and its picture.
fn boat_with_a_picture(change: impl FnOnce(&mut Shore)) -> (Boat, Vec<u8>) {
    let boat = Boat::on_link(LinkClass::Vsat, 1, BYTES, 50, change);
    (boat, sample::sighting(1, BYTES).1)
}

/// Where the parts begin, in the order in which they were sent.
fn offsets(boat: &Boat) -> Vec<usize> {
    let shore = boat.shore.lock().unwrap();
    let parts = shore.parts.iter();
    parts.map(|part| part.offset as usize).collect()
}

/// What has arrived of the picture in parts.
fn arrived(boat: &Boat) -> Vec<u8> {
    let shore = boat.shore.lock().unwrap();
    assert_eq!(shore.pictures.len(), 1);
    shore.pictures.values().next().unwrap().clone()
}

fn dead_letters(boat: &Boat) -> u64 {
    boat.counts.counts().unwrap().dead_letters
}

fn in_order() -> Vec<usize> {
    (0..BYTES).step_by(PIECE).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_picture_arrives_in_parts() {
    let (boat, jpeg) = boat_with_a_picture(|_| {});
    boat.delivered().await;
    assert_eq!(offsets(&boat), in_order());
    assert!(arrived(&boat) == jpeg);
    // A brief, a sighting, and each part once.
    assert_eq!(boat.sent().len(), 2 + PARTS);
    let left = std::fs::read_dir(boat.folder.path().join("pictures"));
    assert_eq!(left.unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_harbour_only_the_largest_pictures_are_in_parts() {
    let mut boat = Boat::new(1, 60_000, 50, |_| {});
    let (sighting, jpeg) = sample::sighting(2, 150_000);
    boat.outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
    boat.delivered().await;
    assert_eq!(offsets(&boat), [0, 65_536, 131_072]);
    assert!(arrived(&boat) == jpeg);
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_of_parts_name_their_content() {
    let right: NamedDigest = |message| Some(MessageDigest::of(message));
    let (boat, jpeg) = boat_with_a_picture(|shore| shore.digests = Some(right));
    boat.delivered().await;
    assert_eq!(offsets(&boat), in_order());
    assert!(arrived(&boat) == jpeg);
    assert_eq!(boat.counters.invalid_signature(), 1, "the first one");
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_costs_one_part() {
    let (boat, jpeg) = boat_with_a_picture(|shore| shore.breaks_after = Some(5));
    boat.delivered().await;
    assert_eq!(boat.shore.lock().unwrap().connections, 2);
    // Brief, sighting and three parts had arrived. The fourth was lost.
    assert_eq!(boat.sent().len(), 2 + PARTS + 1);
    assert_eq!(offsets(&boat), in_order());
    assert!(arrived(&boat) == jpeg);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_shore_says_where_to_continue() {
    let (boat, jpeg) = boat_with_a_picture(|shore| shore.panics_after = Some(5));
    boat.delivered().await;
    assert_eq!(boat.stage.health().restarts, 1);
    let mut expected = in_order();
    expected.insert(3, 0);
    assert_eq!(offsets(&boat), expected, "the first one is repeated");
    assert!(arrived(&boat) == jpeg);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_repeats_its_part() {
    let (boat, jpeg) = boat_with_a_picture(|shore| shore.acks = |times| times % 2 == 0);
    boat.delivered().await;
    let mut expected: Vec<usize> = in_order().into_iter().flat_map(|at| [at, at]).collect();
    let sent = offsets(&boat);
    expected.truncate(sent.len());
    assert_eq!(sent, expected);
    assert!(arrived(&boat) == jpeg);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_part_changes_nothing() {
    let (boat, jpeg) = boat_with_a_picture(|shore| shore.acks = |times| times > 1);
    tokio::time::sleep(TIMEOUT).await;
    let sighting = boat.sent()[0].sighting;
    while offsets(&boat).is_empty() {
        tokio::time::sleep(TIMEOUT).await;
    }
    let to_boat = boat.shore.lock().unwrap().to_boat.clone().unwrap();
    for digest in [None, Some(MessageDigest::of(b"another part"))] {
        let other = MessageDigest::of(b"");
        let answer = Acknowledged {
            message: digest,
            ..picture_part::answer(sighting, 40_000, other)
        };
        let ack = Ack {
            boat: sample::boat(),
            stored: vec![answer],
            rejected: vec![],
        };
        let ack = wire::encode(&ack).unwrap();
        to_boat.send(Ok(UplinkEvent::Ack(ack))).unwrap();
    }
    boat.delivered().await;
    let mut expected = in_order();
    expected.insert(0, 0);
    assert_eq!(offsets(&boat), expected);
    assert!(arrived(&boat) == jpeg);
}

#[tokio::test(start_paused = true)]
async fn a_shore_that_has_lost_its_bytes_receives_them_again() {
    let (boat, jpeg) = boat_with_a_picture(|shore| shore.loses_after = Some(4));
    boat.delivered().await;
    let mut expected = in_order()[..5].to_vec();
    expected.extend(in_order());
    assert_eq!(offsets(&boat), expected);
    assert!(arrived(&boat) == jpeg);
}

#[tokio::test(start_paused = true)]
async fn stations_that_have_different_parts_receive_the_whole_picture() {
    let (boat, _) = boat_with_a_picture(|shore| shore.stations = 2);
    tokio::time::sleep(TIMEOUT * 30).await;
    let parts = offsets(&boat).len();
    assert!((3..=6).contains(&parts), "{parts} parts");
    // Over this link, a whole picture of this size is not sent.
    assert_eq!(boat.counts.counts().unwrap().pictures, 1);
    boat.budget.set_class(LinkClass::Starlink);
    boat.delivered().await;
    assert_eq!(offsets(&boat).len(), parts);
    assert_eq!(dead_letters(&boat), 0);
}

#[tokio::test(start_paused = true)]
async fn an_older_station_receives_whole_pictures() {
    let boat = Boat::new(20, 150_000, 3, |shore| shore.reads_parts = false);
    boat.delivered().await;
    assert!(offsets(&boat).len() <= 3, "{:?}", offsets(&boat));
    assert_eq!(dead_letters(&boat), 0);
    assert_eq!(boat.sent().len(), 40 + offsets(&boat).len());
}

#[tokio::test(start_paused = true)]
async fn over_vsat_large_pictures_for_an_older_station_stay_aboard() {
    let mut boat = Boat::on_link(LinkClass::Vsat, 3, BYTES, 50, |shore| {
        shore.reads_parts = false;
    });
    let (sighting, jpeg) = sample::sighting(4, 20_000);
    boat.outbox.accept(&sighting, &jpeg, Timestamp(0)).unwrap();
    tokio::time::sleep(TIMEOUT * 60).await;
    let counts = boat.counts.counts().unwrap();
    assert_eq!((counts.sightings, counts.pictures), (0, 3));
    boat.budget.set_class(LinkClass::Starlink);
    boat.delivered().await;
    assert_eq!(dead_letters(&boat), 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_picture_is_sent_whole_once() {
    let (boat, _) = boat_with_a_picture(|shore| {
        shore.rejects = |key| key.part == MessageKind::Picture;
    });
    tokio::time::sleep(TIMEOUT * 10).await;
    assert_eq!(dead_letters(&boat), 0);
    boat.budget.set_class(LinkClass::Harbour);
    boat.delivered().await;
    assert_eq!(dead_letters(&boat), 1);
    assert_eq!(boat.sent().len(), 2 + 2, "a part and the picture");
}

#[tokio::test(start_paused = true)]
async fn parts_of_several_pictures_are_in_flight_together() {
    let boat = Boat::on_link(LinkClass::Vsat, 10, BYTES, 50, |_| {});
    boat.delivered().await;
    let parts = offsets(&boat);
    assert_eq!(parts.len(), 10 * PARTS);
    assert_eq!(parts[..10], [0; 10]);
}
