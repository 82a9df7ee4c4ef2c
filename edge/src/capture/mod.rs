//! Live cameras.
//!
//! [`device`] says what a camera is to the rest: what it offers, and frames as bytes. [`v4l2`] is the only implementation that
//! touches the kernel; everything above it ([`negotiate`], [`live`], [`listing`]) is tested with cameras that do not exist and that
//! can be unplugged at will.

pub mod device;
mod listing;
pub mod live;
pub mod negotiate;
mod state;
#[cfg(target_os = "linux")]
pub mod v4l2;

pub use listing::{ListedCamera, text};
pub use state::{CameraHealth, CameraState};

use device::{Camera, DeviceError};
use std::path::{Path, PathBuf};

/// The cameras of this machine, as `flukewatch-edge cameras` lists them.
pub fn list() -> Vec<ListedCamera> {
    paths()
        .into_iter()
        .map(|(path, name)| listing::list(path, name, open))
        .collect()
}

/// Opens the camera at `path`.
///
/// # Errors
/// When there is none, or it may not be used.
#[cfg(target_os = "linux")]
pub fn open(path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
    v4l2::open(path)
}

/// There are no live cameras on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn open(_path: &Path) -> Result<Box<dyn Camera>, DeviceError> {
    Err(DeviceError::Refused("live cameras need Linux".into()))
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
