//! Boxes that were drawn on the picture as stored, without the rotation of its EXIF data.

use crate::{DatasetError, LabelledPhoto};
use flukewatch_common::pixel_box::PixelBox;
use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader};
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

/// A photo of a table, with what its line says about its box.
pub(crate) struct DrawnPhoto {
    pub(crate) line: u64,
    pub(crate) photo: LabelledPhoto,
    /// Size of the picture that the box was drawn on.
    pub(crate) size: Option<(u32, u32)>,
}

/// Size and rotation of a picture as stored.
struct Stored {
    size: (u32, u32),
    orientation: Orientation,
}

/// Turns each box with its photo if it was drawn on the picture as stored; the size of that
/// picture in the table decides. Where it cannot (a rotation by half a turn, a square picture), the
/// table's other rotated photos decide. Returns the number of rotated photos about which
/// nothing is known; their boxes are taken as drawn on the upright picture.
///
/// # Errors
/// If the size is neither that of the picture as stored nor upright.
pub(crate) fn turn(table: &Path, rows: &mut [DrawnPhoto]) -> Result<usize, DatasetError> {
    let mut unclear = vec![];
    let (mut as_stored, mut upright) = (0, 0);
    for (at, row) in rows.iter_mut().enumerate() {
        let Some(region) = row.photo.region else {
            continue;
        };
        // A file that cannot be read is reported by the command that needs it.
        let Some(stored) = Stored::read(&row.photo.path) else {
            continue;
        };
        let fault = |reason: String| DatasetError::Line {
            path: table.to_owned(),
            line: row.line,
            reason,
        };
        let name = &row.photo.name;
        match row.size {
            Some(size) if size != stored.size && size != stored.upright() => {
                return Err(fault(format!(
                    "the box was drawn on a picture of {} pixels (columns width and height), but photo {name} has {}; draw it on this photo, or correct the columns",
                    sides(size),
                    stored.sides()
                )));
            }
            Some(_) if stored.orientation == Orientation::NoTransforms => {}
            Some(_) if stored.size == stored.upright() => unclear.push((at, stored)),
            Some(size) if size == stored.size => {
                as_stored += 1;
                row.photo.region = Some(stored.turned(region));
            }
            Some(_) => upright += 1,
            None if stored.orientation == Orientation::NoTransforms => {}
            None if !fits(region, stored.upright()) && fits(region, stored.size) => {
                return Err(fault(format!(
                    "the box lies outside photo {name}, which has {}; if it was drawn without the rotation, say so with columns width and height",
                    stored.sides()
                )));
            }
            None => unclear.push((at, stored)),
        }
    }
    if as_stored > 0 && upright == 0 {
        for (at, stored) in unclear {
            let region = &mut rows[at].photo.region;
            *region = region.map(|r| stored.turned(r));
        }
        return Ok(0);
    }
    let known = upright > 0 && as_stored == 0;
    Ok(if known { 0 } else { unclear.len() })
}

fn sides((width, height): (u32, u32)) -> String {
    format!("{width} x {height}")
}

fn fits(region: PixelBox, (width, height): (u32, u32)) -> bool {
    region.x1 <= width && region.y1 <= height
}

impl Stored {
    /// Most files have their header in the first part.
    const HEADER: u64 = 1 << 17;

    /// `None` if the file cannot be read.
    fn read(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let mut start = vec![];
        let header = file.by_ref().take(Self::HEADER).read_to_end(&mut start);
        header.ok()?;
        Self::parse(&start).or_else(|| {
            file.seek(SeekFrom::Start(0)).ok()?;
            start.clear();
            file.read_to_end(&mut start).ok()?;
            Self::parse(&start)
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let reader = ImageReader::new(Cursor::new(bytes));
        let mut decoder = reader.with_guessed_format().ok()?.into_decoder().ok()?;
        Some(Self {
            size: decoder.dimensions(),
            orientation: decoder.orientation().ok()?,
        })
    }

    /// The size of the picture upright.
    fn upright(&self) -> (u32, u32) {
        let (width, height) = self.size;
        match self.orientation {
            Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH => (height, width),
            _ => (width, height),
        }
    }

    fn sides(&self) -> String {
        if self.size == self.upright() {
            format!("{} pixels", sides(self.size))
        } else {
            format!(
                "{} pixels as stored and {} upright",
                sides(self.size),
                sides(self.upright())
            )
        }
    }

    /// A box of the picture as stored, in the upright one.
    fn turned(&self, region: PixelBox) -> PixelBox {
        let (width, height) = self.size;
        let PixelBox { x0, y0, x1, y1 } = region;
        // Distances from the right and bottom edge.
        let (left, right) = (width.saturating_sub(x1), width.saturating_sub(x0));
        let (top, bottom) = (height.saturating_sub(y1), height.saturating_sub(y0));
        let [x0, y0, x1, y1] = match self.orientation {
            Orientation::NoTransforms => [x0, y0, x1, y1],
            Orientation::Rotate90 => [top, x0, bottom, x1],
            Orientation::Rotate180 => [left, top, right, bottom],
            Orientation::Rotate270 => [y0, left, y1, right],
            Orientation::FlipHorizontal => [left, y0, right, y1],
            Orientation::FlipVertical => [x0, top, x1, bottom],
            Orientation::Rotate90FlipH => [y0, x0, y1, x1],
            Orientation::Rotate270FlipH => [top, left, bottom, right],
        };
        PixelBox { x0, y0, x1, y1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, Rgb, RgbImage};

    #[test]
    fn a_box_turns_with_its_picture() {
        let region = PixelBox {
            x0: 2,
            y0: 1,
            x1: 5,
            y1: 3,
        };
        for number in 1..=8 {
            let orientation = Orientation::from_exif(number).unwrap();
            let inside = |x, y| (2..5).contains(&x) && (1..3).contains(&y);
            let picture = RgbImage::from_fn(9, 6, |x, y| Rgb([u8::from(inside(x, y)); 3]));
            let mut turned = DynamicImage::from(picture);
            turned.apply_orientation(orientation);
            let turned = turned.into_rgb8();
            let stored = Stored {
                size: (9, 6),
                orientation,
            };
            assert_eq!(stored.upright(), turned.dimensions());
            let marked = turned.enumerate_pixels().filter(|(_, _, p)| p.0[0] == 1);
            let found = marked.fold(None, |b, (x, y, _)| Some(PixelBox::with_pixel(b, x, y)));
            assert_eq!(Some(stored.turned(region)), found, "{orientation:?}");
        }
    }
}
