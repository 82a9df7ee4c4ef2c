//! The interface of a camera.

use crate::encoded_frame::EncodedFrame;
use crate::frame::RawFormat;
use crate::pixel_format::{ColourRange, PixelLayout, Shape};
use crate::time::{MonotonicTimestamp, Timing};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// The encodings that Flukewatch decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Encoding {
    /// Luma only.
    Grey,
    /// A plane of luma, then interleaved chroma for every 2x2 pixels.
    Nv12,
    /// Interleaved luma and chroma, chroma for every two pixels.
    Yuyv,
    /// The same with chroma first.
    Uyvy,
    /// One JPEG per frame.
    Mjpeg,
    /// A plane of luma and two of chroma for every 2x2 pixels: what GStreamer pipelines send.
    I420,
}

impl Encoding {
    /// Those that a Video4Linux2 driver is asked for, cheapest to decode first.
    pub const ALL: [Self; 5] = [Self::Grey, Self::Nv12, Self::Yuyv, Self::Uyvy, Self::Mjpeg];

    /// Its V4L2 pixel format code, e.g. `YUYV`.
    pub fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Grey => b"GREY",
            Self::Nv12 => b"NV12",
            Self::Yuyv => b"YUYV",
            Self::Uyvy => b"UYVY",
            Self::Mjpeg => b"MJPG",
            Self::I420 => b"YU12",
        }
    }

    /// The encoding with this V4L2 code, if it is supported.
    pub fn from_fourcc(code: [u8; 4]) -> Option<Self> {
        match &code {
            // Some drivers report MJPEG as JPEG.
            b"JPEG" => Some(Self::Mjpeg),
            _ => Self::ALL.into_iter().find(|e| e.fourcc() == code),
        }
    }
}

/// The names of [`Encoding::ALL`], for messages.
pub(crate) const SUPPORTED_ENCODINGS: &str = "GREY, NV12, YUYV, UYVY or MJPEG";

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "GREY",
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Mjpeg => "MJPEG",
            Self::I420 => "I420",
        })
    }
}

/// A range of widths or heights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeRange {
    /// The smallest supported value.
    pub min: u32,
    /// The largest; equal to `min` where there is no choice.
    pub max: u32,
    /// The step, at least 1.
    pub step: u32,
}

impl SizeRange {
    /// A range that contains only `value`.
    pub fn one(value: u32) -> Self {
        Self {
            min: value,
            max: value,
            step: 1,
        }
    }

    /// The value nearest to `requested`, not less where there is one.
    pub fn nearest(self, requested: u32) -> u32 {
        let step = self.step.max(1);
        let steps = requested.saturating_sub(self.min).div_ceil(step);
        let last = self.max.saturating_sub(self.min) / step;
        self.min
            .saturating_add(steps.min(last).saturating_mul(step))
    }
}

impl fmt::Display for SizeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

/// A format that a camera supports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SupportedFormat {
    /// Pixel format or compression of its frames.
    pub encoding: Encoding,
    /// Width in pixels.
    pub width: SizeRange,
    /// Height in pixels.
    pub height: SizeRange,
    /// Frames per second, highest first; empty where the driver does not list them.
    pub rates: Vec<f64>,
}

/// A mode of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    /// Pixel format or compression of its frames.
    pub encoding: Encoding,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames per second.
    pub rate: f64,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            encoding,
            width,
            height,
            rate,
        } = self;
        write!(
            f,
            "{width}x{height} {encoding} at {} fps",
            (rate * 10.0).round() / 10.0
        )
    }
}

/// Exposure settings of a camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Controls {
    /// Exposure time; `None` for automatic exposure.
    pub exposure: Option<Duration>,
    /// Whether the camera may reduce its frame rate in poor light to expose for longer.
    pub dynamic_framerate: bool,
}

/// What a camera sends, which may differ from what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NegotiatedFormat {
    /// Encoding, size and rate.
    pub mode: Mode,
    /// Bytes from one row to the next; unused for [`Encoding::Mjpeg`].
    pub stride: u32,
    /// The values of black and white; unused for [`Encoding::Mjpeg`].
    pub range: ColourRange,
}

impl NegotiatedFormat {
    /// How to read the bytes of its frames.
    pub fn raw_format(&self) -> RawFormat {
        let layout = match self.mode.encoding {
            Encoding::Mjpeg => return RawFormat::Jpeg,
            Encoding::Grey => PixelLayout::Grey,
            Encoding::Nv12 => PixelLayout::Nv12,
            Encoding::Yuyv => PixelLayout::Yuyv,
            Encoding::Uyvy => PixelLayout::Uyvy,
            Encoding::I420 => PixelLayout::Planar420,
        };
        let Mode { width, height, .. } = self.mode;
        // A driver that reports no stride packs its rows.
        let stride = if self.stride == 0 {
            u32::try_from(layout.row(width)).unwrap_or(u32::MAX)
        } else {
            self.stride
        };
        // With an odd width, the row may end in the middle of a pair of pixels that share chroma.
        let width = [width, width.saturating_sub(1)]
            .into_iter()
            .find(|w| layout.row(*w) <= stride as usize)
            .unwrap_or(width);
        RawFormat::Uncompressed {
            layout,
            shape: Shape {
                width,
                height,
                stride,
            },
            range: self.range,
        }
    }
}

/// What a camera reports with a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameMetadata {
    /// When it was taken, where the camera reports it on the monotonic clock.
    pub taken: Option<MonotonicTimestamp>,
    /// How that is known.
    pub timing: Timing,
    /// The driver's sequence number, with gaps where it lost frames.
    pub sequence: u32,
    /// Whether the driver marked the frame as damaged.
    pub damaged: bool,
    /// The format from this frame on, where it changed.
    pub changed: Option<NegotiatedFormat>,
    /// What the camera sent since the last frame, where the image was decoded from that.
    pub encoded: Vec<EncodedFrame>,
}

/// An error of a camera.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Not found, or unplugged.
    #[error("camera not found: {0}")]
    Disconnected(String),
    /// No frame within the timeout. The stream must be restarted.
    #[error("no frame within {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// It cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// Its frames have several planes, each in a buffer of its own, which GStreamer reads.
    #[error("the frames of '{0}' have several planes")]
    SeveralPlanes(String),
    /// The stream ended, for the given reason.
    #[error("{0}")]
    Ended(String),
}

/// An open camera that can be queried, started and read.
pub trait Camera: Send {
    /// The name that its maker gave it.
    fn name(&self) -> String;

    /// The supported formats that Flukewatch can decode.
    ///
    /// # Errors
    /// When it cannot be queried.
    fn formats(&mut self) -> Result<Vec<SupportedFormat>, DeviceError>;

    /// Starts the stream, or restarts it after a timeout. Controls that it lacks are logged and
    /// ignored.
    ///
    /// # Errors
    /// When the stream cannot be started.
    fn start(&mut self, mode: &Mode, controls: &Controls) -> Result<NegotiatedFormat, DeviceError>;

    /// Waits for the next frame and appends its bytes, as many as the driver filled, to `into`.
    ///
    /// # Errors
    /// [`DeviceError::TimedOut`] when none arrives within `timeout`; any other error ends the stream.
    fn read_frame(
        &mut self,
        timeout: Duration,
        into: &mut Vec<u8>,
    ) -> Result<FrameMetadata, DeviceError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_a_range_is_not_less_where_possible() {
        let range = SizeRange {
            min: 100,
            max: 200,
            step: 16,
        };
        for (requested, nearest) in [
            (0, 100),
            (100, 100),
            (101, 116),
            (180, 180),
            (190, 196),
            (999, 196),
        ] {
            assert_eq!(range.nearest(requested), nearest, "{requested}");
        }
        assert_eq!(SizeRange::one(640).nearest(1920), 640);
        let broken = SizeRange {
            min: 5,
            max: 1,
            step: 0,
        };
        assert_eq!(broken.nearest(9), 5);
    }

    #[test]
    fn a_driver_without_stride_packs_its_rows() {
        let format = |stride| NegotiatedFormat {
            mode: Mode {
                encoding: Encoding::Yuyv,
                width: 641,
                height: 4,
                rate: 30.0,
            },
            stride,
            range: ColourRange::Limited,
        };
        let stride = |stride| match format(stride).raw_format() {
            RawFormat::Uncompressed { shape, .. } => shape.stride,
            RawFormat::Jpeg => panic!("YUYV is uncompressed"),
        };
        assert_eq!((stride(0), stride(1408)), (1284, 1408));
    }

    #[test]
    fn half_a_pair_of_pixels_at_the_end_of_a_row_is_left_out() {
        // The kernel's vivid does so when asked for 333 pixels.
        let width = |width, stride| {
            let mode = Mode {
                encoding: Encoding::Yuyv,
                width,
                height: 201,
                rate: 60.0,
            };
            let format = NegotiatedFormat {
                mode,
                stride,
                range: ColourRange::Limited,
            };
            match format.raw_format() {
                RawFormat::Uncompressed { shape, .. } => shape.width,
                RawFormat::Jpeg => panic!("YUYV is uncompressed"),
            }
        };
        assert_eq!(width(333, 666), 332);
        assert_eq!((width(333, 668), width(333, 0)), (333, 333));
        assert_eq!(
            width(332, 600),
            332,
            "overlapping rows are a fault of the driver"
        );
    }
}
