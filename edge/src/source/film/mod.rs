//! Films in place of a camera: MJPEG (JPEGs one after the other), Y4M and AVI with MJPEG.
//!
//! A film that is cut off or damaged gives what is there: the frames before, a word on what is broken, and where that can be found,
//! the frames behind.

mod avi;
mod mjpeg;
mod y4m;

use super::{Buffers, FrameSource, Next, SourceError, Ticker};
use crate::frame::{Frame, FrameName, FramePicture, RawFormat, RawPicture};
use crate::time::{Moment, Timing};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use avi::Avi;
pub use mjpeg::Mjpeg;
pub use y4m::Y4m;

/// A frame larger than this is not read, in bytes.
pub const MAX_FRAME: usize = 64 << 20;
/// Rates that a film may name, in frames a second.
const RATES: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

/// What a film holds next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// A picture.
    Picture(RawFormat),
    /// The time of a frame without a picture.
    Blank,
    /// No more.
    End,
}

/// Why there is no shot.
#[derive(Debug, thiserror::Error)]
pub enum ReelError {
    /// One frame is broken; there may be more behind it.
    #[error("{0}")]
    Broken(String),
    /// The film is none.
    #[error("{0}")]
    NoFilm(String),
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A film, read from its start.
pub trait Reel: Send {
    /// Appends the next picture's bytes to `into`.
    ///
    /// # Errors
    /// [`ReelError::Broken`] for one frame; go on. After any other the film is over.
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Shot, ReelError>;

    /// Frames a second, where the film says so.
    fn rate(&self) -> Option<f64>;
}

/// Which kind of film starts with `head`, if one does.
fn kind(head: &[u8]) -> Option<Kind> {
    if head.starts_with(y4m::MAGIC) {
        Some(Kind::Y4m)
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"AVI ") {
        Some(Kind::Avi)
    } else if head.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(Kind::Mjpeg)
    } else {
        None
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mjpeg,
    Avi,
    Y4m,
}

/// The reel in `film`, whatever its kind; `None` where it is no film.
///
/// # Errors
/// When it cannot be read, or is of a kind of Y4M or AVI that is not.
pub fn reel(mut film: impl BufRead + Send + 'static) -> Result<Option<Box<dyn Reel>>, ReelError> {
    let mut head = vec![];
    film.by_ref().take(12).read_to_end(&mut head)?;
    let kind = kind(&head);
    let film = io::Cursor::new(head).chain(film);
    Ok(match kind {
        Some(Kind::Mjpeg) => Some(Box::new(Mjpeg::new(film))),
        Some(Kind::Avi) => Some(Box::new(Avi::open(film)?)),
        Some(Kind::Y4m) => Some(Box::new(Y4m::open(film)?)),
        None => None,
    })
}

/// Appends `length` bytes of `film` to `into`, or those that there are; says how many.
fn read_up_to(film: &mut impl Read, length: usize, into: &mut Vec<u8>) -> io::Result<usize> {
    // Memory is taken as bytes come, not as a header promises them.
    film.take(length as u64).read_to_end(into)
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Unreadable {
        path: path.to_owned(),
        source,
    }
}

/// Whether the file at `path` starts as a film does. A folder is none.
///
/// # Errors
/// When it cannot be read.
pub fn is_film(path: &Path) -> Result<bool, SourceError> {
    if path.is_dir() {
        return Ok(false);
    }
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let mut head = vec![];
    let read = file.take(12).read_to_end(&mut head);
    read.map_err(|source| unreadable(path, source))?;
    Ok(kind(&head).is_some())
}

/// A film at the pace of a camera, or faster.
pub struct Film {
    path: PathBuf,
    reel: Box<dyn Reel>,
    rate: f64,
    start: Moment,
    ticker: Box<dyn Ticker>,
    buffers: Buffers,
    /// Shots so far.
    number: u64,
    over: bool,
}

impl Film {
    /// The film at `path`. Frame `i`, counted from 0, was taken `i` over the film's rate after `start`; `rate` counts where the film
    /// names none.
    ///
    /// # Errors
    /// When it cannot be read, is no film, or is of a kind that is not read.
    pub fn open(
        path: &Path,
        start: Moment,
        rate: f64,
        ticker: Box<dyn Ticker>,
    ) -> Result<Self, SourceError> {
        let no_film = |reason: String| SourceError::Film {
            path: path.to_owned(),
            reason,
        };
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let reel = reel(BufReader::new(file)).map_err(|e| match e {
            ReelError::Io(source) => unreadable(path, source),
            other => no_film(other.to_string()),
        })?;
        let reel = reel.ok_or_else(|| no_film("it is neither MJPEG, Y4M nor AVI".into()))?;
        Ok(Self {
            rate: reel.rate().filter(|r| RATES.contains(r)).unwrap_or(rate),
            path: path.to_owned(),
            reel,
            start,
            ticker,
            buffers: Buffers::default(),
            number: 0,
            over: false,
        })
    }

    /// Frames a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    fn name(&self) -> String {
        format!("{}, number {}", self.path.display(), self.number)
    }
}

impl FrameSource for Film {
    fn next(&mut self) -> Result<Next, SourceError> {
        if self.over {
            return Ok(Next::Over);
        }
        let mut bytes = self.buffers.empty();
        let shot = self.reel.next(&mut bytes);
        let after = Duration::from_secs_f64(self.number as f64 / self.rate);
        if matches!(shot, Ok(Shot::End)) || !self.ticker.wait(after) {
            self.over = true;
            return Ok(Next::Over);
        }
        self.number += 1;
        match shot {
            Ok(Shot::Picture(format)) => Ok(Next::Frame(Frame {
                camera: 0,
                name: FrameName::Number(self.number),
                taken: self.start.plus(after),
                timing: Timing::Replay,
                picture: FramePicture::Raw(RawPicture {
                    bytes: self.buffers.lend(bytes),
                    format,
                }),
                boxes: None,
            })),
            Ok(Shot::Blank | Shot::End) => {
                self.buffers.give_back(bytes);
                Ok(Next::Quiet)
            }
            Err(ReelError::Broken(reason)) => {
                self.buffers.give_back(bytes);
                Err(SourceError::Broken {
                    frame: self.name(),
                    reason,
                })
            }
            Err(ReelError::NoFilm(reason)) => {
                self.over = true;
                Err(SourceError::Film {
                    path: self.path.clone(),
                    reason,
                })
            }
            Err(ReelError::Io(source)) => {
                self.over = true;
                Err(SourceError::Unreadable {
                    path: self.path.clone(),
                    source,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
