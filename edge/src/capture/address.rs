//! The address of a live camera.

use super::gstreamer::GstPipeline;
use super::rtsp::RtspAddress;
use std::fmt;
use std::path::PathBuf;

/// The address of a live camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraAddress {
    /// Path of a Video4Linux2 device, e.g. `/dev/video0`.
    Device(PathBuf),
    /// A GStreamer pipeline that starts at the camera.
    Pipeline(GstPipeline),
    /// An IP camera.
    Rtsp(RtspAddress),
}

impl fmt::Display for CameraAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Pipeline(pipeline) => write!(f, "{pipeline}"),
            Self::Rtsp(address) => write!(f, "{address}"),
        }
    }
}
