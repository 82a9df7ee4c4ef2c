//! A frame as its camera encoded it.

use crate::time::MonotonicTimestamp;
use std::sync::Arc;

/// The most encoded frames that wait with an image, for clips: twenty seconds.
pub(crate) const MAX_WAITING: usize = 600;

/// A frame as its camera encoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    /// When it was taken.
    pub taken: MonotonicTimestamp,
    /// How to read its bytes.
    pub encoding: FrameEncoding,
    /// The encoded image.
    pub bytes: Vec<u8>,
}

/// How a frame is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameEncoding {
    /// As a JPEG image.
    Jpeg,
    /// As a part of a stream, which can be decoded from a key frame on.
    Stream {
        /// The stream's codec, with what a decoder has to know of it.
        format: Arc<StreamFormat>,
        /// Increases by one with each frame; a gap is a frame that others may need.
        number: u64,
        /// Whether it needs no other frame.
        is_key: bool,
    },
}

/// How the frames of a stream are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// H.264, frames as NAL units after their lengths of four bytes.
    H264,
    /// H.265, the same.
    H265,
}

/// What a decoder has to know before the first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFormat {
    /// How the frames of a stream are encoded.
    pub codec: Codec,
    /// The decoder configuration record of ISO/IEC 14496-15 (`avcC`, `hvcC`).
    pub configuration: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl EncodedFrame {
    /// Whether it needs no other frame.
    pub fn is_key(&self) -> bool {
        match self.encoding {
            FrameEncoding::Jpeg => true,
            FrameEncoding::Stream { is_key, .. } => is_key,
        }
    }

    /// Its number in a stream.
    pub fn number(&self) -> Option<u64> {
        match self.encoding {
            FrameEncoding::Jpeg => None,
            FrameEncoding::Stream { number, .. } => Some(number),
        }
    }
}
