//! Live cameras.
//!
//! [`device`] says what a camera is to the rest: what it offers, and frames as bytes. [`v4l2`] is the only implementation that
//! touches the kernel, [`gstreamer`] the only one that starts a program; everything above them ([`negotiate`], [`live`], [`listing`]) is tested with cameras that do not exist and that
//! can be unplugged at will.

pub mod device;
pub mod gstreamer;
mod listing;
pub mod live;
pub mod negotiate;
mod place;
mod state;
#[cfg(target_os = "linux")]
pub mod v4l2;

pub use listing::{ListedCamera, pipelines, text};
pub use place::Place;
pub use state::{CameraHealth, CameraState};

use crate::stop::Stop;
use crate::time::SteadyClock;
use device::{Camera, DeviceError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The cameras of this machine, as `flukewatch-edge cameras` lists them.
pub fn list() -> Vec<ListedCamera> {
    paths()
        .into_iter()
        .map(|(path, name)| listing::list(path, name, device))
        .collect()
}

/// Opens the camera at `place`, whose frames are timed by `clock` where nothing else times them, and whose waits end with `stop` where
/// they can.
///
/// # Errors
/// When there is none, or it may not be used.
pub fn open(
    place: &Place,
    clock: &Arc<dyn SteadyClock>,
    stop: &Stop,
) -> Result<Box<dyn Camera>, DeviceError> {
    match place {
        Place::Device(path) => device(path),
        Place::Pipeline(pipeline) => {
            let tools = gstreamer::Tools::new(clock.clone(), stop.clone());
            Ok(gstreamer::open(pipeline, tools))
        }
    }
}

#[cfg(target_os = "linux")]
fn device(path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
    v4l2::open(path)
}

#[cfg(not(target_os = "linux"))]
fn device(_path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
    Err(DeviceError::Refused("Video4Linux2 needs Linux".into()))
}

#[cfg(target_os = "linux")]
fn paths() -> Vec<(PathBuf, String)> {
    v4l2::paths()
}

#[cfg(not(target_os = "linux"))]
fn paths() -> Vec<(PathBuf, String)> {
    vec![]
}

#[cfg(test)]
pub(crate) mod fake;
