//! A sighting of the size that a boat with the shipped model sends.

use flukewatch_common::catalogue::Match;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::samples;
use flukewatch_common::sighting::{MAX_CANDIDATES, Sighting};

/// One with 256 values, as many candidates as there may be, and no matching regions.
pub fn typical_sighting() -> Sighting {
    let sample = samples::sighting();
    let candidate = |number: usize| Match {
        whale: format!("HW-{number:04}"),
        score: 0.75 - 0.05 * number as f32,
        photo: format!("photo-{number:04}.jpg"),
    };
    Sighting {
        candidates: (0..MAX_CANDIDATES).map(candidate).collect(),
        verdict: flukewatch_common::decision::Verdict::Known {
            whale: candidate(0).whale,
        },
        embedding: CompactEmbedding {
            scale: 0.0078125,
            values: (0..=255u8).map(|v| v.wrapping_mul(37) as i8).collect(),
        },
        regions: None,
        ..sample
    }
}
