//! Access to live cameras.
//!
//! [`device`] is the interface: what a camera supports, and frames as bytes. Only [`v4l2`] talks to the
//! kernel, only [`gstreamer`] starts a program and only [`rtsp`] uses the network; everything above them is tested with fake cameras
//! that can be unplugged at any time.

mod address;
pub mod device;
pub mod gstreamer;
mod listing;
pub mod negotiate;
pub mod rtsp;
mod state;
#[cfg(target_os = "linux")]
pub mod v4l2;

pub use address::CameraAddress;
pub use listing::{ListedCamera, pipelines, text};
pub use state::{CameraHealth, CameraState};

use crate::cancellation::CancellationToken;
use crate::time::{MonotonicClock, SystemMonotonicClock};
use device::{Camera, DeviceError};
use gstreamer::PipelineOptions;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The cameras of this machine, for `flukewatch-edge cameras`.
pub fn list() -> Vec<ListedCamera> {
    let clock: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock);
    let open = |path: &Path| {
        device(
            path,
            PipelineOptions::new(clock.clone(), Default::default()),
        )
    };
    paths()
        .into_iter()
        .map(|(path, name)| listing::list(path, name, open))
        .collect()
}

/// Opens the camera at `address`. `clock` stamps frames that the camera does not stamp; `stop` ends
/// its waits where possible.
///
/// # Errors
/// When there is no camera, or it may not be used.
pub fn open(
    address: &CameraAddress,
    clock: &Arc<dyn MonotonicClock>,
    stop: &CancellationToken,
) -> Result<Box<dyn Camera>, DeviceError> {
    let options = PipelineOptions::new(clock.clone(), stop.clone());
    match address {
        CameraAddress::Device(path) => device(path, options),
        CameraAddress::Pipeline(pipeline) => Ok(gstreamer::open(pipeline, options)),
        CameraAddress::Rtsp(address) => Ok(rtsp::open(address, options)),
    }
}

/// The camera of a device, whose frames GStreamer reads if they have several planes.
#[cfg(target_os = "linux")]
fn device(path: &Path, options: PipelineOptions) -> Result<Box<dyn Camera>, DeviceError> {
    match v4l2::open(path) {
        Err(DeviceError::SeveralPlanes(name)) => Ok(gstreamer::open_device(path, name, options)),
        opened => opened,
    }
}

#[cfg(not(target_os = "linux"))]
fn device(_path: &Path, _options: PipelineOptions) -> Result<Box<dyn Camera>, DeviceError> {
    Err(DeviceError::Unusable("Video4Linux2 requires Linux".into()))
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
