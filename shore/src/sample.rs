//! Numbered sightings for tests.

use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::samples;
use flukewatch_common::sighting::{Picture, Sighting};
use uuid::Uuid;

/// A sighting and its picture; the same for the same arguments.
pub(crate) fn sighting(boat: &str, sequence: u64) -> (Sighting, Picture) {
    let jpeg = samples::jpeg(64, 32, sequence as u8);
    samples::with_picture(numbered(boat, sequence), jpeg, 64, 32)
}

/// The sighting [`sighting`] as it was before a model identified it.
pub(crate) fn unidentified(boat: &str, sequence: u64) -> Sighting {
    Sighting {
        verdict: Verdict::Unidentified {
            reason: "the model has not run yet".into(),
        },
        candidates: vec![],
        embedding: CompactEmbedding::NONE,
        bundle: String::new(),
        engine: String::new(),
        probability: None,
        regions: None,
        ..sighting(boat, sequence).0
    }
}

/// The sample sighting with its own id and time, starting an encounter.
fn numbered(boat: &str, sequence: u64) -> Sighting {
    let mut sighting = samples::sighting();
    let delay = sequence as i64 * 60_000;
    sighting.id = Uuid::from_u128(u128::from(sequence) << 64 | u128::from(boat.len() as u64));
    sighting.boat = boat.parse().unwrap();
    sighting.sequence = sequence;
    sighting.started = sighting.started.plus_millis(delay);
    sighting.ended = sighting.ended.plus_millis(delay);
    if let Some(footage) = &mut sighting.footage {
        footage.encounter = sighting.id;
        footage.earlier_crops = 0;
    }
    sighting
}
