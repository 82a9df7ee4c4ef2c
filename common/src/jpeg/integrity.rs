//! Whether a JPEG's entropy-coded data are whole.
//!
//! A decoder fills what is missing with grey and reports nothing, and a file whose inside was overwritten still ends
//! with its end marker. Both are found by following the Huffman codes (ITU T.81, annexes F and G) without computing
//! pixels: a sound scan has exactly the blocks that the header promises, only padding after the last one, and no value
//! that no image has.

mod bits;
mod huffman;
mod scan;
mod standard;

use super::{END_OF_IMAGE, HUFFMAN_TABLES, START, START_OF_IMAGE, START_OF_SCAN, next_marker};
use crate::photo_limits::MAX_PIXELS;
use huffman::Table;
use scan::{Component, Scan, ScanComponent, Tables};

/// What is wrong with a JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegDamage {
    /// The file does not start as a JPEG does.
    #[error("not a JPEG image: it does not start with FF D8")]
    NotJpeg,
    /// The file ends, or another image starts, before all scans are there.
    #[error("the image is truncated")]
    Truncated,
    /// The data of a scan end before its last block.
    #[error("image data are missing from byte {at} on: {missing} of {blocks} blocks")]
    Missing {
        /// Where they end.
        at: usize,
        /// Blocks that are missing.
        missing: u64,
        /// Blocks of the scan.
        blocks: u64,
    },
    /// Data behind the last block of a scan or of a restart interval.
    #[error("the image data are damaged before byte {at}: {bytes} bytes belong to no block")]
    Remaining {
        /// Where they end.
        at: usize,
        /// How many.
        bytes: usize,
    },
    /// Bits that are not a code of the file's Huffman table, or that stand for an impossible block.
    #[error("the image data are damaged before byte {at}: invalid Huffman code")]
    Code {
        /// Behind the code.
        at: usize,
    },
    /// A restart marker is missing or out of order.
    #[error("the image data are damaged at byte {at}: restart marker expected")]
    Restart {
        /// Where it was expected.
        at: usize,
    },
    /// A header segment contradicts itself or another one.
    #[error("the image header is damaged: invalid {0}")]
    Header(&'static str),
}

/// Follows the data of the JPEG at the start of `jpeg` to the end of the image; returns the offset
/// of that end. An image whose data are all there may lack its end marker, as cheap cameras send it.
/// Lossless and arithmetic coding, which nothing here decodes, are not checked.
///
/// Takes about a third of the time of decoding.
///
/// # Errors
/// The first damage found.
pub fn check(jpeg: &[u8]) -> Result<usize, JpegDamage> {
    if !jpeg.starts_with(&START) {
        return Err(JpegDamage::NotJpeg);
    }
    let mut image = Image::default();
    let mut at = START.len();
    while let Some(marker) = next_marker(jpeg, at) {
        let end = marker.start + 2;
        match marker.code {
            END_OF_IMAGE => return image.ended().map(|()| end),
            START_OF_IMAGE => return image.ended().map(|()| marker.start),
            _ => {}
        }
        let length = jpeg
            .get(end..end + 2)
            .map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        let segment = jpeg.get(end + 2..end + length);
        let segment = segment.ok_or(JpegDamage::Truncated)?;
        at = end + length;
        match marker.code {
            0xc0..=0xc2 => image.read_frame(marker.code == 0xc2, segment)?,
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => return Ok(jpeg.len()),
            HUFFMAN_TABLES => image.read_tables(segment)?,
            0xdb => image.read_quantisation(segment)?,
            0xdd => image.read_restart_interval(segment)?,
            START_OF_SCAN => {
                // Without a height, which then follows the first scan (DNL), blocks cannot be counted.
                if image.height == Some(0) {
                    return Ok(jpeg.len());
                }
                at = image.read_scan(segment, jpeg, at)?;
            }
            _ => {}
        }
    }
    image.ended().map(|()| jpeg.len())
}

/// What the headers say, and what scans have brought.
#[derive(Default)]
struct Image {
    height: Option<usize>,
    width: usize,
    progressive: bool,
    components: Vec<Component>,
    dc: Tables,
    ac: Tables,
    /// Quantisation steps, in the order of the data.
    steps: [Option<[u16; 64]>; 4],
    /// MCUs between restart markers; 0 without.
    restart_interval: usize,
}

impl Image {
    fn ended(&self) -> Result<(), JpegDamage> {
        if !self.components.is_empty() && self.components.iter().all(Component::is_whole) {
            Ok(())
        } else {
            Err(JpegDamage::Truncated)
        }
    }

    /// SOF0, SOF1 or SOF2.
    fn read_frame(&mut self, progressive: bool, segment: &[u8]) -> Result<(), JpegDamage> {
        const INVALID: JpegDamage = JpegDamage::Header("frame header");
        let [8, h0, h1, w0, w1, count, components @ ..] = segment else {
            return Err(INVALID);
        };
        if self.height.is_some() || components.len() != usize::from(*count) * 3 || *count > 4 {
            return Err(INVALID);
        }
        self.height = Some(usize::from(u16::from_be_bytes([*h0, *h1])));
        self.width = usize::from(u16::from_be_bytes([*w0, *w1]));
        self.progressive = progressive;
        for component in components.chunks_exact(3) {
            let (across, down) = (component[1] >> 4, component[1] & 15);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return Err(INVALID);
            }
            let (id, steps) = (component[0], usize::from(component[2] & 3));
            self.components
                .push(Component::new(id, across.into(), down.into(), steps));
        }
        let pixels = self.width as u64 * u64::from(u16::from_be_bytes([*h0, *h1]));
        if self.width == 0 || self.components.is_empty() || pixels > MAX_PIXELS {
            return Err(INVALID);
        }
        Ok(())
    }

    /// DHT.
    fn read_tables(&mut self, mut segment: &[u8]) -> Result<(), JpegDamage> {
        while let [class_and_slot, rest @ ..] = segment {
            let (table, behind) = Table::read(rest)?;
            let slot = usize::from(class_and_slot & 15);
            let tables = match class_and_slot >> 4 {
                0 => &mut self.dc,
                1 => &mut self.ac,
                _ => return Err(JpegDamage::Header("Huffman table")),
            };
            *tables
                .get_mut(slot)
                .ok_or(JpegDamage::Header("Huffman table"))? = Some(Box::new(table));
            segment = behind;
        }
        Ok(())
    }

    /// DQT.
    fn read_quantisation(&mut self, mut segment: &[u8]) -> Result<(), JpegDamage> {
        const INVALID: JpegDamage = JpegDamage::Header("quantisation table");
        while let [wide_and_slot, rest @ ..] = segment {
            let width = if wide_and_slot >> 4 == 0 { 1 } else { 2 };
            let (values, behind) = rest.split_at_checked(64 * width).ok_or(INVALID)?;
            let slot = self.steps.get_mut(usize::from(wide_and_slot & 15));
            let steps = slot.ok_or(INVALID)?.insert([0; 64]);
            for (step, bytes) in steps.iter_mut().zip(values.chunks_exact(width)) {
                *step = bytes.iter().fold(0, |v, b| v << 8 | u16::from(*b));
            }
            segment = behind;
        }
        Ok(())
    }

    /// DRI.
    fn read_restart_interval(&mut self, segment: &[u8]) -> Result<(), JpegDamage> {
        let [a, b] = segment else {
            return Err(JpegDamage::Header("restart interval"));
        };
        self.restart_interval = usize::from(u16::from_be_bytes([*a, *b]));
        Ok(())
    }

    /// SOS and the data behind it; returns where they end.
    fn read_scan(&mut self, segment: &[u8], jpeg: &[u8], data: usize) -> Result<usize, JpegDamage> {
        const INVALID: JpegDamage = JpegDamage::Header("scan header");
        let (count, rest) = segment.split_first().ok_or(INVALID)?;
        let count = usize::from(*count);
        let (chosen, spectrum) = rest.split_at_checked(count * 2).ok_or(INVALID)?;
        let &[first, last, approximation] = spectrum else {
            return Err(INVALID);
        };
        let (first, last) = if self.progressive {
            (usize::from(first), usize::from(last))
        } else {
            (0, 63)
        };
        let valid = first <= last && last < 64 && (first > 0 || last == 0 || !self.progressive);
        let alone = count == 1 || first == 0;
        if count == 0 || !valid || !alone {
            return Err(INVALID);
        }
        let mut components = vec![];
        for pair in chosen.chunks_exact(2) {
            let number = self
                .components
                .iter()
                .position(|c| c.id == pair[0])
                .ok_or(INVALID)?;
            components.push(ScanComponent {
                number,
                dc: (pair[1] >> 4).into(),
                ac: (pair[1] & 15).into(),
            });
        }
        // Motion JPEG leaves out the tables of annex K.
        for (slots, ac) in [(&mut self.dc, false), (&mut self.ac, true)] {
            for slot in 0..2 {
                if let Some(empty) = slots.get_mut(slot).filter(|s| s.is_none()) {
                    *empty = standard::table(ac, slot).map(Box::new);
                }
            }
        }
        let scan = Scan {
            components: &components,
            first,
            last,
            refines: self.progressive && approximation >> 4 != 0,
            shift: if self.progressive {
                approximation & 15
            } else {
                0
            },
            progressive: self.progressive,
            restart_interval: self.restart_interval,
            width: self.width,
            height: self.height.ok_or(INVALID)?,
        };
        let tables = (&self.dc, &self.ac, &self.steps);
        scan.follow(&mut self.components, tables, jpeg, data)
    }
}

#[cfg(test)]
mod tests;
