//! Images with known boxes of flukes: drawn flukes or flukes of photos on drawn seas, and photos.

use crate::detector::metrics::LabelledDetections;
use crate::detector::open::open;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use flukewatch_inference::detector::{Detector, MIN_WIDTH_FRACTION};
use flukewatch_synth::sea::actor::Actor;
use flukewatch_synth::sea::cast::Cast;
use flukewatch_synth::sea::scene::{MIN_VISIBLE, distractors, paint};
use flukewatch_synth::sea::surface::Sea;
use flukewatch_synth::sea::surfacing::{Surfacing, place};
use flukewatch_synth::seed::{Draw, Purpose, generator};
use image::RgbImage;
use rayon::prelude::*;

/// Widths of flukes in images, in pixels of a frame 1,920 wide.
const WIDTHS: (f32, f32) = (24.0, 700.0);
/// Narrowest fluke in videos: the smallest that a boat reports.
pub(super) const MIN_VIDEO_FLUKE_WIDTH: f32 = 72.0;
/// Widest fluke in videos.
pub(super) const MAX_VIDEO_FLUKE_WIDTH: f32 = 700.0;

/// Draws whale `number` of a cast with its fluke raised on a sea with distractors; returns the
/// image and the boxes of its flukes.
///
/// # Errors
/// If the whale's photo cannot be read.
pub fn scene(
    cast: &Cast,
    seed: u64,
    number: u32,
    size: (u32, u32),
) -> Result<(RgbImage, Vec<PixelBox>), DatasetError> {
    let rng = &mut generator(seed, Purpose::Placing, number, 1);
    let sea = Sea::draw(seed, number, size);
    let time = f64::from(rng.within(&(10.0..=9000.0)));
    let actors: Vec<Actor> = distractors(&sea, time, rng);
    let (low, high) = WIDTHS;
    let width = rng.within(&(low.ln()..=high.ln())).exp() * size.0 as f32 / 1920.0;
    let whale = cast.whale(number as usize, rng)?;
    let position = place(&sea, width, time, rng);
    let mut fluke = Surfacing::draw(whale, position, time, 3.0, rng);
    fluke.start += time - fluke.best();
    let mut image = RgbImage::new(size.0, size.1);
    let actors: Vec<&Actor> = actors.iter().collect();
    let seen = paint(&sea, &actors, &[&fluke], time, number, &mut image);
    let flukes = seen
        .into_iter()
        .filter(|s| s.visible >= MIN_VISIBLE)
        .map(|s| s.region)
        .collect();
    Ok((image, flukes))
}

/// Runs the detector on an image.
///
/// # Errors
/// If the detector fails.
pub fn detect(
    detector: &mut Detector,
    image: &RgbImage,
    flukes: Vec<PixelBox>,
) -> anyhow::Result<LabelledDetections> {
    let mut detections = vec![];
    detector.detect(image, &mut detections)?;
    Ok(LabelledDetections {
        image_width: image.width(),
        detections,
        flukes,
    })
}

/// Runs the bundle's detector at this threshold on images 0 to `count`, on all cores; `on_image` is called for
/// each.
///
/// # Errors
/// If the detector cannot be loaded or fails, or an image cannot be made.
pub(super) fn detect_all(
    bundle: &Bundle,
    threshold: f32,
    count: usize,
    on_image: impl Fn() + Sync,
    image: impl Fn(usize) -> anyhow::Result<(RgbImage, Vec<PixelBox>)> + Sync,
) -> anyhow::Result<Vec<LabelledDetections>> {
    let numbers: Vec<usize> = (0..count).collect();
    let parts: Vec<Vec<LabelledDetections>> = numbers
        .par_chunks(32)
        .map(|numbers| {
            let mut detector = open(bundle)?.with_threshold(threshold);
            numbers
                .iter()
                .map(|&number| {
                    let (image, flukes) = image(number)?;
                    on_image();
                    detect(&mut detector, &image, flukes)
                })
                .collect::<anyhow::Result<_>>()
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// Leaves out detections that are narrower than those that a boat reports.
pub(super) fn keep_wide(detections: &mut Vec<Detection>, image_width: u32) {
    let least = MIN_WIDTH_FRACTION as f32 * image_width as f32;
    detections.retain(|d| d.region.width() as f32 >= least);
}

/// Decodes a photo and returns it with its box.
///
/// # Errors
/// If it cannot be read.
pub fn photo(photo: &LabelledPhoto) -> Result<(RgbImage, Vec<PixelBox>), DatasetError> {
    let (picture, region) = photo.decode_with_region()?;
    Ok((picture, region.into_iter().collect()))
}
