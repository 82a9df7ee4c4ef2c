//! AVI with MJPEG, read from start to end without its index: what recorders leave behind when the power goes has none.

use super::{MAX_FRAME, Mjpeg, Reel, ReelError, Shot};
use crate::frame::RawFormat;
use crate::pixels::jpeg::START;
use std::io::{self, Cursor, Read};

/// More of a header is not looked at, in bytes.
const HEADER: usize = 4096;
/// Names of MJPEG.
const CODECS: [&[u8; 4]; 5] = [b"MJPG", b"mjpg", b"JPEG", b"jpeg", b"dmb1"];

/// An AVI film.
pub struct Avi<R> {
    film: R,
    rate: Option<f64>,
    /// The first two letters of the video stream's chunks.
    stream: [u8; 2],
    /// Once the chunks make no sense any more: JPEGs in what is left.
    salvaged: Option<Mjpeg<Cursor<Vec<u8>>>>,
    over: bool,
}

/// What the header says, so far.
#[derive(Default)]
struct Header {
    /// Streams so far.
    streams: u32,
    /// The video stream, counted from 0.
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
    /// Takes what a chunk of the header says.
    fn take(&mut self, id: [u8; 4], chunk: &[u8]) {
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
            // The format of the stream whose header came last.
            b"strf" if self.video.is_some_and(|v| v + 1 == self.streams) => {
                self.codec = letters(chunk, 16);
            }
            _ => {}
        }
    }
}

impl<R: Read + Send> Avi<R> {
    /// Reads the header of `film`.
    ///
    /// # Errors
    /// When it is none, or its pictures are not MJPEG.
    pub fn open(mut film: R) -> Result<Self, ReelError> {
        let no_film = |why: &str| ReelError::NoFilm(why.to_owned());
        let mut head = vec![];
        super::read_up_to(&mut film, 12, &mut head)?;
        if !head.starts_with(b"RIFF") || head.get(8..) != Some(b"AVI ") {
            return Err(no_film("it is no AVI file"));
        }
        let mut header = Header::default();
        loop {
            let (id, size) =
                chunk(&mut film)?.ok_or_else(|| no_film("it ends before its first frame"))?;
            if &id == b"LIST" {
                let mut kind = vec![];
                super::read_up_to(&mut film, 4, &mut kind)?;
                match kind.as_slice() {
                    b"movi" => break,
                    b"hdrl" | b"strl" => {}
                    _ => skip(&mut film, size.saturating_sub(4), size)?,
                }
                continue;
            }
            let mut content = vec![];
            let looked_at = (size as usize).min(HEADER);
            let got = super::read_up_to(&mut film, looked_at, &mut content)?;
            skip(&mut film, size.saturating_sub(got as u32), size)?;
            header.take(id, &content);
        }
        let video = header
            .video
            .filter(|v| *v < 100)
            .ok_or_else(|| no_film("it has no pictures"))?;
        match header.codec {
            Some(codec) if CODECS.iter().any(|c| **c == codec) => {}
            Some(codec) => {
                let codec = String::from_utf8_lossy(&codec).into_owned();
                return Err(ReelError::NoFilm(format!(
                    "its pictures are '{codec}'; MJPEG is read"
                )));
            }
            None => return Err(no_film("it does not say what its pictures are")),
        }
        Ok(Self {
            film,
            rate: header.rate,
            stream: [b'0' + (video / 10) as u8, b'0' + (video % 10) as u8],
            salvaged: None,
            over: false,
        })
    }

    /// The chunks make no sense any more: what is left is read once more, for JPEGs.
    fn salvage(&mut self, head: &[u8]) -> Result<(), ReelError> {
        let mut rest = head.to_vec();
        super::read_up_to(&mut self.film, MAX_FRAME, &mut rest)?;
        self.salvaged = Some(Mjpeg::new(Cursor::new(rest)));
        Ok(())
    }
}

/// The name and size of the next chunk; `None` at the end.
fn chunk(film: &mut impl Read) -> io::Result<Option<([u8; 4], u32)>> {
    let mut head = vec![];
    super::read_up_to(film, 8, &mut head)?;
    Ok(letters(&head, 0).zip(number(&head, 4)))
}

/// Passes over the `left` bytes of a chunk of `size`, and what makes its length even.
fn skip(film: &mut impl Read, left: u32, size: u32) -> io::Result<()> {
    let padded = u64::from(left) + u64::from(size % 2);
    io::copy(&mut film.take(padded), &mut io::sink())?;
    Ok(())
}

impl<R: Read + Send> Reel for Avi<R> {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Shot, ReelError> {
        if let Some(salvaged) = &mut self.salvaged {
            return salvaged.next(into);
        }
        while !self.over {
            let Some((id, size)) = chunk(&mut self.film)? else {
                break;
            };
            match &id {
                // Lists of chunks within the film, and the film's continuation beyond its first gigabytes: go on inside.
                b"LIST" | b"RIFF" => skip(&mut self.film, 4, 0)?,
                [a, b, b'd', b'c' | b'b'] if [*a, *b] == self.stream => {
                    if size as usize > MAX_FRAME {
                        skip(&mut self.film, size, size)?;
                        return Err(ReelError::Broken(format!(
                            "it has {size} bytes; at most {MAX_FRAME} are read"
                        )));
                    }
                    if size == 0 {
                        return Ok(Shot::Blank);
                    }
                    let got = super::read_up_to(&mut self.film, size as usize, into)?;
                    skip(&mut self.film, 0, size)?;
                    if got < size as usize {
                        self.over = true;
                        return Err(ReelError::Broken(
                            "the film ends in the middle of it".into(),
                        ));
                    }
                    if !into.starts_with(&START) {
                        return Err(ReelError::Broken("it is no JPEG picture".into()));
                    }
                    return Ok(Shot::Picture(RawFormat::Jpeg));
                }
                id if id
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || *b == b' ' || *b == b'_') =>
                {
                    skip(&mut self.film, size, size)?;
                }
                id => {
                    let head = [id.as_slice(), &size.to_le_bytes()].concat();
                    self.salvage(&head)?;
                    return Err(ReelError::Broken(
                        "the film is damaged here; what can be found behind is replayed".into(),
                    ));
                }
            }
        }
        Ok(Shot::End)
    }

    fn rate(&self) -> Option<f64> {
        self.rate
    }
}
