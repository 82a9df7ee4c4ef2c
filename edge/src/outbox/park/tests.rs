use super::*;
use crate::outbox::{Listing, Load, Outbox, recent, recent_picture, resend};
use crate::sample;
use std::collections::HashSet;
use std::path::Path;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_795_450_800_000);

fn key(part: MessageKind) -> Key {
    Key {
        sighting: Uuid::from_u128(1),
        part,
        revision: 0,
    }
}

fn picture_key() -> Key {
    key(MessageKind::Picture)
}

/// A JPEG that compresses badly.
fn large() -> Vec<u8> {
    let mut state = 7u32;
    let pixels = image::RgbImage::from_fn(400, 240, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    encode_within(&pixels, 199_000).unwrap().file
}

/// An outbox with one pending picture; its sighting is acknowledged.
fn outbox_with_picture(folder: &Path) -> (Queue, Vec<u8>) {
    let mut outbox = Outbox::open(folder, &sample::boat(), 1 << 30, sample::epoch()).unwrap();
    let jpeg = large();
    let sighting = sample::sighting_with(1, jpeg.clone());
    outbox.accept(&sighting, &jpeg, NOW).unwrap();
    let mut queue = outbox.queue().unwrap().archives();
    queue.acknowledge(&[key(MessageKind::Sighting)]).unwrap();
    (queue, jpeg)
}

fn pending(queue: &Queue) -> Option<Picture> {
    assert_eq!(queue.next(&HashSet::new(), 10).unwrap().len(), 1);
    match queue.load(picture_key()).unwrap() {
        Load::Message(message) => Some(wire::decode(&message).unwrap()),
        _ => None,
    }
}

#[test]
fn a_reduced_copy_is_sent_in_place_of_a_parked_picture() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, jpeg) = outbox_with_picture(folder.path());
    let announced = recent(folder.path(), 1).unwrap()[0].sighting.picture.sha256;
    queue.park(picture_key(), "too large", NOW).unwrap();
    let copy = pending(&queue).unwrap();
    assert!(copy.jpeg.len() <= jpeg.len() / 2, "{}", copy.jpeg.len());
    assert!(prepare::decode(&copy.jpeg).is_ok());
    assert_eq!(copy.original, Some(announced));
    let dead = Listing::read(folder.path()).unwrap().dead_letters;
    let reason = dead[0].reason.as_deref().unwrap();
    assert!(
        reason.starts_with("too large; sending a reduced copy of "),
        "{reason}"
    );

    // A smaller one replaces it; the parked picture stays as it is.
    queue.park(picture_key(), "too large", NOW).unwrap();
    let smaller = pending(&queue).unwrap();
    assert!(smaller.jpeg.len() <= copy.jpeg.len() / 2);
    assert_eq!(smaller.original, Some(announced));
    assert_eq!(Listing::read(folder.path()).unwrap().dead_letters, dead);
    assert_eq!(queue.acknowledge(&[picture_key()]).unwrap(), 1);
    let shown = recent_picture(folder.path(), picture_key().sighting).unwrap();
    assert_eq!(
        shown.as_ref(),
        Some(&jpeg),
        "people on board see the whole picture"
    );
}

#[test]
fn too_small_a_copy_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = outbox_with_picture(folder.path());
    let mut copies = 0;
    while queue.counts().unwrap().pending() > 0 {
        queue.park(picture_key(), "too large", NOW).unwrap();
        copies += 1;
    }
    assert!((2..8).contains(&copies), "{copies}");
    assert_eq!(queue.counts().unwrap().dead_letters, 1);
}

#[test]
fn the_whole_picture_is_resent_after_its_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, jpeg) = outbox_with_picture(folder.path());
    queue.park(picture_key(), "too large", NOW).unwrap();
    // An ack of the copy must not delete the whole picture.
    assert_eq!(resend(folder.path()).unwrap(), 0);
    queue.acknowledge(&[picture_key()]).unwrap();
    assert_eq!(resend(folder.path()).unwrap(), 1);
    let whole = pending(&queue).unwrap();
    assert_eq!((whole.jpeg, whole.original), (jpeg.clone(), None));
    queue.acknowledge(&[picture_key()]).unwrap();
    assert_eq!(queue.counts().unwrap().dead_letters, 0);
    let archived = recent_picture(folder.path(), picture_key().sighting).unwrap();
    assert_eq!(archived, Some(jpeg));
}

#[test]
fn a_sighting_and_a_message_acknowledged_meanwhile_have_no_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = outbox_with_picture(folder.path());
    queue.acknowledge(&[picture_key()]).unwrap();
    queue.park(picture_key(), "too large", NOW).unwrap();
    let counts = queue.counts().unwrap();
    assert_eq!((counts.pending(), counts.dead_letters), (0, 0));
}
