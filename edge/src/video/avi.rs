//! AVI with MJPEG, read in sequence without its index, which is missing after a power cut.

use super::demuxer::{DemuxError, Demuxer, MAX_FRAME, Sample, read_up_to};
use super::foreign::ForeignFormat;
use super::mjpeg::Mjpeg;
use crate::frame::RawFormat;
use crate::pixels::jpeg::START;
use std::io::{self, Cursor, Read};

/// The bytes of a header chunk that are read.
const HEADER: usize = 4096;
/// FourCCs of MJPEG.
const CODECS: [&[u8; 4]; 5] = [b"MJPG", b"mjpg", b"JPEG", b"jpeg", b"dmb1"];

/// Demuxer of an AVI file.
pub(crate) struct Avi<R> {
    reader: R,
    rate: Option<f64>,
    /// The stream number in the ids of video chunks.
    stream: [u8; 2],
    /// After a damaged chunk: the JPEGs in the rest of the file.
    salvaged: Option<Mjpeg<Cursor<Vec<u8>>>>,
    ended: bool,
}

#[derive(Default)]
struct Header {
    /// Number of streams.
    streams: u32,
    /// Index of the video stream.
    video: Option<u32>,
    codec: Option<[u8; 4]>,
    rate: Option<f64>,
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

fn letters(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at + 4)?.try_into().ok()
}

impl Header {
    /// Parses a chunk of the header.
    fn parse(&mut self, id: [u8; 4], chunk: &[u8]) {
        match &id {
            b"avih" => {
                let micros = number(chunk, 0).filter(|m| *m > 0);
                self.rate = micros.map(|m| 1e6 / f64::from(m));
            }
            b"strh" => {
                if letters(chunk, 0) == Some(*b"vids") && self.video.is_none() {
                    self.video = Some(self.streams);
                    let (scale, rate) = (number(chunk, 20), number(chunk, 24));
                    if let (Some(scale @ 1..), Some(rate @ 1..)) = (scale, rate) {
                        self.rate = Some(f64::from(rate) / f64::from(scale));
                    }
                }
                self.streams += 1;
            }
            // The format of the preceding stream header.
            b"strf" if self.video.is_some_and(|v| v + 1 == self.streams) => {
                self.codec = letters(chunk, 16);
            }
            _ => {}
        }
    }
}

impl<R: Read + Send> Avi<R> {
    /// Reads the file's header up to its first frame.
    ///
    /// # Errors
    /// When it is not an AVI file; [`DemuxError::Foreign`] where its codec is not MJPEG.
    pub(crate) fn open(mut reader: R) -> Result<Self, DemuxError> {
        let unsupported = |why: &str| DemuxError::Unsupported(why.to_owned());
        let mut head = vec![];
        read_up_to(&mut reader, 12, &mut head)?;
        if !head.starts_with(b"RIFF") || head.get(8..) != Some(b"AVI ") {
            return Err(unsupported("not an AVI file"));
        }
        let mut header = Header::default();
        loop {
            let (id, size) = chunk(&mut reader)?
                .ok_or_else(|| unsupported("the file ends before its first frame"))?;
            if &id == b"LIST" {
                let mut kind = vec![];
                read_up_to(&mut reader, 4, &mut kind)?;
                match kind.as_slice() {
                    b"movi" => break,
                    b"hdrl" | b"strl" => {}
                    _ => skip(&mut reader, size.saturating_sub(4), size)?,
                }
                continue;
            }
            let mut content = vec![];
            let looked_at = (size as usize).min(HEADER);
            let got = read_up_to(&mut reader, looked_at, &mut content)?;
            skip(&mut reader, size.saturating_sub(got as u32), size)?;
            header.parse(id, &content);
        }
        let video = header
            .video
            .filter(|v| *v < 100)
            .ok_or_else(|| unsupported("no video stream"))?;
        match header.codec {
            Some(codec) if CODECS.iter().any(|c| **c == codec) => {}
            Some(codec) => {
                return Err(DemuxError::Foreign(ForeignFormat::avi(codec)));
            }
            None => return Err(unsupported("the video stream has no format")),
        }
        Ok(Self {
            reader,
            rate: header.rate,
            stream: [b'0' + (video / 10) as u8, b'0' + (video % 10) as u8],
            salvaged: None,
            ended: false,
        })
    }

    /// After an invalid chunk id: reads the rest of the file to look for JPEGs.
    fn salvage(&mut self, head: &[u8]) -> Result<(), DemuxError> {
        let mut rest = head.to_vec();
        read_up_to(&mut self.reader, MAX_FRAME, &mut rest)?;
        self.salvaged = Some(Mjpeg::new(Cursor::new(rest)));
        Ok(())
    }
}

/// The id and size of the next chunk; `None` at the end.
fn chunk(reader: &mut impl Read) -> io::Result<Option<([u8; 4], u32)>> {
    let mut head = vec![];
    read_up_to(reader, 8, &mut head)?;
    Ok(letters(&head, 0).zip(number(&head, 4)))
}

/// Skips the `left` bytes of a chunk of `size` and its padding.
fn skip(reader: &mut impl Read, left: u32, size: u32) -> io::Result<()> {
    let padded = u64::from(left) + u64::from(size % 2);
    io::copy(&mut reader.take(padded), &mut io::sink())?;
    Ok(())
}

impl<R: Read + Send> Demuxer for Avi<R> {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Sample, DemuxError> {
        if let Some(salvaged) = &mut self.salvaged {
            return salvaged.next(into);
        }
        while !self.ended {
            let Some((id, size)) = chunk(&mut self.reader)? else {
                break;
            };
            match &id {
                // Nested lists, and the continuation beyond the first gigabytes: read their chunks.
                b"LIST" | b"RIFF" => skip(&mut self.reader, 4, 0)?,
                [a, b, b'd', b'c' | b'b'] if [*a, *b] == self.stream => {
                    if size as usize > MAX_FRAME {
                        skip(&mut self.reader, size, size)?;
                        return Err(DemuxError::InvalidFrame(format!(
                            "frame of {size} bytes; expected at most {MAX_FRAME}"
                        )));
                    }
                    if size == 0 {
                        return Ok(Sample::Empty);
                    }
                    let got = read_up_to(&mut self.reader, size as usize, into)?;
                    skip(&mut self.reader, 0, size)?;
                    if got < size as usize {
                        self.ended = true;
                        return Err(DemuxError::truncated());
                    }
                    if !into.starts_with(&START) {
                        return Err(DemuxError::InvalidFrame("not a JPEG image".into()));
                    }
                    return Ok(Sample::Image(RawFormat::Jpeg));
                }
                id if id
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || *b == b' ' || *b == b'_') =>
                {
                    skip(&mut self.reader, size, size)?;
                }
                id => {
                    let head = [id.as_slice(), &size.to_le_bytes()].concat();
                    self.salvage(&head)?;
                    return Err(DemuxError::InvalidFrame(
                        "damaged AVI chunk; searching for the next image".into(),
                    ));
                }
            }
        }
        Ok(Sample::End)
    }

    fn rate(&self) -> Option<f64> {
        self.rate
    }
}
