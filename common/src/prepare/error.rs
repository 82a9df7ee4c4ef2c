//! Why a photo cannot be prepared.

use crate::file_kind::FileKind;
use crate::jpeg::JpegDamage;
use crate::photo_limits::{MAX_FULL_SIZE_PIXELS, MAX_PIXELS, MAX_SIDE};
use crate::pixel_box::PixelBox;

/// Errors of decoding or preparing a photo.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The file is empty.
    #[error("the picture file is empty (0 bytes)")]
    Empty,
    /// The file is not a photo of a format that is read.
    #[error("not a JPEG, PNG, TIFF or WebP picture{}", described(*.0))]
    UnknownFormat(FileKind),
    /// The photo exceeds the size limits; checked in the header, before memory is allocated.
    #[error(
        "the picture is {width} x {height} pixels; the limit is {MAX_SIDE} per side, and {MAX_PIXELS} in total for a \
         JPEG, {MAX_FULL_SIZE_PIXELS} for other formats; save a smaller copy"
    )]
    TooLarge {
        /// The width of the picture in pixels.
        width: u32,
        /// The height of the picture in pixels.
        height: u32,
    },
    /// A progressive JPEG needs too much memory.
    #[error(
        "the picture is a progressive JPEG of {width} x {height} pixels, which needs more than {limit} bytes to decode; \
         save it as a baseline JPEG"
    )]
    Progressive {
        /// The width of the picture in pixels.
        width: u32,
        /// The height of the picture in pixels.
        height: u32,
        /// The most bytes that its coefficients may take.
        limit: u64,
    },
    /// A JPEG without its end.
    #[error("the JPEG file is cut off: {0}")]
    CutOff(JpegDamage),
    /// A JPEG with an end, but damage before it.
    #[error("the JPEG file is damaged: {0}")]
    Damaged(JpegDamage),
    /// The file is truncated or damaged, or of a variant that is not supported.
    #[error("the picture cannot be decoded: {0}")]
    Undecodable(String),
    /// A box that touches no pixel of the photo.
    #[error("the box ({}, {})-({}, {}) lies outside the picture of {width} x {height} pixels", .region.x0, .region.y0, .region.x1, .region.y1)]
    BoxOutside {
        /// The box, in pixels of the picture.
        region: PixelBox,
        /// The width of the picture in pixels.
        width: u32,
        /// The height of the picture in pixels.
        height: u32,
    },
    /// The numbers of the preparation are out of range.
    #[error("invalid preparation: {0}")]
    InvalidPreparation(String),
}

fn described(kind: FileKind) -> String {
    match kind.advice() {
        Some(advice) => format!(", but a {kind}; {advice}"),
        None => String::new(),
    }
}
