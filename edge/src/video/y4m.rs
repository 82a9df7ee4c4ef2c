//! YUV4MPEG2: a header line, then each frame's bytes after a line `FRAME`.

use super::demuxer::{DemuxError, Demuxer, MAX_FRAME, Sample, read_up_to};
use crate::frame::RawFormat;
use crate::pixel_format::{ColourRange, PixelLayout, Shape};
use flukewatch_common::prepare::{MAX_FULL_SIZE_PIXELS, MAX_SIDE};
use std::io::{BufRead, Read};

pub(super) const MAGIC: &[u8] = b"YUV4MPEG2";
/// The longest header line, in bytes.
const MAX_LINE: u64 = 4096;

/// Demuxer of a Y4M video.
pub(crate) struct Y4m<R> {
    reader: R,
    header: Option<Header>,
    /// The last line; its memory is reused.
    line: Vec<u8>,
    ended: bool,
}

struct Header {
    format: RawFormat,
    size: usize,
    rate: Option<f64>,
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, DemuxError> {
        let unsupported = |why: String| DemuxError::Unsupported(why);
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(unsupported(
                "the stream does not start with YUV4MPEG2".into(),
            ));
        }
        let (mut width, mut height, mut rate) = (0, 0, None);
        let (mut layout, mut range) = (PixelLayout::Planar420, ColourRange::Limited);
        for word in words.filter(|w| !w.is_empty()) {
            let (key, value) = word.split_at_checked(1).unwrap_or((word, ""));
            match key {
                "W" => width = value.parse().unwrap_or(0),
                "H" => height = value.parse().unwrap_or(0),
                "F" => rate = fraction(value),
                "C" => {
                    layout = layout_of(value).ok_or_else(|| {
                        unsupported(format!(
                            "unsupported colour space '{value}'; expected 8-bit 420, 422, 444 or mono"
                        ))
                    })?;
                }
                "X" if value == "COLORRANGE=FULL" => range = ColourRange::Full,
                // Interlacing, pixel aspect ratio, comments.
                _ => {}
            }
        }
        let pixels = u64::from(width) * u64::from(height);
        if width == 0
            || height == 0
            || width > MAX_SIDE
            || height > MAX_SIDE
            || pixels > MAX_FULL_SIZE_PIXELS
        {
            return Err(unsupported(format!(
                "invalid frame size {width} x {height}"
            )));
        }
        let shape = Shape {
            width,
            height,
            stride: width,
        };
        let size = layout.size(shape);
        if size > MAX_FRAME {
            return Err(unsupported(format!(
                "frames of {size} bytes; expected at most {MAX_FRAME}"
            )));
        }
        Ok(Self {
            format: RawFormat::Uncompressed {
                layout,
                shape,
                range,
            },
            size,
            rate,
        })
    }
}

impl<R: BufRead + Send> Y4m<R> {
    /// Reads the header line of a file.
    ///
    /// # Errors
    /// When it is invalid or unsupported.
    pub(crate) fn open(reader: R) -> Result<Self, DemuxError> {
        let mut opened = Self::new(reader);
        opened.begin()?;
        Ok(opened)
    }

    /// A demuxer that has not read the header yet; see [`Y4m::begin`].
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            header: None,
            line: vec![],
            ended: false,
        }
    }

    /// Reads the header line of a stream.
    ///
    /// # Errors
    /// When it is invalid or unsupported.
    pub(crate) fn begin(&mut self) -> Result<RawFormat, DemuxError> {
        if !self.read_line()? {
            return Err(DemuxError::Unsupported(
                "the header line does not end".into(),
            ));
        }
        let header = Header::parse(&self.line)?;
        let format = header.format;
        self.header = Some(header);
        Ok(format)
    }

    /// The underlying reader of the stream.
    pub(crate) fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Reads the next line without its end; `false` at the end, or where it is too long.
    fn read_line(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        let mut line = self.reader.by_ref().take(MAX_LINE);
        line.read_until(b'\n', &mut self.line)?;
        Ok(self.line.pop() == Some(b'\n'))
    }
}

/// `420jpeg`, `420mpeg2` and `420paldv` differ in the siting of chroma by less than a pixel.
fn layout_of(name: &str) -> Option<PixelLayout> {
    Some(match name {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => PixelLayout::Planar420,
        "422" => PixelLayout::Planar422,
        "444" => PixelLayout::Planar444,
        "mono" => PixelLayout::Grey,
        _ => return None,
    })
}

fn fraction(text: &str) -> Option<f64> {
    let (numerator, denominator) = text.split_once(':')?;
    let (n, d): (u32, u32) = (numerator.parse().ok()?, denominator.parse().ok()?);
    (n > 0 && d > 0).then(|| f64::from(n) / f64::from(d))
}

impl<R: BufRead + Send> Demuxer for Y4m<R> {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Sample, DemuxError> {
        loop {
            if self.ended || self.reader.fill_buf()?.is_empty() {
                return Ok(Sample::End);
            }
            let whole = self.read_line()?;
            if whole && (self.line == b"FRAME" || self.line.starts_with(b"FRAME ")) {
                break;
            }
            self.ended = true;
            if !(whole && self.line.starts_with(MAGIC)) {
                return Err(DemuxError::InvalidFrame(
                    "expected FRAME; the rest of the stream is ignored".into(),
                ));
            }
            // A pipeline starts a new stream where the format changes.
            self.header = Some(Header::parse(&self.line)?);
            self.ended = false;
        }
        let Some(header) = &self.header else {
            self.ended = true;
            return Err(DemuxError::Unsupported(
                "the stream does not start with YUV4MPEG2".into(),
            ));
        };
        let got = read_up_to(&mut self.reader, header.size, into)?;
        if got < header.size {
            self.ended = true;
            return Err(DemuxError::truncated());
        }
        Ok(Sample::Image(header.format))
    }

    fn rate(&self) -> Option<f64> {
        self.header.as_ref().and_then(|header| header.rate)
    }
}
