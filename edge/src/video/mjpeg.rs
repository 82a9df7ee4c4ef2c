//! Concatenated JPEGs, as cameras write them to a file or a pipe.

use super::demuxer::{DemuxError, Demuxer, MAX_FRAME, Sample, read_up_to};
use crate::frame::RawFormat;
use crate::pixels::jpeg::{self, JpegError, START};
use std::io::Read;

/// Bytes per read; doubled while a frame does not fit.
const CHUNK: usize = 256 << 10;

/// Concatenated JPEGs. Bytes between them are skipped.
pub(crate) struct Mjpeg<R> {
    reader: R,
    window: Vec<u8>,
    /// The offset of the unread bytes in the window.
    at: usize,
    ended: bool,
}

impl<R: Read + Send> Mjpeg<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            window: vec![],
            at: 0,
            ended: false,
        }
    }

    fn rest(&self) -> &[u8] {
        self.window.get(self.at..).unwrap_or_default()
    }

    fn more(&mut self) -> Result<(), DemuxError> {
        self.window.drain(..self.at.min(self.window.len()));
        self.at = 0;
        let length = CHUNK.max(self.window.len());
        if read_up_to(&mut self.reader, length, &mut self.window)? == 0 {
            self.ended = true;
        }
        Ok(())
    }

    /// Skips to the start of the next image; `false` where there is none.
    fn seek(&mut self) -> Result<bool, DemuxError> {
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

impl<R: Read + Send> Demuxer for Mjpeg<R> {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Sample, DemuxError> {
        if !self.seek()? {
            return Ok(Sample::End);
        }
        loop {
            match jpeg::outline_in_stream(self.rest(), self.ended) {
                Ok(outline) => {
                    into.extend_from_slice(self.rest().get(..outline.end).unwrap_or_default());
                    self.at += outline.end;
                    return Ok(Sample::Image(RawFormat::Jpeg));
                }
                Err(e @ JpegError::Interrupted { at }) => {
                    self.at += at;
                    return Err(DemuxError::InvalidFrame(e.to_string()));
                }
                Err(_) if self.ended => {
                    self.at = self.window.len();
                    return Err(DemuxError::truncated());
                }
                Err(_) if self.rest().len() > MAX_FRAME => {
                    self.at = self.window.len();
                    return Err(DemuxError::InvalidFrame(format!(
                        "no end of the image within {MAX_FRAME} bytes"
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
