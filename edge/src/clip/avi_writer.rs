//! Writes MJPEG in AVI, which every player opens.
//!
//! OpenDML is not needed: a clip is far smaller than 2 GB.

use std::io::{self, Seek, SeekFrom, Write};

/// Where the header ends and the frames begin.
const HEADER: usize = 224;
/// The largest file, in bytes: players read sizes as signed numbers.
const MAX_BYTES: u32 = 1 << 30;
/// The frame has no reference to others.
const KEY_FRAME: u32 = 0x10;

/// An AVI file being written. It can be read without its index, e.g. after a power cut.
pub(super) struct AviWriter<W> {
    file: W,
    width: u32,
    height: u32,
    /// Offset from `movi` and size of each frame.
    index: Vec<(u32, u32)>,
    /// Bytes after `movi`, and those of the largest frame.
    written: u32,
    largest: u32,
}

impl<W: Write + Seek> AviWriter<W> {
    /// Begins a file of frames of `width` x `height` pixels.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn new(mut file: W, width: u32, height: u32) -> io::Result<Self> {
        file.write_all(&[0; HEADER])?;
        let mut writer = Self {
            file,
            width,
            height,
            index: vec![],
            written: 4,
            largest: 0,
        };
        // Complete but for the numbers, so that a file that is cut off can be read.
        writer.write_header(30.0)?;
        Ok(writer)
    }

    /// Appends a JPEG image. Returns whether there was room.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn frame(&mut self, jpeg: &[u8]) -> io::Result<bool> {
        let size = u32::try_from(jpeg.len()).unwrap_or(u32::MAX);
        let padded = size.saturating_add(size % 2).saturating_add(8);
        if self.written.saturating_add(padded) > MAX_BYTES {
            return Ok(false);
        }
        self.file.write_all(b"00dc")?;
        self.file.write_all(&size.to_le_bytes())?;
        self.file.write_all(jpeg)?;
        if size % 2 == 1 {
            self.file.write_all(&[0])?;
        }
        self.index.push((self.written, size));
        self.written += padded;
        self.largest = self.largest.max(size);
        Ok(true)
    }

    /// Writes index and header; the frames are played at `rate` a second.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(super) fn finish(mut self, rate: f64) -> io::Result<W> {
        let mut index = Vec::with_capacity(8 + 16 * self.index.len());
        index.extend_from_slice(b"idx1");
        index.extend_from_slice(&(16 * self.index.len() as u32).to_le_bytes());
        for (offset, size) in &self.index {
            index.extend_from_slice(b"00dc");
            for number in [KEY_FRAME, *offset, *size] {
                index.extend_from_slice(&number.to_le_bytes());
            }
        }
        self.file.write_all(&index)?;
        self.write_header(rate)?;
        self.file.flush()?;
        Ok(self.file)
    }

    /// Writes the header, and returns to the end.
    fn write_header(&mut self, rate: f64) -> io::Result<()> {
        let frames = self.index.len() as u32;
        let index = if frames == 0 { 0 } else { 8 + 16 * frames };
        let riff = HEADER as u32 - 12 + self.written + index;
        let micros = (1e6 / rate.max(0.001)).round() as u32;
        let pixels = self.width.saturating_mul(self.height).saturating_mul(3);
        // Names, and the numbers that follow each.
        let parts: [(&[u8], &[u32]); 9] = [
            (b"RIFF", &[riff]),
            (b"AVI LIST", &[192]),
            // µs a frame, bytes a second, padding, flags (it has an index), frames, initial frames,
            // streams, buffer, width, height, reserved.
            (
                b"hdrlavih",
                &[
                    56,
                    micros,
                    0,
                    0,
                    KEY_FRAME,
                    frames,
                    0,
                    1,
                    self.largest,
                    self.width,
                    self.height,
                    0,
                    0,
                    0,
                    0,
                ],
            ),
            (b"LIST", &[116]),
            (b"strlstrh", &[56]),
            // Flags, priority, initial frames, scale, rate, start, length, buffer, quality, sample size,
            // rectangle.
            (
                b"vidsMJPG",
                &[
                    0,
                    0,
                    0,
                    micros,
                    1_000_000,
                    0,
                    frames,
                    self.largest,
                    u32::MAX,
                    0,
                    0,
                    self.width | self.height << 16,
                ],
            ),
            // Planes, and bits a pixel.
            (b"strf", &[40, 40, self.width, self.height, 1 | 24 << 16]),
            (b"MJPG", &[pixels, 0, 0, 0, 0]),
            (b"LIST", &[self.written]),
        ];
        let mut header = Vec::with_capacity(HEADER);
        for (name, numbers) in parts {
            header.extend_from_slice(name);
            header.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        header.extend_from_slice(b"movi");
        debug_assert_eq!(header.len(), HEADER);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header)?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::Sample;
    use std::io::Cursor;

    #[test]
    fn sizes_follow_from_the_header() {
        let frames: [&[u8]; 3] = [
            b"\xff\xd8first\xff\xd9",
            b"\xff\xd82\xff\xd9",
            b"\xff\xd8third one\xff\xd9",
        ];
        let mut writer = AviWriter::new(Cursor::new(vec![]), 640, 360).unwrap();
        for frame in frames {
            assert!(writer.frame(frame).unwrap());
        }
        let file = writer.finish(12.5).unwrap().into_inner();
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!(number(4) as usize, file.len() - 8, "RIFF");
        assert_eq!(&file[HEADER - 4..HEADER], b"movi");
        let movi = number(HEADER - 8) as usize;
        assert_eq!(&file[HEADER - 4 + movi..][..4], b"idx1");
        // The index points to the frames.
        let index = HEADER - 4 + movi + 8;
        for (i, frame) in frames.iter().enumerate() {
            let offset = number(index + 16 * i + 8) as usize + HEADER - 4;
            assert_eq!(number(offset + 4) as usize, frame.len());
            assert_eq!(&file[offset + 8..][..frame.len()], *frame);
        }
        // Also without the index, and with a header that was never completed.
        let cut = file[..HEADER - 4 + movi].to_vec();
        for file in [file, cut] {
            let mut video = crate::video::open(Cursor::new(file)).unwrap().unwrap();
            let rate = video.rate().unwrap();
            assert!((rate - 12.5).abs() < 1e-3, "{rate}");
            let mut read = vec![];
            loop {
                let mut jpeg = vec![];
                match video.next(&mut jpeg).unwrap() {
                    Sample::Image(_) => read.push(jpeg),
                    Sample::Empty => {}
                    Sample::End => break,
                }
            }
            assert_eq!(read, frames);
        }
    }
}
