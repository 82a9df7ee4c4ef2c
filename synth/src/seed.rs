//! Where chance comes from: one generator for each thing that is drawn, from the population's seed and the thing's number.
//!
//! Nothing is drawn from a generator that another thing has used, so that whale 7 is the same in a population of 10 and of
//! 1,000, and its third photo is the same whatever is drawn before it and on whichever thread.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::RangeInclusive;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An individual.
    Individual,
    /// How many photos of a whale the catalogue holds.
    PhotoCount,
    /// A photo for the catalogue.
    CataloguePhoto,
    /// A photo for the queries.
    QueryPhoto,
    /// Which whales the camera meets.
    Meetings,
    /// A camera sequence.
    Sequence,
    /// A frame of a camera sequence.
    Frame,
    /// A made-up character.
    Glyph,
    /// How many drawings of a character there are.
    DrawingCount,
    /// A drawing of a character.
    Drawing,
    /// A square of waves.
    Ripples,
    /// A sea.
    Sea,
    /// A picture of the sea, with what is on it.
    SeaScene,
    /// A film of the sea.
    SeaFilm,
    /// A photo that is placed on a sea.
    Placing,
}

/// The generator for one thing: `whole` and `part` are numbers that tell it from others of its purpose, such as whale and
/// photo.
pub fn generator(seed: u64, purpose: Purpose, whole: u32, part: u32) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..12].copy_from_slice(&(purpose as u32 + 1).to_le_bytes());
    key[12..16].copy_from_slice(&whole.to_le_bytes());
    key[16..20].copy_from_slice(&part.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// An interval from which a strength is drawn, both ends included.
pub type Span = RangeInclusive<f32>;

/// Draws as the synthetic flukes need them.
pub trait Draw {
    /// Anywhere in `span`, evenly.
    fn within(&mut self, span: &Span) -> f32;
    /// Anywhere in `span`, small values more often: `skew` 2 puts half of them in the lowest quarter.
    fn low_within(&mut self, span: &Span, skew: f32) -> f32;
    /// From -`most` to `most`, values near 0 more often (a triangle).
    fn around_zero(&mut self, most: f32) -> f32;
    /// True for a share `probability` of draws.
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
    fn each_thing_has_its_own_generator() {
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
