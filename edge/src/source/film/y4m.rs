//! YUV4MPEG2: a line that says what all frames are, then each frame's bytes behind a line `FRAME`.

use super::{MAX_FRAME, Reel, ReelError, Shot};
use crate::frame::RawFormat;
use crate::pixels::{Layout, Range, Shape};
use flukewatch_common::prepare::{MAX_PIXELS, MAX_SIDE};
use std::io::{BufRead, Read};

/// What every Y4M file starts with.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2";
/// The longest line, in bytes.
const LONGEST_LINE: u64 = 4096;

/// A Y4M film.
pub struct Y4m<R> {
    film: R,
    head: Option<Head>,
    /// The line that was read last; its memory serves all.
    line: Vec<u8>,
    over: bool,
}

/// What a first line says of the frames behind it.
struct Head {
    format: RawFormat,
    size: usize,
    rate: Option<f64>,
}

impl Head {
    fn of(line: &[u8]) -> Result<Self, ReelError> {
        let no_film = |why: String| ReelError::NoFilm(why);
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        if words.next() != Some("YUV4MPEG2") {
            return Err(no_film("it does not start with YUV4MPEG2".into()));
        }
        let (mut width, mut height, mut rate) = (0, 0, None);
        let (mut layout, mut range) = (Layout::Planar420, Range::Limited);
        for word in words.filter(|w| !w.is_empty()) {
            let (key, value) = word.split_at_checked(1).unwrap_or((word, ""));
            match key {
                "W" => width = value.parse().unwrap_or(0),
                "H" => height = value.parse().unwrap_or(0),
                "F" => rate = fraction(value),
                "C" => {
                    layout = layout_of(value).ok_or_else(|| {
                        no_film(format!(
                            "its pictures are '{value}'; 8-bit 420, 422, 444 and mono are read"
                        ))
                    })?;
                }
                "X" if value == "COLORRANGE=FULL" => range = Range::Full,
                // Interlacing, the shape of pixels, comments.
                _ => {}
            }
        }
        let pixels = u64::from(width) * u64::from(height);
        if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS
        {
            return Err(no_film(format!(
                "its pictures are {width} x {height} pixels"
            )));
        }
        let shape = Shape {
            width,
            height,
            stride: width,
        };
        let size = layout.size(shape);
        if size > MAX_FRAME {
            return Err(no_film(format!(
                "its frames have {size} bytes; at most {MAX_FRAME} are read"
            )));
        }
        Ok(Self {
            format: RawFormat::Plain {
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
    /// Reads the first line of `film`.
    ///
    /// # Errors
    /// When it is none, or announces what is not read.
    pub fn open(film: R) -> Result<Self, ReelError> {
        let mut opened = Self::new(film);
        opened.begin()?;
        Ok(opened)
    }

    /// `film`, of which nothing is read yet.
    pub fn new(film: R) -> Self {
        Self {
            film,
            head: None,
            line: vec![],
            over: false,
        }
    }

    /// Reads the first line: what the frames are.
    ///
    /// # Errors
    /// When it is none, or announces what is not read.
    pub fn begin(&mut self) -> Result<RawFormat, ReelError> {
        if !self.read_line()? {
            return Err(ReelError::NoFilm("its first line does not end".into()));
        }
        let head = Head::of(&self.line)?;
        let format = head.format;
        self.head = Some(head);
        Ok(format)
    }

    /// What it is read from.
    pub fn film(&mut self) -> &mut R {
        &mut self.film
    }

    /// Reads the next line without its end; `false` where there is none, or it is too long.
    fn read_line(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        let mut film = self.film.by_ref().take(LONGEST_LINE);
        film.read_until(b'\n', &mut self.line)?;
        Ok(self.line.pop() == Some(b'\n'))
    }
}

/// `420jpeg`, `420mpeg2` and `420paldv` differ in where colours lie between pixels, by less than one.
fn layout_of(name: &str) -> Option<Layout> {
    Some(match name {
        "420" | "420jpeg" | "420mpeg2" | "420paldv" => Layout::Planar420,
        "422" => Layout::Planar422,
        "444" => Layout::Planar444,
        "mono" => Layout::Grey,
        _ => return None,
    })
}

fn fraction(text: &str) -> Option<f64> {
    let (numerator, denominator) = text.split_once(':')?;
    let (n, d): (u32, u32) = (numerator.parse().ok()?, denominator.parse().ok()?);
    (n > 0 && d > 0).then(|| f64::from(n) / f64::from(d))
}

impl<R: BufRead + Send> Reel for Y4m<R> {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Shot, ReelError> {
        loop {
            if self.over || self.film.fill_buf()?.is_empty() {
                return Ok(Shot::End);
            }
            let whole = self.read_line()?;
            if whole && (self.line == b"FRAME" || self.line.starts_with(b"FRAME ")) {
                break;
            }
            self.over = true;
            if !(whole && self.line.starts_with(MAGIC)) {
                return Err(ReelError::Broken(
                    "where the next frame should start is something else; the rest is not read"
                        .into(),
                ));
            }
            // A pipeline whose pictures change begins anew.
            self.head = Some(Head::of(&self.line)?);
            self.over = false;
        }
        let Some(head) = &self.head else {
            self.over = true;
            return Err(ReelError::NoFilm("it does not start with YUV4MPEG2".into()));
        };
        let got = super::read_up_to(&mut self.film, head.size, into)?;
        if got < head.size {
            self.over = true;
            return Err(ReelError::Broken(
                "the film ends in the middle of it".into(),
            ));
        }
        Ok(Shot::Picture(head.format))
    }

    fn rate(&self) -> Option<f64> {
        self.head.as_ref().and_then(|head| head.rate)
    }
}
