//! How uncompressed images lie in memory.

/// The order of luma (Y) and chroma (U, V) in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelLayout {
    /// Luma only, one byte per pixel (`GREY`, Y4M's `mono`).
    Grey,
    /// `Y0 U Y1 V` for every two pixels of a row (`YUYV`).
    Yuyv,
    /// `U Y0 V Y1` for every two pixels of a row (`UYVY`).
    Uyvy,
    /// A plane of Y, then one of interleaved U and V for every 2x2 pixels (`NV12`).
    Nv12,
    /// Three planes; U and V for every 2x2 pixels.
    Planar420,
    /// Three planes; U and V for every two pixels of a row.
    Planar422,
    /// Three planes; U and V for every pixel.
    Planar444,
}

/// The values of black and white.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ColourRange {
    /// 16 to 235, the usual range of video.
    #[default]
    Limited,
    /// 0 to 255, e.g. of JPEG.
    Full,
}

/// An image's size in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one row of the first plane to the next; at least what a row needs.
    pub stride: u32,
}

impl PixelLayout {
    /// The minimum bytes of a row of the first plane.
    pub fn row(self, width: u32) -> usize {
        let width = width as usize;
        match self {
            Self::Yuyv | Self::Uyvy => width.div_ceil(2) * 4,
            Self::Nv12 => width.next_multiple_of(2),
            _ => width,
        }
    }

    /// Bytes of a whole image; its last row may end with its pixels.
    pub fn size(self, shape: Shape) -> usize {
        self.planes(shape).map_or(0, |planes| {
            planes.iter().map(|p| p.end(shape)).max().unwrap_or(0)
        })
    }

    /// The planes of Y, U and V; for grey the same one three times. `None` on overflow.
    pub(crate) fn planes(self, shape: Shape) -> Option<[Plane; 3]> {
        let (stride, height) = (shape.stride as usize, shape.height as usize);
        let luma = stride.checked_mul(height)?;
        let plane = |start, stride, step, across, down| Plane {
            start,
            stride,
            step,
            across,
            down,
        };
        let half = (stride.div_ceil(2), height.div_ceil(2));
        Some(match self {
            Self::Grey => [plane(0, stride, 1, 0, 0); 3],
            Self::Yuyv => [
                plane(0, stride, 2, 0, 0),
                plane(1, stride, 4, 1, 0),
                plane(3, stride, 4, 1, 0),
            ],
            Self::Uyvy => [
                plane(1, stride, 2, 0, 0),
                plane(0, stride, 4, 1, 0),
                plane(2, stride, 4, 1, 0),
            ],
            Self::Nv12 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, stride, 2, 1, 1),
                plane(luma + 1, stride, 2, 1, 1),
            ],
            Self::Planar420 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, half.0, 1, 1, 1),
                plane(luma + half.0 * half.1, half.0, 1, 1, 1),
            ],
            Self::Planar422 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, half.0, 1, 1, 0),
                plane(luma + half.0 * height, half.0, 1, 1, 0),
            ],
            Self::Planar444 => [
                plane(0, stride, 1, 0, 0),
                plane(luma, stride, 1, 0, 0),
                plane(luma * 2, stride, 1, 0, 0),
            ],
        })
    }
}

/// The values of Y, U or V in memory.
#[derive(Clone, Copy)]
pub(crate) struct Plane {
    start: usize,
    stride: usize,
    /// Bytes from one value to the next.
    pub(crate) step: usize,
    /// Horizontal subsampling, as a power of two.
    across: u32,
    /// Vertical subsampling, as a power of two.
    down: u32,
}

impl Plane {
    /// The offset after its last value.
    fn end(self, shape: Shape) -> usize {
        let last = |pixels: u32, shared: u32| (pixels.saturating_sub(1) >> shared) as usize;
        self.start
            + last(shape.height, self.down) * self.stride
            + last(shape.width, self.across) * self.step
            + 1
    }

    pub(crate) fn row(self, bytes: &[u8], y: u32) -> &[u8] {
        let start = self.start + (y >> self.down) as usize * self.stride;
        bytes.get(start..).unwrap_or_default()
    }

    pub(crate) fn value(self, row: &[u8], x: u32) -> u8 {
        row.get((x >> self.across) as usize * self.step)
            .copied()
            .unwrap_or_default()
    }
}
