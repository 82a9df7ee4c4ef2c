//! `[camera]`, or several `[[camera]]`.

use super::checks::Checks;
use crate::capture::CameraAddress;
use crate::capture::device::Controls;
use crate::capture::gstreamer::GstPipeline;
use crate::capture::negotiate::RequestedMode;
use crate::detection_filter::DetectionFilter;
use crate::ignored_areas::IgnoredAreas;
use crate::source::LiveSettings;
use flukewatch_common::prepare::MAX_SIDE;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// A live camera through Video4Linux2.
    V4l2,
    /// A live camera through a GStreamer pipeline.
    Gstreamer,
    /// A folder of frames in the order of their names, or a video.
    Replay,
    /// Unrelated images, an encounter each: a folder, or a text file with a path a line.
    Stills,
}

impl SourceKind {
    /// Whether it is a live camera rather than a replay.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::V4l2 | Self::Gstreamer)
    }
}

/// How fast a replay plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Playback {
    /// At its frame rate, like a camera.
    RealTime,
    /// As fast as possible. Timestamps still follow the frame rate.
    Fast,
}

/// A camera and its settings, section `[camera]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraSection {
    /// The camera's name in sightings.
    #[serde(default = "default_name")]
    pub name: String,
    /// The kind of source.
    pub source: SourceKind,
    /// The camera's device, or the folder, video or list; empty for a pipeline.
    #[serde(default)]
    pub path: PathBuf,
    /// The pipeline's elements up to raw video; only for `gstreamer`.
    #[serde(default, deserialize_with = "pipeline")]
    pub pipeline: Option<GstPipeline>,
    /// Frame rate in frames per second.
    #[serde(default = "default_rate")]
    pub frames_per_second: f64,
    /// How fast a replay plays.
    #[serde(default = "default_playback")]
    pub playback: Playback,
    /// Preferred width in pixels, for Video4Linux2.
    #[serde(default = "default_width")]
    pub width: u32,
    /// Preferred height in pixels, for Video4Linux2.
    #[serde(default = "default_height")]
    pub height: u32,
    /// Exposure time, for Video4Linux2; 0 for automatic.
    #[serde(default)]
    pub exposure_milliseconds: f64,
    /// Whether automatic exposure may lower the frame rate, for Video4Linux2.
    #[serde(default)]
    pub exposure_dynamic_framerate: bool,
    /// A live camera without a frame for this long is restarted.
    #[serde(default = "default_stall")]
    pub stall_timeout_seconds: f64,
    /// Areas of the frame that are not searched.
    #[serde(default)]
    pub ignore: IgnoredAreas,
    /// Detections narrower than this many pixels are ignored.
    #[serde(default)]
    pub min_fluke_pixels: u32,
}

fn default_name() -> String {
    "main".into()
}

fn default_rate() -> f64 {
    10.0
}

fn default_playback() -> Playback {
    Playback::RealTime
}

fn default_width() -> u32 {
    1920
}

fn default_height() -> u32 {
    1080
}

fn default_stall() -> f64 {
    2.0
}

impl CameraSection {
    /// Whether it is a live camera rather than a replay.
    pub fn is_live(&self) -> bool {
        self.source.is_live()
    }

    /// Where the camera is.
    pub fn place(&self) -> CameraAddress {
        match &self.pipeline {
            Some(pipeline) => CameraAddress::Pipeline(pipeline.clone()),
            None => CameraAddress::Device(self.path.clone()),
        }
    }

    /// The settings of a live camera.
    pub fn live(&self) -> LiveSettings {
        let exposure = self.exposure_milliseconds;
        LiveSettings {
            address: self.place(),
            requested: RequestedMode {
                width: self.width,
                height: self.height,
                rate: self.frames_per_second,
            },
            controls: Controls {
                exposure: (exposure > 0.0).then(|| Duration::from_secs_f64(exposure / 1000.0)),
                dynamic_framerate: self.exposure_dynamic_framerate,
            },
            timeout: Duration::from_secs_f64(self.stall_timeout_seconds),
        }
    }

    /// Which of its detections count.
    pub fn detection_filter(&self) -> DetectionFilter {
        DetectionFilter {
            ignored: self.ignore.clone(),
            min_width: self.min_fluke_pixels,
        }
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if self.name.trim().is_empty() || self.name.chars().count() > 32 {
            checks.fault("name", "must be 1 to 32 characters");
        }
        let (has_path, has_pipeline) = (!self.path.as_os_str().is_empty(), self.pipeline.is_some());
        if self.source == SourceKind::Gstreamer {
            if has_path {
                let problem = "not allowed with source \"gstreamer\": set it in the pipeline";
                checks.fault("path", problem);
            }
            if self.exposure_milliseconds != 0.0 {
                let problem = "not allowed with source \"gstreamer\": set it in the pipeline";
                checks.fault("exposure_milliseconds", problem);
            }
        } else if has_pipeline {
            checks.fault("pipeline", "only allowed with source \"gstreamer\"");
        }
        let side = f64::from(MAX_SIDE);
        for (key, value, low, high) in [
            ("frames_per_second", self.frames_per_second, 0.01, 240.0),
            ("width", f64::from(self.width), 16.0, side),
            ("height", f64::from(self.height), 16.0, side),
            (
                "exposure_milliseconds",
                self.exposure_milliseconds,
                0.0,
                1000.0,
            ),
            (
                "stall_timeout_seconds",
                self.stall_timeout_seconds,
                0.1,
                60.0,
            ),
            (
                "min_fluke_pixels",
                f64::from(self.min_fluke_pixels),
                0.0,
                side,
            ),
        ] {
            checks.range(key, value, low, high);
        }
        if self.source == SourceKind::Gstreamer && !has_pipeline {
            checks.section_fault(
                "source \"gstreamer\" needs 'pipeline', e.g. \"nvarguscamerasrc ! nvvidconv\"",
            );
        } else if self.source != SourceKind::Gstreamer && !has_path {
            checks.section_fault("missing key 'path'");
        }
    }
}

/// Parses a pipeline; empty for none.
fn pipeline<'de, D: Deserializer<'de>>(from: D) -> Result<Option<GstPipeline>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(D::Error::custom)
}

/// Parses one table or several. Unlike an untagged enum, this keeps the lines of errors.
pub(super) fn one_or_several<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<CameraSection>, D::Error> {
    struct Cameras;
    impl<'de> Visitor<'de> for Cameras {
        type Value = Vec<CameraSection>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("[camera], or several [[camera]]")
        }

        fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
            Ok(vec![CameraSection::deserialize(
                MapAccessDeserializer::new(map),
            )?])
        }

        fn visit_seq<S: SeqAccess<'de>>(self, seq: S) -> Result<Self::Value, S::Error> {
            let cameras = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
            if cameras.is_empty() {
                return Err(S::Error::custom("at least one camera is required"));
            }
            Ok(cameras)
        }
    }
    from.deserialize_any(Cameras)
}
