//! What a camera is to the rest of the boat.

use crate::frame::RawFormat;
use crate::pixels::{Layout, Range, Shape};
use crate::time::{Moment, Timing};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// How a camera can send pictures, of the ways that Flukewatch reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Encoding {
    /// Brightness alone.
    Grey,
    /// Brightness, then colours for each 2x2 pixels.
    Nv12,
    /// Brightness and colours in turn, colours for each two pixels.
    Yuyv,
    /// A JPEG a frame.
    Mjpeg,
    /// Brightness, then the one colour for each 2x2 pixels, then the other: what pipelines of GStreamer are asked for.
    I420,
}

impl Encoding {
    /// All that a driver of Video4Linux2 is asked for, those first that cost least to read.
    pub const ALL: [Self; 4] = [Self::Grey, Self::Nv12, Self::Yuyv, Self::Mjpeg];

    /// V4L2's four letters for it.
    pub fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Grey => b"GREY",
            Self::Nv12 => b"NV12",
            Self::Yuyv => b"YUYV",
            Self::Mjpeg => b"MJPG",
            Self::I420 => b"YU12",
        }
    }

    /// The one with these four letters, if it is read.
    pub fn from_fourcc(letters: [u8; 4]) -> Option<Self> {
        match &letters {
            // Some drivers say JPEG for what they send a frame at a time.
            b"JPEG" => Some(Self::Mjpeg),
            _ => Self::ALL.into_iter().find(|e| e.fourcc() == letters),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grey => "GREY",
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Mjpeg => "MJPEG",
            Self::I420 => "I420",
        })
    }
}

/// Sizes or rates that a camera offers in one way of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The least.
    pub least: u32,
    /// The most; the same as the least where there is no choice.
    pub most: u32,
    /// From one to the next; at least 1.
    pub step: u32,
}

impl Span {
    /// One value.
    pub fn one(value: u32) -> Self {
        Self {
            least: value,
            most: value,
            step: 1,
        }
    }

    /// The value next to `wanted`: not less, where there is one.
    pub fn nearest(self, wanted: u32) -> u32 {
        let step = self.step.max(1);
        let steps = wanted.saturating_sub(self.least).div_ceil(step);
        let most = self.most.saturating_sub(self.least) / step;
        self.least
            .saturating_add(steps.min(most).saturating_mul(step))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "{}", self.least)
        } else {
            write!(f, "{}-{}", self.least, self.most)
        }
    }
}

/// One thing that a camera offers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Offer {
    /// How it sends pictures.
    pub encoding: Encoding,
    /// Pixels across.
    pub width: Span,
    /// Pixels down.
    pub height: Span,
    /// Frames a second, the highest first; empty where the driver does not say.
    pub rates: Vec<f64>,
}

/// What a camera is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    /// How it shall send pictures.
    pub encoding: Encoding,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Frames a second.
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
            "{width} x {height} {encoding} at {} a second",
            (rate * 10.0).round() / 10.0
        )
    }
}

/// Settings of a camera beside its mode.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Controls {
    /// How long a frame is exposed; `None` leaves it to the camera.
    pub exposure: Option<Duration>,
    /// Whether the camera must keep its rate when light is poor, rather than expose for longer.
    pub hold_rate: bool,
}

/// What a camera agreed to send. Drivers may give another size, stride or rate than they were asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreed {
    /// What it sends.
    pub mode: Mode,
    /// Bytes from one row to the next; of no meaning for [`Encoding::Mjpeg`].
    pub stride: u32,
    /// What black and white are; of no meaning for [`Encoding::Mjpeg`].
    pub range: Range,
}

impl Agreed {
    /// What the bytes of its frames are.
    pub fn format(&self) -> RawFormat {
        let layout = match self.mode.encoding {
            Encoding::Mjpeg => return RawFormat::Jpeg,
            Encoding::Grey => Layout::Grey,
            Encoding::Nv12 => Layout::Nv12,
            Encoding::Yuyv => Layout::Yuyv,
            Encoding::I420 => Layout::Planar420,
        };
        let Mode { width, height, .. } = self.mode;
        // A driver that says nothing of its rows packs them.
        let stride = if self.stride == 0 {
            u32::try_from(layout.row(width)).unwrap_or(u32::MAX)
        } else {
            self.stride
        };
        // Colours come for two pixels each, and a driver that gives an odd number of them may end the row in the middle of a pair.
        let width = [width, width.saturating_sub(1)]
            .into_iter()
            .find(|w| layout.row(*w) <= stride as usize)
            .unwrap_or(width);
        RawFormat::Plain {
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

/// What comes with a frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    /// When it was taken, where the camera says so by the steady clock.
    pub taken: Option<Moment>,
    /// How that is known.
    pub timing: Timing,
    /// The driver's count of frames; what it lost itself is missing in it.
    pub sequence: u32,
    /// Whether the driver says that the bytes are damaged.
    pub damaged: bool,
    /// What is sent from this frame on, where that has changed.
    pub changed: Option<Agreed>,
}

/// Why a camera does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is none, or it was unplugged.
    #[error("it is not there: {0}")]
    Gone(String),
    /// No frame came in time. The stream must be started anew.
    #[error("no frame came for {:.1} s", .0.as_secs_f64())]
    Stalled(Duration),
    /// It is there and refuses.
    #[error("{0}")]
    Refused(String),
    /// It sent frames, or was about to, and will send no more.
    #[error("{0}")]
    Ended(String),
}

/// An open camera.
pub trait Camera: Send {
    /// Its name, as its maker gives it.
    fn name(&self) -> String;

    /// All that it offers, of what is read.
    ///
    /// # Errors
    /// When it cannot be asked.
    fn offers(&mut self) -> Result<Vec<Offer>, DeviceError>;

    /// Starts sending frames, after a stall anew. Settings that it does not have are passed over, with a line in the log.
    ///
    /// # Errors
    /// When it cannot.
    fn start(&mut self, mode: &Mode, controls: &Controls) -> Result<Agreed, DeviceError>;

    /// Waits for the next frame and appends its bytes, no more than the driver filled, to `into`.
    ///
    /// # Errors
    /// [`DeviceError::Stalled`] when none comes within `patience`; otherwise when there will be none.
    fn frame(&mut self, patience: Duration, into: &mut Vec<u8>) -> Result<Stamp, DeviceError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_a_span_is_not_less_where_possible() {
        let span = Span {
            least: 100,
            most: 200,
            step: 16,
        };
        for (wanted, nearest) in [
            (0, 100),
            (100, 100),
            (101, 116),
            (180, 180),
            (190, 196),
            (999, 196),
        ] {
            assert_eq!(span.nearest(wanted), nearest, "{wanted}");
        }
        assert_eq!(Span::one(640).nearest(1920), 640);
        let broken = Span {
            least: 5,
            most: 1,
            step: 0,
        };
        assert_eq!(broken.nearest(9), 5);
    }

    #[test]
    fn a_driver_that_names_no_stride_packs_its_rows() {
        let agreed = |stride| Agreed {
            mode: Mode {
                encoding: Encoding::Yuyv,
                width: 641,
                height: 4,
                rate: 30.0,
            },
            stride,
            range: Range::Limited,
        };
        let stride = |stride| match agreed(stride).format() {
            RawFormat::Plain { shape, .. } => shape.stride,
            RawFormat::Jpeg => panic!("YUYV is plain"),
        };
        assert_eq!((stride(0), stride(1408)), (1284, 1408));
    }

    #[test]
    fn half_a_pair_of_pixels_at_a_rows_end_is_left_out() {
        // As the kernel's vivid gives it where it is asked for 333 pixels.
        let width = |width, stride| {
            let mode = Mode {
                encoding: Encoding::Yuyv,
                width,
                height: 201,
                rate: 60.0,
            };
            let agreed = Agreed {
                mode,
                stride,
                range: Range::Limited,
            };
            match agreed.format() {
                RawFormat::Plain { shape, .. } => shape.width,
                RawFormat::Jpeg => panic!("YUYV is plain"),
            }
        };
        assert_eq!(width(333, 666), 332);
        assert_eq!((width(333, 668), width(333, 0)), (333, 333));
        assert_eq!(
            width(332, 600),
            332,
            "rows that overlap are a fault of the driver's"
        );
    }
}
