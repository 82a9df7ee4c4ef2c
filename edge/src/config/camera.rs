//! `[camera]`, or several `[[camera]]`.

use super::checks::Checks;
use super::mount::MountSection;
use crate::capture::CameraAddress;
use crate::capture::device::Controls;
use crate::capture::gstreamer::GstPipeline;
use crate::capture::negotiate::RequestedMode;
use crate::capture::rtsp::{PasswordSource, RtspAddress, RtspUrl};
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
    /// An IP camera: H.264 or H.265 over RTSP.
    Rtsp,
    /// A folder of frames in the order of their names, or a video.
    Replay,
    /// Unrelated images, an encounter each: a folder, or a text file with a path a line.
    Stills,
}

impl SourceKind {
    /// Whether it is a live camera rather than a replay.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::V4l2 | Self::Gstreamer | Self::Rtsp)
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
    /// The camera's device, or the folder, video or list; empty for a pipeline or an IP camera.
    #[serde(default)]
    pub path: PathBuf,
    /// The pipeline's elements up to raw video; only for `gstreamer`.
    #[serde(default, deserialize_with = "pipeline")]
    pub pipeline: Option<GstPipeline>,
    /// The address of the stream, `rtsp://host[:port]/path`; only for `rtsp`, like the next three.
    #[serde(default, deserialize_with = "rtsp_url")]
    pub url: Option<RtspUrl>,
    /// The camera's user; empty where it asks for none.
    #[serde(default)]
    pub user: String,
    /// A file with the user's password in its first line.
    #[serde(default)]
    pub password_file: PathBuf,
    /// The environment variable with the user's password.
    #[serde(default)]
    pub password_environment: String,
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
    /// How it is mounted.
    #[serde(default)]
    pub mount: MountSection,
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
        match (&self.pipeline, &self.url) {
            (Some(pipeline), _) => CameraAddress::Pipeline(pipeline.clone()),
            (None, Some(url)) => CameraAddress::Rtsp(RtspAddress {
                url: url.clone(),
                login: self.login(),
            }),
            (None, None) => CameraAddress::Device(self.path.clone()),
        }
    }

    /// The user of an IP camera, and where its password is.
    fn login(&self) -> Option<(String, PasswordSource)> {
        let password = if self.password_file.as_os_str().is_empty() {
            PasswordSource::Environment(self.password_environment.clone())
        } else {
            PasswordSource::File(self.password_file.clone())
        };
        (!self.user.is_empty()).then(|| (self.user.clone(), password))
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
        self.check_address(checks);
        self.mount.check(checks);
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
    }

    /// Checks the keys that say where the camera is.
    fn check_address(&self, checks: &mut Checks<'_>) {
        let elsewhere = match self.source {
            SourceKind::Gstreamer => {
                Some("not allowed with source \"gstreamer\": set it in the pipeline")
            }
            SourceKind::Rtsp => Some("not allowed with source \"rtsp\": set it in the camera"),
            SourceKind::V4l2 | SourceKind::Replay | SourceKind::Stills => None,
        };
        let has_path = !self.path.as_os_str().is_empty();
        let is_set = [
            ("path", has_path),
            ("exposure_milliseconds", self.exposure_milliseconds != 0.0),
        ];
        for (key, problem) in is_set
            .into_iter()
            .filter_map(|(key, set)| elsewhere.filter(|_| set).map(|problem| (key, problem)))
        {
            checks.fault(key, problem);
        }
        let is_rtsp = self.source == SourceKind::Rtsp;
        let has_file = !self.password_file.as_os_str().is_empty();
        let has_variable = !self.password_environment.is_empty();
        for (key, set) in [
            ("url", self.url.is_some()),
            ("user", !self.user.is_empty()),
            ("password_file", has_file),
            ("password_environment", has_variable),
        ] {
            if set && !is_rtsp {
                checks.fault(key, "only allowed with source \"rtsp\"");
            }
        }
        if self.pipeline.is_some() && self.source != SourceKind::Gstreamer {
            checks.fault("pipeline", "only allowed with source \"gstreamer\"");
        }
        if has_file && has_variable {
            checks.fault(
                "password_environment",
                "not allowed together with 'password_file'",
            );
        }
        let (has_user, has_password) = (!self.user.is_empty(), has_file || has_variable);
        if is_rtsp && has_user && !has_password {
            checks.fault("user", "needs 'password_file' or 'password_environment'");
        } else if is_rtsp && has_password && !has_user {
            checks.section_fault("a password needs 'user'");
        }
        match self.source {
            SourceKind::Gstreamer if self.pipeline.is_none() => checks.section_fault(
                "source \"gstreamer\" needs 'pipeline', e.g. \"nvarguscamerasrc ! nvvidconv\"",
            ),
            SourceKind::Rtsp if self.url.is_none() => checks
                .section_fault("source \"rtsp\" needs 'url', e.g. \"rtsp://192.168.1.64/stream1\""),
            SourceKind::V4l2 | SourceKind::Replay | SourceKind::Stills if !has_path => {
                checks.section_fault("missing key 'path'");
            }
            _ => {}
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

/// Parses an address; empty for none.
fn rtsp_url<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RtspUrl>, D::Error> {
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
