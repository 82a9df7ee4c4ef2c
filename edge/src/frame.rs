//! A frame: one picture of a camera, with its time and the boxes of the flukes in it.

use crate::pixels::{Layout, Range, Shape};
use crate::source::Recycled;
use crate::time::{Moment, Timing};
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use std::fmt;
use std::path::PathBuf;

/// One picture of a camera.
#[derive(Debug)]
pub struct Frame {
    /// Which of the boat's cameras took it, counted from 0.
    pub camera: usize,
    /// What logs call it.
    pub name: FrameName,
    /// When it was taken.
    pub taken: Moment,
    /// How that is known.
    pub timing: Timing,
    /// The picture; decoded only where somebody looks into it.
    pub picture: FramePicture,
    /// The flukes in it; `None` where nobody has looked for them, so that the whole frame counts as one.
    pub boxes: Option<Vec<PixelBox>>,
}

/// What logs call a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameName {
    /// A picture file.
    File(PathBuf),
    /// A camera's or film's frame, by its number.
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

/// A picture as its source has it.
#[derive(Debug)]
pub enum FramePicture {
    /// A JPEG or PNG file.
    Encoded(Vec<u8>),
    /// A camera's or film's bytes.
    Raw(RawPicture),
    /// Pixels, 8-bit RGB.
    Pixels(RgbImage),
}

/// A camera's or film's bytes, in memory that is used again once they are dropped.
#[derive(Debug)]
pub struct RawPicture {
    /// The bytes: a whole picture, or less where the driver or the film cut it off.
    pub bytes: Recycled,
    /// What they are.
    pub format: RawFormat,
}

/// What the bytes of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFormat {
    /// One JPEG.
    Jpeg,
    /// Uncompressed.
    Plain {
        /// How brightness and colour lie.
        layout: Layout,
        /// The size in memory.
        shape: Shape,
        /// What black and white are.
        range: Range,
    },
}
