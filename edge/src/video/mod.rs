//! Demuxers of recorded video: MJPEG (concatenated JPEGs), Y4M, and AVI with MJPEG. Other formats are recognised.
//!
//! From a truncated or damaged video they recover what they can: the frames before the damage, an error
//! for the damaged one, and the frames after it where they can be found.

mod avi;
mod demuxer;
mod foreign;
mod mjpeg;
mod open;
mod y4m;

pub use demuxer::{DemuxError, Demuxer, Sample};
pub(crate) use demuxer::{MAX_FRAME, read_up_to};
pub use foreign::ForeignFormat;
pub use open::{FileKind, kind_of, open};
pub(crate) use y4m::Y4m;

#[cfg(test)]
mod tests;
