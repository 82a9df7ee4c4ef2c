//! Random generators: one for each item that is drawn, seeded from the population's seed and the
//! item's number.
//!
//! Items do not share generators: whale 7 is the same in a population of 10 and of 1,000, and its
//! third photo is the same whatever is drawn before it and on whichever thread.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;

/// What a generator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A whale's fluke.
    Individual,
    /// The number of photos of a whale in the catalogue.
    PhotoCount,
    /// A photo of the catalogue.
    CataloguePhoto,
    /// A photo of the queries.
    QueryPhoto,
    /// The whales of the camera sequences.
    Meetings,
    /// A camera sequence.
    Sequence,
    /// A frame of a camera sequence.
    Frame,
    /// A synthetic character.
    Glyph,
    /// The number of drawings of a character.
    DrawingCount,
    /// A drawing of a character.
    Drawing,
    /// A wave tile.
    Ripples,
    /// A sea with light and weather.
    Sea,
    /// A picture of the sea with distractors and flukes.
    SeaScene,
    /// A video of the sea.
    SeaFilm,
    /// A photo that is composited onto a sea.
    Placing,
}

/// The generator of one item, identified within its purpose by `whole` and `part`, e.g. whale and
/// photo.
pub fn generator(seed: u64, purpose: Purpose, whole: u32, part: u32) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(&(purpose as u32 + 1).to_le_bytes());
    key[12..16].copy_from_slice(&whole.to_le_bytes());
    key[16..20].copy_from_slice(&part.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// An interval from which a value is drawn, both ends included.
pub type Span = RangeInclusive<f32>;

/// Distributions for drawing.
pub trait Draw {
    /// Uniform in `span`.
    fn within(&mut self, span: &Span) -> f32;
    /// In `span`, small values more often: with `skew` 2 half of them are in the lowest quarter.
    fn low_within(&mut self, span: &Span, skew: f32) -> f32;
    /// From -`most` to `most`, triangular, values near 0 more often.
    fn around_zero(&mut self, most: f32) -> f32;
    /// True with `probability`.
    fn chance(&mut self, probability: f32) -> bool;
}

impl Draw for ChaCha8Rng {
    fn within(&mut self, span: &Span) -> f32 {
        span.start() + (span.end() - span.start()) * self.random::<f32>()
    }

    fn low_within(&mut self, span: &Span, skew: f32) -> f32 {
        span.start() + (span.end() - span.start()) * self.random::<f32>().powf(skew)
    }

    fn around_zero(&mut self, most: f32) -> f32 {
        most * (self.random::<f32>() - self.random::<f32>())
    }

    fn chance(&mut self, probability: f32) -> bool {
        self.random::<f32>() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_its_own_generator() {
        let first =
            |seed, purpose, whole, part| generator(seed, purpose, whole, part).random::<u64>();
        let one = first(1, Purpose::Individual, 1, 0);
        assert_eq!(one, first(1, Purpose::Individual, 1, 0));
        for other in [
            first(2, Purpose::Individual, 1, 0),
            first(1, Purpose::PhotoCount, 1, 0),
            first(1, Purpose::Individual, 2, 0),
            first(1, Purpose::Individual, 1, 1),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn draws_stay_in_their_span() {
        let mut rng = generator(0, Purpose::Individual, 0, 0);
        for _ in 0..1000 {
            assert!((2.0..=3.0).contains(&rng.within(&(2.0..=3.0))));
            assert!((2.0..=3.0).contains(&rng.low_within(&(2.0..=3.0), 2.0)));
            assert!((-0.5..=0.5).contains(&rng.around_zero(0.5)));
        }
    }
}
