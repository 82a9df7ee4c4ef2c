//! A frame: one image of a camera, with its time and the boxes of the flukes in it.

use crate::buffers::PooledBuffer;
use crate::encoded_frame::EncodedFrame;
use crate::pixel_format::{ColourRange, PixelLayout, Shape};
use crate::time::{MonotonicTimestamp, Timing};
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use std::fmt;
use std::path::PathBuf;

/// One image of a camera.
#[derive(Debug)]
pub struct Frame {
    /// Index of the camera.
    pub camera: usize,
    /// Its name in logs.
    pub name: FrameName,
    /// When it was taken.
    pub taken: MonotonicTimestamp,
    /// How that is known.
    pub timing: Timing,
    /// The image, decoded only where it is analysed.
    pub image: FrameImage,
    /// The flukes in it, where the source knows them; `None` where a detector has to look.
    pub boxes: Option<Vec<PixelBox>>,
    /// What its camera sent since the last frame, where the image was decoded from that.
    pub encoded: Vec<EncodedFrame>,
}

/// What logs call a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameName {
    /// Path of an image file.
    File(PathBuf),
    /// The number of a camera's or video's frame.
    Number(u64),
}

impl fmt::Display for FrameName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Number(number) => write!(f, "number {number}"),
        }
    }
}

/// An image as its source provides it.
#[derive(Debug)]
pub enum FrameImage {
    /// A JPEG or PNG file.
    Encoded(Vec<u8>),
    /// The bytes of a camera or video.
    Raw(RawImage),
    /// Decoded 8-bit RGB pixels.
    Pixels(RgbImage),
}

/// The bytes of a camera or video.
#[derive(Debug)]
pub struct RawImage {
    /// A whole image, or less where the driver or the file truncated it.
    pub bytes: PooledBuffer,
    /// How to read them.
    pub format: RawFormat,
}

/// How to read the bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFormat {
    /// A single JPEG image per frame.
    Jpeg,
    /// Uncompressed pixels.
    Uncompressed {
        /// The order of luma and chroma in memory.
        layout: PixelLayout,
        /// The size in memory.
        shape: Shape,
        /// The values of black and white.
        range: ColourRange,
    },
}
