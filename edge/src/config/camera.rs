//! `[camera]`, once or several times.

use super::{Fault, range, within};
use crate::capture::Place;
use crate::capture::device::Controls;
use crate::capture::gstreamer::Pipeline;
use crate::capture::live::LiveSettings;
use crate::capture::negotiate::Wanted;
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
    /// A live camera, through Video4Linux2.
    V4l2,
    /// A live camera, through a pipeline of GStreamer.
    Gstreamer,
    /// A folder of frames in the order of their names, as a camera took them, or a film.
    Replay,
    /// Still pictures, each an encounter of its own: a folder, or a text file with a path a line.
    Stills,
}

/// How fast replayed frames come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// At their rate, as from a camera.
    RealTime,
    /// As fast as they can be worked on. Their timestamps still follow their rate.
    Fast,
}

/// `[camera]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraSection {
    /// The camera's name, as sightings give it.
    #[serde(default = "default_name")]
    pub name: String,
    /// What kind of source.
    pub source: SourceKind,
    /// The camera's device, or the folder, film or list; empty for a pipeline.
    #[serde(default)]
    pub path: PathBuf,
    /// The pipeline that gives frames.
    #[serde(default, deserialize_with = "pipeline")]
    pub pipeline: Option<Pipeline>,
    /// Frames a second.
    #[serde(default = "default_rate")]
    pub frames_per_second: f64,
    /// Real time or faster; for replays.
    #[serde(default = "default_pace")]
    pub pace: Pace,
    /// Pixels across, for a camera of Video4Linux2.
    #[serde(default = "default_width")]
    pub width: u32,
    /// Pixels down, for a camera of Video4Linux2.
    #[serde(default = "default_height")]
    pub height: u32,
    /// How long a camera of Video4Linux2 exposes a frame; 0 leaves it to the camera.
    #[serde(default)]
    pub exposure_milliseconds: f64,
    /// Whether a camera of Video4Linux2 keeps its rate when light is poor.
    #[serde(default = "default_hold_rate")]
    pub hold_rate: bool,
    /// Without a frame for so long a live camera is started anew.
    #[serde(default = "default_stall")]
    pub stall_seconds: f64,
}

fn default_name() -> String {
    "main".into()
}

fn default_rate() -> f64 {
    10.0
}

fn default_pace() -> Pace {
    Pace::RealTime
}

fn default_width() -> u32 {
    1920
}

fn default_height() -> u32 {
    1080
}

fn default_hold_rate() -> bool {
    true
}

fn default_stall() -> f64 {
    2.0
}

impl CameraSection {
    /// Whether it is a camera, and no replay.
    pub fn is_live(&self) -> bool {
        matches!(self.source, SourceKind::V4l2 | SourceKind::Gstreamer)
    }

    /// Where it is, as logs name it.
    pub fn place(&self) -> Place {
        match &self.pipeline {
            Some(pipeline) => Place::Pipeline(pipeline.clone()),
            None => Place::Device(self.path.clone()),
        }
    }

    /// What a live camera is told.
    pub fn live(&self) -> LiveSettings {
        let exposure = self.exposure_milliseconds;
        LiveSettings {
            place: self.place(),
            wanted: Wanted {
                width: self.width,
                height: self.height,
                rate: self.frames_per_second,
            },
            controls: Controls {
                exposure: (exposure > 0.0).then(|| Duration::from_secs_f64(exposure / 1000.0)),
                hold_rate: self.hold_rate,
            },
            patience: Duration::from_secs_f64(self.stall_seconds),
        }
    }

    /// What makes no sense in it, where it is the section `section`.
    pub(super) fn faults(&self, section: &str) -> Vec<Fault> {
        let mut faults = vec![];
        let mut check = |key: &str, good: bool, problem: String| {
            if !good {
                faults.push(Fault::of(&format!("{section}.{key}"), problem));
            }
        };
        let named = !self.name.trim().is_empty() && self.name.chars().count() <= 32;
        check("name", named, "must be 1 to 32 characters".into());
        let (path, pipeline) = (!self.path.as_os_str().is_empty(), self.pipeline.is_some());
        if self.source == SourceKind::Gstreamer {
            let itself = |what: &str| {
                format!("is not for source = \"gstreamer\", whose pipeline says {what} itself")
            };
            check("path", !path, itself("where its camera is"));
            let left = self.exposure_milliseconds == 0.0;
            check("exposure_milliseconds", left, itself("how it exposes"));
        } else {
            let said = "is only for source = \"gstreamer\"";
            check("pipeline", !pipeline, said.into());
        }
        let largest = f64::from(MAX_SIDE);
        for (key, value, low, high) in [
            ("frames_per_second", self.frames_per_second, 0.01, 240.0),
            ("width", f64::from(self.width), 16.0, largest),
            ("height", f64::from(self.height), 16.0, largest),
            (
                "exposure_milliseconds",
                self.exposure_milliseconds,
                0.0,
                1000.0,
            ),
            ("stall_seconds", self.stall_seconds, 0.1, 60.0),
        ] {
            check(key, within(value, low, high), range(value, low, high));
        }
        // These belong to the section: the key may not be written at all.
        if self.source == SourceKind::Gstreamer && !pipeline {
            let needed =
                "source = \"gstreamer\" needs a `pipeline`, as \"nvarguscamerasrc ! nvvidconv\"";
            faults.push(Fault::of(section, needed));
        } else if self.source != SourceKind::Gstreamer && !path {
            faults.push(Fault::of(section, "missing field `path`"));
        }
        faults
    }
}

/// Reads a pipeline; none where it is empty.
fn pipeline<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Pipeline>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(D::Error::custom)
}

/// Reads one table or several. Unlike an untagged enum, this keeps what is wrong in which line.
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
                return Err(S::Error::custom("a boat needs a camera"));
            }
            Ok(cameras)
        }
    }
    from.deserialize_any(Cameras)
}
