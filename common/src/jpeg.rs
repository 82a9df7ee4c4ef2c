//! The markers of a JPEG file.

mod integrity;

pub use integrity::{JpegDamage, check};

/// The bytes that every JPEG file starts with.
pub const START: [u8; 2] = [0xff, START_OF_IMAGE];
/// The code of the marker that starts an image (SOI).
pub const START_OF_IMAGE: u8 = 0xd8;
/// The code of the marker that ends an image (EOI).
pub const END_OF_IMAGE: u8 = 0xd9;
/// The code of the marker of a segment of Huffman tables (DHT).
pub const HUFFMAN_TABLES: u8 = 0xc4;
/// The code of the marker that starts a scan (SOS); entropy-coded data follow its segment.
pub const START_OF_SCAN: u8 = 0xda;

/// A marker and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The second byte, which says what kind of marker it is.
    pub code: u8,
    /// The offset of the first byte.
    pub start: usize,
}

/// The markers after the first [`START`] of `jpeg`, until the image or the bytes end; none if it
/// does not start with one. Segments are skipped, including a preview in one, and so are
/// entropy-coded data with their restart markers.
pub fn markers(jpeg: &[u8]) -> impl Iterator<Item = Marker> {
    let mut next = jpeg.starts_with(&START).then_some(START.len());
    std::iter::from_fn(move || {
        let Marker { code, start } = next_marker(jpeg, next.take()?)?;
        let end = start + 2;
        next = match code {
            END_OF_IMAGE => None,
            START_OF_IMAGE => Some(end),
            // Every other marker starts a segment, which starts with its length.
            _ => jpeg
                .get(end..end + 2)
                .map(|length| end + usize::from(u16::from_be_bytes([length[0], length[1]]))),
        };
        Some(Marker { code, start })
    })
}

/// Whether `jpeg` runs from its first marker to its end-of-image marker; decoders fill what is
/// missing with grey and report nothing.
pub fn is_complete(jpeg: &[u8]) -> bool {
    markers(jpeg).any(|marker| marker.code == END_OF_IMAGE)
}

/// The first marker at or after `from`.
fn next_marker(jpeg: &[u8], from: usize) -> Option<Marker> {
    let rest = jpeg.get(from..)?;
    memchr::memchr_iter(0xff, rest).find_map(|offset| {
        let code = *rest.get(offset + 1)?;
        is_marker(code).then_some(Marker {
            code,
            start: from + offset,
        })
    })
}

/// Whether the byte after 0xff makes a marker: not a stuffed zero, a fill byte, or a restart marker
/// within entropy-coded data.
fn is_marker(byte: u8) -> bool {
    !matches!(byte, 0x00 | 0x01 | 0xd0..=0xd7 | 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::jpeg::JpegEncoder;

    fn jpeg() -> Vec<u8> {
        let image = image::RgbImage::from_fn(40, 24, |x, y| image::Rgb([x as u8, y as u8, 9]));
        let mut file = vec![];
        JpegEncoder::new(&mut file).encode_image(&image).unwrap();
        file
    }

    #[test]
    fn a_file_is_complete_only_with_its_last_byte() {
        let file = jpeg();
        assert!(is_complete(&file));
        assert!((0..file.len()).all(|end| !is_complete(&file[..end])));
        assert!(!is_complete(b"not a JPEG\xff\xd9"));
    }

    #[test]
    fn a_preview_in_a_segment_is_skipped() {
        let (file, preview) = (jpeg(), jpeg());
        let mut with = START.to_vec();
        with.extend([0xff, 0xe1]);
        with.extend((preview.len() as u16 + 2).to_be_bytes());
        with.extend(&preview);
        assert!(!is_complete(&with));
        with.extend(&file[2..]);
        let codes = |bytes: &[u8]| markers(bytes).map(|m| m.code).collect::<Vec<_>>();
        assert_eq!(codes(&with)[0], 0xe1);
        assert_eq!(codes(&with)[1..], codes(&file)[..]);
    }

    #[test]
    fn a_second_start_is_reported() {
        let file = jpeg();
        let both = [&file[..file.len() - 20], &file[..]].concat();
        let second = markers(&both).find(|m| m.code == START_OF_IMAGE).unwrap();
        assert_eq!(second.start, file.len() - 20);
    }
}
