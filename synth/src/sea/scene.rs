//! A single picture of the sea with distractors and flukes.

use super::actor::{Actor, ActorKind};
use super::level::Level;
use super::surface::Sea;
use super::surfacing::{Surfacing, VisibleFluke};
use crate::seed::Draw;
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Minimum visible fraction of a fluke that counts as visible.
pub const MIN_VISIBLE: f32 = 0.25;

/// Draws the distractors at `time`: mostly none or few, sometimes many.
pub fn distractors(sea: &Sea, time: f64, rng: &mut ChaCha8Rng) -> Vec<Actor> {
    let many = rng.low_within(&(0.0..=7.0), 2.0) as usize;
    (0..many)
        .map(|_| {
            let kind = ActorKind::ALL[rng.random_range(0..ActorKind::ALL.len())];
            let mut actor = Actor::draw(kind, sea, time, rng);
            // Somewhere within its duration.
            actor.start = time - actor.duration * rng.within(&(0.1..=0.9)) as f64;
            actor
        })
        .collect()
}

/// Paints sea, distractors and flukes at `time`; returns the parts of flukes above the water.
pub fn paint(
    sea: &Sea,
    actors: &[&Actor],
    flukes: &[&Surfacing],
    time: f64,
    moment: u32,
    picture: &mut RgbImage,
) -> Vec<VisibleFluke> {
    let mut seen = vec![];
    paint_into(sea, actors, flukes, time, moment, picture, &mut seen);
    seen
}

/// The same, appending to an existing list.
pub fn paint_into(
    sea: &Sea,
    actors: &[&Actor],
    flukes: &[&Surfacing],
    time: f64,
    moment: u32,
    picture: &mut RgbImage,
    seen: &mut Vec<VisibleFluke>,
) {
    seen.clear();
    sea.paint(time, picture);
    let level = sea.level(time);
    for actor in actors {
        actor.paint(&level, time, picture);
    }
    // A real sea keeps its own light.
    if !sea.is_real() {
        light(flukes, &level, time, picture);
    }
    seen.extend(flukes.iter().filter_map(|f| f.paint(&level, time, picture)));
    sea.finish(time, moment, picture);
}

/// Adjusts the picture to the light of the photos of those `flukes` that keep their colours.
pub fn light(flukes: &[&Surfacing], level: &Level, time: f64, picture: &mut RgbImage) {
    let (mut sum, mut weight, mut most) = ([0f32; 3], 0f32, 0f32);
    for (shift, share) in flukes
        .iter()
        .filter_map(|f| f.daylight(level, time, picture))
    {
        sum = std::array::from_fn(|c| sum[c] + share * shift[c]);
        weight += share;
        most = most.max(share);
    }
    if weight > 0.0 {
        let shift = sum.map(|s| (s / weight * most).round() as i16);
        for pixel in picture.pixels_mut() {
            for (value, add) in pixel.0.iter_mut().zip(shift) {
                *value = (i16::from(*value) + add).clamp(0, 255) as u8;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sea::sprite::Sprite;
    use crate::sea::sprite::tests::photo;
    use crate::sea::surfacing::{Appearance, Position, Whale};
    use crate::seed::{Purpose, generator};
    use flukewatch_common::pixel_box::PixelBox;
    use std::sync::Arc;

    const FLUKE: [u8; 3] = [90, 40, 20];
    const WATER: [u8; 3] = [200, 190, 170];

    /// A fluke of unusual colours on bright water in a photo, set on a dark sea; and the picture
    /// before and after.
    fn stands(seconds_away: f64, number: u32) -> (RgbImage, RgbImage, Vec<VisibleFluke>) {
        let (photo, region) = photo(FLUKE, WATER);
        let whale = Whale {
            name: "odd".into(),
            appearance: Appearance::Photo(Arc::new(Sprite::whole(&photo, region).unwrap())),
        };
        let rng = &mut generator(5, Purpose::Placing, number, 0);
        let sea = Sea::draw(5, number, (320, 180));
        let place = Position {
            x: 160.0,
            below: 120.0 - sea.level(50.0).horizon,
            width: 100.0,
        };
        let mut fluke = Surfacing::draw(whale, place, 50.0, 3.0, rng).as_photographed();
        fluke.start += 50.0 - fluke.best() + seconds_away;
        let (mut before, mut after) = (RgbImage::new(320, 180), RgbImage::new(320, 180));
        paint(&sea, &[], &[], 50.0, 1, &mut before);
        let seen = paint(&sea, &[], &[&fluke], 50.0, 1, &mut after);
        (before, after, seen)
    }

    fn mean(picture: &RgbImage, at: PixelBox) -> [f32; 3] {
        let mut sum = [0.0; 3];
        for y in at.y0..at.y1 {
            for x in at.x0..at.x1 {
                let pixel = picture.get_pixel(x, y).0;
                sum = std::array::from_fn(|c| sum[c] + f32::from(pixel[c]));
            }
        }
        sum.map(|s| s / at.area() as f32)
    }

    #[test]
    fn a_fluke_keeps_its_photos_colours_and_the_sea_takes_those_of_its_water() {
        for number in 0..4 {
            let (before, after, seen) = stands(0.0, number);
            let region = seen[0].region;
            let (w, h) = (region.width() / 4, region.height() / 4);
            let within = PixelBox {
                x0: region.x0 + w,
                y0: region.y0 + h,
                x1: region.x1 - w,
                y1: region.y1 - h,
            };
            let off = |picture: &RgbImage, place: PixelBox, colour: [u8; 3]| {
                let seen = mean(picture, place);
                (0..3)
                    .map(|c| (seen[c] - f32::from(colour[c])).abs())
                    .fold(0.0, f32::max)
            };
            assert!(off(&after, within, FLUKE) < 12.0, "sea {number}");
            let around = PixelBox {
                x0: region.x0 - 20,
                y0: region.y0 - 10,
                x1: region.x1 + 20,
                y1: region.y0 - 5,
            };
            let (dark, lit) = (off(&before, around, WATER), off(&after, around, WATER));
            assert!(lit < 0.4 * dark, "sea {number}: {dark} and then {lit}");
        }
    }

    #[test]
    fn the_light_comes_before_the_fluke_and_little_by_little() {
        let corner = PixelBox {
            x0: 0,
            y0: 140,
            x1: 60,
            y1: 180,
        };
        let change = |away: f64| {
            let (before, after, seen) = stands(away, 1);
            assert!(seen.is_empty());
            (mean(&after, corner)[0] - mean(&before, corner)[0]).abs()
        };
        // It starts up to two seconds before its highest point.
        let changes = [20.0, 2.4, 1.9].map(change);
        assert!(changes[0] == 0.0 && changes.is_sorted(), "{changes:?}");
        assert!(changes[2] > 2.0, "{changes:?}");
    }
}
