//! Reads a stream of uncompressed images.

use super::element::{SCALE, id};
use crate::frame::RawFormat;
use crate::pixel_format::{ColourRange, PixelLayout, Shape};
use crate::video::{DemuxError, MAX_FRAME, read_up_to};
use flukewatch_common::prepare::{MAX_FULL_SIZE_PIXELS, MAX_SIDE};
use std::io::{BufRead, ErrorKind, Read};

/// The largest element besides frames, in bytes.
const MAX_ELEMENT: u64 = 1 << 20;

/// An image and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// When it is shown, in milliseconds of the stream.
    pub millis: i64,
    /// How to read its bytes.
    pub format: RawFormat,
}

/// A stream being read.
pub struct Reader<R> {
    stream: R,
    width: u32,
    height: u32,
    fourcc: Vec<u8>,
    range: ColourRange,
    /// Nanoseconds of a timestamp's unit.
    scale: u64,
    /// The time of the current cluster.
    cluster: u64,
}

impl<R: BufRead> Reader<R> {
    /// A reader of a stream that has not begun yet.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            width: 0,
            height: 0,
            fourcc: vec![],
            range: ColourRange::Limited,
            scale: SCALE,
            cluster: 0,
        }
    }

    /// The stream below.
    pub(crate) fn stream(&mut self) -> &mut R {
        &mut self.stream
    }

    /// Appends the next image's bytes to `into`; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`DemuxError::InvalidFrame`] where the stream ends within an element, [`DemuxError::Unsupported`]
    /// where it is anything but Matroska with I420 images.
    pub fn next(&mut self, into: &mut Vec<u8>) -> Result<Option<Block>, DemuxError> {
        loop {
            if self.stream.fill_buf()?.is_empty() {
                return Ok(None);
            }
            let id = self.id()?;
            let size = self.size()?;
            match id {
                // Their content follows.
                id::SEGMENT
                | id::TRACKS
                | id::TRACK_ENTRY
                | id::VIDEO
                | id::COLOUR
                | id::INFO
                | id::CLUSTER
                | id::BLOCK_GROUP => {}
                id::TIMESTAMP_SCALE => self.scale = self.number(size)?.max(1),
                id::PIXEL_WIDTH => self.width = self.number_u32(size)?,
                id::PIXEL_HEIGHT => self.height = self.number_u32(size)?,
                id::RANGE => {
                    self.range = match self.number(size)? {
                        2 => ColourRange::Full,
                        _ => ColourRange::Limited,
                    }
                }
                id::UNCOMPRESSED_FOURCC => self.fourcc = self.content(size)?,
                id::TIMESTAMP => self.cluster = self.number(size)?,
                id::SIMPLE_BLOCK | id::BLOCK => return self.block(size, into).map(Some),
                _ => self.skip(size)?,
            }
        }
    }

    fn block(&mut self, size: Option<u64>, into: &mut Vec<u8>) -> Result<Block, DemuxError> {
        let format = self.format()?;
        let RawFormat::Uncompressed { layout, shape, .. } = format else {
            return Err(unsupported("compressed images"));
        };
        let expected = layout.size(shape);
        // Its track, a byte as long as there is one track, time and flags.
        let head = 4;
        let given = size.and_then(|size| size.checked_sub(head));
        if given != Some(expected as u64) {
            return Err(DemuxError::Unsupported(format!(
                "frames of {} bytes; expected {expected} for {} x {} pixels",
                given.unwrap_or(0),
                shape.width,
                shape.height
            )));
        }
        let [_track, high, low, _flags] = self.array()?;
        let relative = i64::from(i16::from_be_bytes([high, low]));
        if read_up_to(&mut self.stream, expected, into)? < expected {
            return Err(DemuxError::truncated());
        }
        let units = i64::try_from(self.cluster).unwrap_or(i64::MAX);
        let nanos = i128::from(units.saturating_add(relative)) * i128::from(self.scale);
        Ok(Block {
            millis: i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX),
            format,
        })
    }

    fn format(&self) -> Result<RawFormat, DemuxError> {
        if self.fourcc != b"I420" {
            return Err(unsupported("a stream without I420 images"));
        }
        let (width, height) = (self.width, self.height);
        let layout = PixelLayout::Planar420;
        let shape = Shape {
            width,
            height,
            stride: width,
        };
        let pixels = u64::from(width) * u64::from(height);
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width)
            || !sides.contains(&height)
            || pixels > MAX_FULL_SIZE_PIXELS
            || layout.size(shape) > MAX_FRAME
        {
            return Err(DemuxError::Unsupported(format!(
                "invalid frame size {width} x {height}"
            )));
        }
        Ok(RawFormat::Uncompressed {
            layout,
            shape,
            range: self.range,
        })
    }

    /// An id, with its marker.
    fn id(&mut self) -> Result<u32, DemuxError> {
        let [first] = self.array()?;
        let more = first.leading_zeros();
        if more > 3 {
            return Err(unsupported("a stream that is not Matroska"));
        }
        let mut id = u32::from(first);
        for _ in 0..more {
            let [byte] = self.array()?;
            id = id << 8 | u32::from(byte);
        }
        Ok(id)
    }

    /// A size; `None` where it is unknown.
    fn size(&mut self) -> Result<Option<u64>, DemuxError> {
        let [first] = self.array()?;
        let more = first.leading_zeros();
        if more > 7 {
            return Err(unsupported("a stream that is not Matroska"));
        }
        let mut size = u64::from(first) ^ 1 << (7 - more);
        for _ in 0..more {
            let [byte] = self.array()?;
            size = size << 8 | u64::from(byte);
        }
        let unknown = (1 << (7 * (more + 1))) - 1;
        Ok((size != unknown).then_some(size))
    }

    fn number(&mut self, size: Option<u64>) -> Result<u64, DemuxError> {
        let content = self.content(size)?;
        if content.len() > 8 {
            return Err(unsupported("a number of more than eight bytes"));
        }
        Ok(content
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn number_u32(&mut self, size: Option<u64>) -> Result<u32, DemuxError> {
        Ok(u32::try_from(self.number(size)?).unwrap_or(u32::MAX))
    }

    fn content(&mut self, size: Option<u64>) -> Result<Vec<u8>, DemuxError> {
        let size = size.filter(|size| *size <= 64);
        let size = size.ok_or_else(|| unsupported("an element of an invalid size"))? as usize;
        let mut content = vec![];
        if read_up_to(&mut self.stream, size, &mut content)? < size {
            return Err(DemuxError::truncated());
        }
        Ok(content)
    }

    fn skip(&mut self, size: Option<u64>) -> Result<(), DemuxError> {
        let size = size.filter(|size| *size <= MAX_ELEMENT);
        let size = size.ok_or_else(|| unsupported("an element of an invalid size"))?;
        let skipped = std::io::copy(&mut (&mut self.stream).take(size), &mut std::io::sink())?;
        if skipped < size {
            return Err(DemuxError::truncated());
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DemuxError> {
        let mut bytes = [0; N];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => Err(DemuxError::truncated()),
            Err(e) => Err(e.into()),
        }
    }
}

fn unsupported(what: &str) -> DemuxError {
    DemuxError::Unsupported(what.into())
}
