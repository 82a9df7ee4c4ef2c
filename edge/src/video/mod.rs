//! Demuxers of recorded video: MJPEG (concatenated JPEGs), Y4M, and AVI with MJPEG.
//!
//! From a truncated or damaged video they recover what they can: the frames before the damage, an error
//! for the damaged one, and the frames after it where they can be found.

mod avi;
mod demuxer;
mod mjpeg;
mod open;
mod y4m;

pub use demuxer::{DemuxError, Demuxer, Sample};
pub use open::{is_video, open};
pub(crate) use y4m::Y4m;

#[cfg(test)]
mod tests;
