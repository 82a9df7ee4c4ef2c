//! Pictures with flukes whose places are known: of photos set on drawn seas, of photos as they are, and drawn.

use super::figures::Judged;
use crate::dataset::{DatasetError, LabelledPhoto};
use crate::seascape::actor::Actor;
use crate::seascape::cast::Cast;
use crate::seascape::scene::{LEAST_SHARE, distractors, paint};
use crate::seascape::sea::Sea;
use crate::seascape::surfacing::{Surfacing, place};
use crate::synth::seed::{Draw, Purpose, generator};
use flukewatch_common::detector::Detector;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// The widths of flukes, as if a frame had 1,920 pixels across.
pub const WIDTHS: (f32, f32) = (24.0, 700.0);
/// Those of films: what a boat makes a sighting of.
pub const FILM_WIDTHS: (f32, f32) = (72.0, 700.0);

/// Whale `number` of a cast on a sea of its own, standing out of the water, with what else is there.
///
/// # Errors
/// When its photo cannot be read.
pub fn scene(
    cast: &Cast,
    seed: u64,
    number: u32,
    size: (u32, u32),
) -> Result<(RgbImage, Vec<PixelBox>), DatasetError> {
    let chance = &mut generator(seed, Purpose::Placing, number, 1);
    let sea = Sea::draw(seed, number, size);
    let time = f64::from(chance.within(&(10.0..=9000.0)));
    let actors: Vec<Actor> = distractors(&sea, time, chance);
    let (low, high) = WIDTHS;
    let width = chance.within(&(low.ln()..=high.ln())).exp() * size.0 as f32 / 1920.0;
    let whale = cast.whale(number as usize, chance)?;
    let here = place(&sea, width, time, chance);
    let mut fluke = Surfacing::draw(whale, here, time, 3.0, chance);
    fluke.begins += time - fluke.best();
    let mut picture = RgbImage::new(size.0, size.1);
    let actors: Vec<&Actor> = actors.iter().collect();
    let seen = paint(&sea, &actors, &[&fluke], time, number, &mut picture);
    let truth = seen
        .into_iter()
        .filter(|s| s.share >= LEAST_SHARE)
        .map(|s| s.region)
        .collect();
    Ok((picture, truth))
}

/// What a detector finds in a picture.
///
/// # Errors
/// When it fails.
pub fn judge(
    detector: &mut Detector,
    picture: &RgbImage,
    truth: Vec<PixelBox>,
) -> anyhow::Result<Judged> {
    let mut found = vec![];
    detector.detect(picture, &mut found)?;
    Ok(Judged {
        across: picture.width(),
        found,
        truth,
    })
}

/// A photo as it is, with its box.
///
/// # Errors
/// When it cannot be read.
pub fn photo(photo: &LabelledPhoto) -> Result<(RgbImage, Vec<PixelBox>), DatasetError> {
    let picture = photo.decode()?;
    let truth = photo.region.into_iter().collect();
    Ok((picture, truth))
}
