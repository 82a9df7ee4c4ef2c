//! One whale, described by its fluke.

use super::outline::Outline;
use super::pigment::Pigment;
use super::scar::{self, Scar};
use crate::seed::{Purpose, generator};

/// A whale, drawn from a seed and its number; independent of the size of the population.
#[derive(Clone, Debug)]
pub struct Individual {
    /// The whale's number, from 1.
    pub number: u32,
    /// The shape of its fluke.
    pub outline: Outline,
    /// The colouring of the underside.
    pub pigment: Pigment,
    /// Barnacles, rakes, scratches and dots.
    pub scars: Vec<Scar>,
}

impl Individual {
    /// Draws whale `number` of the population of `seed`.
    pub fn draw(seed: u64, number: u32) -> Self {
        let rng = &mut generator(seed, Purpose::Individual, number, 0);
        let outline = Outline::draw(rng);
        let pigment = Pigment::draw(rng);
        let scars = scar::draw(&outline, rng);
        Self {
            number,
            outline,
            pigment,
            scars,
        }
    }

    /// The name of whale `number`, e.g. `SYN-0004`.
    pub fn name(number: u32) -> String {
        format!("SYN-{number:04}")
    }
}
