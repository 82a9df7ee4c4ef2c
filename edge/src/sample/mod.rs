//! What tests work with: sightings, a bundle small enough to understand, whales to draw, a broker and a shore.

mod broker;
mod bundle;
#[path = "../../../common/shim/fake/fake.rs"]
pub(crate) mod fake;

pub(crate) use broker::{Mosquitto, Shore};
pub(crate) use bundle::{FLUKE, bundle, fluke, frame};

use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::{BoatId, PictureInfo, Sighting};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub(crate) fn boat() -> BoatId {
    "balaena".parse().unwrap()
}

/// A sighting with the number `number` in its id, and its picture's file of `bytes` bytes.
pub(crate) fn sighting(number: u64, bytes: usize) -> (Sighting, Vec<u8>) {
    let jpeg: Vec<u8> = (0..bytes).map(|i| (i as u64 * 31 + number) as u8).collect();
    let picture = PictureInfo {
        sha256: Sha256::digest(&jpeg).into(),
        bytes: bytes as u32,
        width: 40,
        height: 20,
    };
    let sighting = Sighting {
        id: Uuid::from_u128(u128::from(number)),
        boat: boat(),
        sequence: 0,
        camera: "bow".into(),
        started: Timestamp(1_000 * number as i64),
        ended: Timestamp(1_000 * number as i64 + 500),
        frames: 5,
        verdict: Verdict::Review,
        candidates: vec![],
        embedding: Embedding::normalised(vec![1.0, 2.0, 3.0])
            .unwrap()
            .compact(),
        picture,
        region: PixelBox::whole(40, 20),
        bundle: "abc123".into(),
        engine: "test".into(),
        chance: None,
        position: None,
        time: None,
        footage: None,
    };
    (sighting, jpeg)
}
