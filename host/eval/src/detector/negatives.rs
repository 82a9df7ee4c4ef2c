//! False detections in photos that show no fluke, e.g. stills of a camera over a real sea.

use super::images;
use super::open::open;
use flukewatch_common::bundle::Bundle;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_inference::detector::MIN_WIDTH_FRACTION;
use flukewatch_progress::bar_unless;
use serde::Serialize;

/// Detections in photos without flukes, at the bundle's threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NegativesEvaluation {
    /// Id of the bundle.
    pub bundle: String,
    /// Lowest score that counts as a detection.
    pub threshold: f32,
    /// Narrowest box that counts, as a fraction of the image's width: that of the boat.
    pub minimum_width: f64,
    /// Number of images.
    pub images: usize,
    /// Number of images with one detection or more.
    pub images_with_detection: usize,
    /// Number of detections.
    pub detections: usize,
    /// The images with detections, those with the highest scores first.
    pub with_detection: Vec<FalseDetections>,
}

/// The detections in one image.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FalseDetections {
    /// Name of the image.
    pub name: String,
    /// Number of detections.
    pub detections: usize,
    /// The highest score among them.
    pub highest_score: f32,
}

/// Runs the bundle's detector on photos without flukes, on all cores.
///
/// # Errors
/// If the bundle has no detector, it fails, or a photo cannot be read.
pub fn evaluate(
    bundle: &Bundle,
    photos: &[LabelledPhoto],
    quiet: bool,
) -> anyhow::Result<NegativesEvaluation> {
    let threshold = open(bundle)?.threshold();
    let bar = bar_unless(quiet, photos.len() as u64, "negatives");
    let on_image = || bar.inc(1);
    let detected = images::detect_all(bundle, threshold, photos.len(), on_image, |number| {
        Ok(images::photo(&photos[number])?)
    })?;
    bar.finish_and_clear();
    let mut with_detection = vec![];
    for (photo, mut image) in photos.iter().zip(detected) {
        images::keep_wide(&mut image.detections, image.image_width);
        let scores = image.detections.iter().map(|d| d.score);
        if let Some(highest_score) = scores.reduce(f32::max) {
            with_detection.push(FalseDetections {
                name: photo.name.clone(),
                detections: image.detections.len(),
                highest_score,
            });
        }
    }
    with_detection.sort_by(|a: &FalseDetections, b| b.highest_score.total_cmp(&a.highest_score));
    Ok(NegativesEvaluation {
        bundle: bundle.id().to_owned(),
        threshold,
        minimum_width: MIN_WIDTH_FRACTION,
        images: photos.len(),
        images_with_detection: with_detection.len(),
        detections: with_detection.iter().map(|image| image.detections).sum(),
        with_detection,
    })
}
