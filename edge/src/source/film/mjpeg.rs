//! JPEGs one after the other, as cameras write them to a file or a pipe.

use super::{MAX_FRAME, Reel, ReelError, Shot};
use crate::frame::RawFormat;
use crate::pixels::jpeg::{self, JpegError, START};
use std::io::Read;

/// How much is read at a time, in bytes; as much again as there is, where a frame is larger.
const CHUNK: usize = 256 << 10;

/// A film of JPEGs. What stands between them is passed over.
pub struct Mjpeg<R> {
    film: R,
    window: Vec<u8>,
    /// Where in the window nothing has been looked at yet.
    at: usize,
    ended: bool,
}

impl<R: Read + Send> Mjpeg<R> {
    /// Reads `film` from here on.
    pub fn new(film: R) -> Self {
        Self {
            film,
            window: vec![],
            at: 0,
            ended: false,
        }
    }

    fn rest(&self) -> &[u8] {
        self.window.get(self.at..).unwrap_or_default()
    }

    fn more(&mut self) -> Result<(), ReelError> {
        self.window.drain(..self.at.min(self.window.len()));
        self.at = 0;
        let length = CHUNK.max(self.window.len());
        if super::read_up_to(&mut self.film, length, &mut self.window)? == 0 {
            self.ended = true;
        }
        Ok(())
    }

    /// Goes to the start of the next picture; `false` where there is none.
    fn seek(&mut self) -> Result<bool, ReelError> {
        loop {
            let found = self.rest().windows(START.len()).position(|w| w == START);
            if let Some(found) = found {
                self.at += found;
                return Ok(true);
            }
            if self.ended {
                return Ok(false);
            }
            // The last byte may be the first half of a start.
            self.at = self.window.len().saturating_sub(1).max(self.at);
            self.more()?;
        }
    }
}

impl<R: Read + Send> Reel for Mjpeg<R> {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Shot, ReelError> {
        if !self.seek()? {
            return Ok(Shot::End);
        }
        loop {
            match jpeg::outline(self.rest()) {
                Ok(outline) => {
                    into.extend_from_slice(self.rest().get(..outline.end).unwrap_or_default());
                    self.at += outline.end;
                    return Ok(Shot::Picture(RawFormat::Jpeg));
                }
                Err(e @ JpegError::Interrupted { at }) => {
                    self.at += at;
                    return Err(ReelError::Broken(e.to_string()));
                }
                Err(_) if self.ended => {
                    self.at = self.window.len();
                    return Err(ReelError::Broken(
                        "the film ends in the middle of it".into(),
                    ));
                }
                Err(_) if self.rest().len() > MAX_FRAME => {
                    self.at = self.window.len();
                    return Err(ReelError::Broken(format!(
                        "no end of it within {MAX_FRAME} bytes"
                    )));
                }
                Err(_) => self.more()?,
            }
        }
    }

    fn rate(&self) -> Option<f64> {
        None
    }
}
