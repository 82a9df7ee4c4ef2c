//! Where a live camera is.

use super::gstreamer::Pipeline;
use std::fmt;
use std::path::PathBuf;

/// Where a live camera is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A device of Video4Linux2.
    Device(PathBuf),
    /// At the begin of a pipeline of GStreamer.
    Pipeline(Pipeline),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Pipeline(pipeline) => write!(f, "{pipeline}"),
        }
    }
}
