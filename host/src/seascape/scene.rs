//! A single picture of the sea with what is on it.

use super::actor::{Actor, Kind};
use super::sea::Sea;
use super::surfacing::{Seen, Surfacing};
use crate::synth::seed::Draw;
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Less of a fluke than this is no fluke that anybody could find.
pub const LEAST_SHARE: f32 = 0.25;

/// Draws what is no fluke and is there at `time`: mostly nothing or little, at times a crowd.
pub fn distractors(sea: &Sea, time: f64, chance: &mut ChaCha8Rng) -> Vec<Actor> {
    let many = chance.low_within(&(0.0..=7.0), 2.0) as usize;
    (0..many)
        .map(|_| {
            let kind = Kind::ALL[chance.random_range(0..Kind::ALL.len())];
            let mut actor = Actor::draw(kind, sea, time, chance);
            // Somewhere within its stay.
            actor.begins = time - actor.lasts * chance.within(&(0.1..=0.9)) as f64;
            actor
        })
        .collect()
}

/// Paints sea, distractors and flukes as they are at `time`; what of the flukes is seen, whole or not.
pub fn paint(
    sea: &Sea,
    actors: &[&Actor],
    flukes: &[&Surfacing],
    time: f64,
    moment: u32,
    picture: &mut RgbImage,
) -> Vec<Seen> {
    let mut seen = vec![];
    paint_into(sea, actors, flukes, time, moment, picture, &mut seen);
    seen
}

/// The same into a list that is kept.
pub fn paint_into(
    sea: &Sea,
    actors: &[&Actor],
    flukes: &[&Surfacing],
    time: f64,
    moment: u32,
    picture: &mut RgbImage,
    seen: &mut Vec<Seen>,
) {
    seen.clear();
    sea.paint(time, picture);
    let level = sea.level(time);
    for actor in actors {
        actor.paint(&level, time, picture);
    }
    seen.extend(flukes.iter().filter_map(|f| f.paint(&level, time, picture)));
    sea.grain(moment, picture);
}
