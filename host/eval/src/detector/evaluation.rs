//! The evaluation of a detector: precision and recall on images, encounters and false alarms on
//! videos.

use crate::detector::images::{self, MAX_VIDEO_FLUKE_WIDTH, MIN_VIDEO_FLUKE_WIDTH};
use crate::detector::metrics::{LabelledDetections, SizeRecall, average_precision, recall};
use crate::detector::open::open;
use crate::detector::videos::{DetectedFrame, count_encounters, detect, threshold_for};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::Dataset;
use flukewatch_progress::bar_unless;
use flukewatch_synth::sea::cast::Cast;
use flukewatch_synth::sea::video::{Video, VideoSettings};
use image::RgbImage;
use serde::Serialize;

/// Detections below this score are ignored everywhere.
const MIN_SCORE: f32 = 0.05;
/// Whales drawn for synthetic flukes.
const DRAWN_WHALES: u32 = 40;

/// Settings of the evaluation.
#[derive(Clone, Debug)]
pub struct DetectorEvaluationOptions {
    /// Seed of seas, positions and drawn flukes.
    pub seed: u64,
    /// Hours of open sea.
    pub hours: f32,
    /// Encounters of each kind.
    pub encounters: u32,
    /// Single images of each kind.
    pub images: u32,
    /// Frame rate of the videos.
    pub frames_per_second: f32,
    /// Width and height of a frame in pixels.
    pub size: (u32, u32),
    /// Whether to show no progress.
    pub quiet: bool,
}

/// Results of the evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorEvaluation {
    /// Id of the bundle.
    pub bundle: String,
    /// Name of the inference engine.
    pub engine: String,
    /// Hours of open sea.
    pub hours: f64,
    /// Frame rate of the videos.
    pub frames_per_second: f32,
    /// Seed of seas, positions and drawn flukes.
    pub seed: u64,
    /// Median time per frame of open sea including preparation, on one core.
    pub milliseconds_per_frame: f64,
    /// Average precision by kind of image.
    pub precision: Vec<ImagePrecision>,
    /// At the lowest threshold with at most one false alarm per hour; `None` if there is none.
    pub at_one_false_alarm_per_hour: Option<ThresholdResult>,
    /// At the bundle's threshold.
    pub at_bundle_threshold: ThresholdResult,
}

/// Average precision on one kind of image.
#[derive(Clone, Debug, Serialize)]
pub struct ImagePrecision {
    /// Kind of image, as in the report.
    pub kind: &'static str,
    /// Number of images.
    pub images: usize,
    /// Average precision at an intersection over union of 0.5; `None` without flukes.
    pub ap50: Option<f64>,
}

/// Results at one threshold.
#[derive(Clone, Debug, Serialize)]
pub struct ThresholdResult {
    /// Lowest score that counts as a detection.
    pub threshold: f32,
    /// False alarms per hour of open sea.
    pub false_alarms_per_hour: f64,
    /// Recall by kind of image.
    pub images: Vec<ImageRecall>,
    /// Encounters by kind of video.
    pub videos: Vec<VideoEncounters>,
}

/// Recall on one kind of image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageRecall {
    /// Kind of image, as in the report.
    pub kind: &'static str,
    /// Recall over all flukes; `None` without flukes.
    pub recall: Option<f64>,
    /// Recall by width of the fluke.
    pub sizes: Vec<SizeRecall>,
}

/// Encounters in one kind of video.
#[derive(Clone, Debug, Serialize)]
pub struct VideoEncounters {
    /// Kind of flukes, as in the report.
    pub kind: &'static str,
    /// Number of encounters.
    pub encounters: usize,
    /// Encounters that raised an alarm.
    pub detected: usize,
    /// Alarms that are not about a fluke.
    pub false_alarms: usize,
}

/// Evaluates the bundle's detector on drawn flukes and, with a data set, on its photos.
///
/// # Errors
/// If the bundle has no detector, it fails, or a photo cannot be read.
pub fn evaluate(
    bundle: &Bundle,
    dataset: Option<&Dataset>,
    options: &DetectorEvaluationOptions,
) -> anyhow::Result<DetectorEvaluation> {
    let detector = open(bundle)?;
    let run = Run { bundle, options };
    let drawn = Cast::drawn(options.seed, DRAWN_WHALES);
    let photos = dataset.map(|d| (d, Cast::photos(&d.photos)));

    let open_sea = run.detect_video(&run.open_sea(), &drawn, "open sea")?;
    let mut videos = vec![(
        "drawn flukes",
        run.detect_video(&run.encounters(901), &drawn, "encounters")?,
    )];
    let mut images = vec![("drawn flukes on drawn seas", run.on_seas(&drawn, "drawn")?)];
    if let Some((dataset, cast)) = &photos {
        let frames = run.detect_video(&run.encounters(902), cast, "encounters")?;
        videos.push(("flukes of photos", frames));
        images.push((
            "flukes of photos on drawn seas",
            run.on_seas(cast, "on seas")?,
        ));
        images.push(("photos", run.on_photos(dataset)?));
    }

    let hours = f64::from(options.hours);
    let at = |threshold: f32| ThresholdResult {
        threshold,
        false_alarms_per_hour: count_encounters(&open_sea, threshold).false_alarms as f64 / hours,
        images: images
            .iter()
            .map(|(kind, images)| {
                let (recall, sizes) = recall(images, threshold);
                ImageRecall {
                    kind,
                    recall,
                    sizes,
                }
            })
            .collect(),
        videos: videos
            .iter()
            .map(|(kind, frames)| {
                let counts = count_encounters(frames, threshold);
                VideoEncounters {
                    kind,
                    encounters: counts.encounters,
                    detected: counts.detected,
                    false_alarms: counts.false_alarms,
                }
            })
            .collect(),
    };
    Ok(DetectorEvaluation {
        bundle: bundle.id().to_owned(),
        engine: detector.engine_name().to_owned(),
        hours,
        frames_per_second: options.frames_per_second,
        seed: options.seed,
        milliseconds_per_frame: 1000.0 * median_seconds(&open_sea),
        precision: images
            .iter()
            .map(|(kind, images)| ImagePrecision {
                kind,
                images: images.len(),
                ap50: average_precision(images),
            })
            .collect(),
        at_one_false_alarm_per_hour: threshold_for(&open_sea, options.hours as usize).map(at),
        at_bundle_threshold: at(detector.threshold()),
    })
}

/// The median, since other work on the machine delays some frames. 0 without frames.
fn median_seconds(frames: &[DetectedFrame]) -> f64 {
    let mut seconds: Vec<f64> = frames.iter().map(|f| f.elapsed.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds.get(seconds.len() / 2).copied().unwrap_or(0.0)
}

struct Run<'a> {
    bundle: &'a Bundle,
    options: &'a DetectorEvaluationOptions,
}

impl Run<'_> {
    fn open_sea(&self) -> VideoSettings {
        let seconds = self.options.hours * 3600.0;
        VideoSettings {
            seed: self.options.seed,
            number: 900,
            size: self.options.size,
            frames_per_second: self.options.frames_per_second,
            encounters: 0,
            sea_seconds: seconds..=seconds,
            sea_change_seconds: 120.0,
            ..VideoSettings::default()
        }
    }

    fn encounters(&self, number: u32) -> VideoSettings {
        let scale = self.options.size.0 as f32 / 1920.0;
        VideoSettings {
            number,
            encounters: self.options.encounters,
            fluke_pixels: MIN_VIDEO_FLUKE_WIDTH * scale..=MAX_VIDEO_FLUKE_WIDTH * scale,
            sea_seconds: 2.0..=6.0,
            return_after_seconds: 20.0..=60.0,
            sea_change_seconds: 30.0,
            ..self.open_sea()
        }
    }

    fn detect_video(
        &self,
        plan: &VideoSettings,
        cast: &Cast,
        label: &'static str,
    ) -> anyhow::Result<Vec<DetectedFrame>> {
        let video = Video::draw(plan, cast)?;
        let bar = bar_unless(self.options.quiet, u64::from(video.len()), label);
        let frames = detect(&video, self.bundle, MIN_SCORE, || bar.inc(1))?;
        bar.finish_and_clear();
        Ok(frames)
    }

    fn on_seas(&self, cast: &Cast, label: &'static str) -> anyhow::Result<Vec<LabelledDetections>> {
        let (seed, size) = (self.options.seed, self.options.size);
        self.detect_images(label, self.options.images as usize, |number| {
            Ok(images::scene(cast, seed, number as u32, size)?)
        })
    }

    fn on_photos(&self, dataset: &Dataset) -> anyhow::Result<Vec<LabelledDetections>> {
        let spread = dataset.spread(self.options.images as usize);
        let with_box: Vec<_> = spread.into_iter().filter(|p| p.region.is_some()).collect();
        self.detect_images("photos", with_box.len(), |number| {
            Ok(images::photo(with_box[number])?)
        })
    }

    /// Runs the detector on images 0 to `count`, on all cores.
    fn detect_images(
        &self,
        label: &'static str,
        count: usize,
        image: impl Fn(usize) -> anyhow::Result<(RgbImage, Vec<PixelBox>)> + Sync,
    ) -> anyhow::Result<Vec<LabelledDetections>> {
        let bar = bar_unless(self.options.quiet, count as u64, label);
        let detected = images::detect_all(self.bundle, MIN_SCORE, count, || bar.inc(1), image)?;
        bar.finish_and_clear();
        Ok(detected)
    }
}
