//! Test data: sightings, a tiny bundle, drawn flukes and a shore.

mod bundle;
#[path = "../../../common/inference/shim/fake/fake.rs"]
pub(crate) mod fake;
mod shore;

pub(crate) use bundle::{FLUKE, bundle, fluke, frame};
pub(crate) use shore::Shore;

pub(crate) use flukewatch_common::samples::boat;

use crate::outbox::NewEpoch;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::samples;
use flukewatch_common::sighting::Sighting;
use uuid::Uuid;

/// The epoch of a new outbox.
pub(crate) fn epoch() -> NewEpoch {
    NewEpoch {
        id: samples::epoch(),
        now: Timestamp(1_795_450_800_000),
    }
}

/// A sighting with the number `number` in its id, and its picture's file of `bytes` bytes.
pub(crate) fn sighting(number: u64, bytes: usize) -> (Sighting, Vec<u8>) {
    let jpeg: Vec<u8> = (0..bytes).map(|i| (i as u64 * 31 + number) as u8).collect();
    (sighting_with(number, jpeg.clone()), jpeg)
}

/// The same with this picture.
pub(crate) fn sighting_with(number: u64, jpeg: Vec<u8>) -> Sighting {
    let sighting = Sighting {
        id: Uuid::from_u128(u128::from(number)),
        sequence: 0,
        started: Timestamp(1_000 * number as i64),
        ended: Timestamp(1_000 * number as i64 + 500),
        frames: 5,
        verdict: Verdict::Review,
        candidates: vec![],
        probability: None,
        position: None,
        time: None,
        footage: None,
        epoch: None,
        regions: None,
        ..samples::sighting()
    };
    samples::with_picture(sighting, jpeg, 40, 20).0
}
