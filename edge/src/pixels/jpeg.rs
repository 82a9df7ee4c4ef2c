//! JPEG as cameras and videos send it: concatenated, without Huffman tables, without an end marker, truncated.

use flukewatch_common::jpeg::{
    self as common, END_OF_IMAGE, HUFFMAN_TABLES, JpegDamage, Marker, START_OF_IMAGE, markers,
};
use flukewatch_common::prepare::{MAX_FULL_SIZE_PIXELS, MAX_SIDE};
use image::RgbImage;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

pub use flukewatch_common::jpeg::START;
/// An empty AVI1 segment: decoders that see it use the standard's Huffman tables where there are none.
const STANDARD_TABLES: [u8; 11] = *b"\xff\xe0\x00\x09AVI1\x00\x00\x00";
/// What follows an image without an end marker in a saved HTTP stream: the next part's boundary.
const BOUNDARIES: [&[u8]; 2] = [b"\r\n--", b"--"];

/// A JPEG that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The bytes do not start with a JPEG marker.
    #[error("not a JPEG image: it does not start with FF D8")]
    NotJpeg,
    /// Its end is missing.
    #[error("truncated JPEG image")]
    Truncated,
    /// Its end is missing, and another one starts.
    #[error("truncated JPEG image: another image starts at byte {at}")]
    Interrupted {
        /// The offset of the other image.
        at: usize,
    },
    /// Too many pixels.
    #[error(
        "invalid image size {width} x {height}; expected at most {MAX_SIDE} pixels a side and {MAX_FULL_SIZE_PIXELS} pixels"
    )]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The decoder failed, for the given reason.
    #[error("damaged JPEG image: {0}")]
    Damaged(String),
    /// Its data are incomplete or were overwritten, which a decoder does not report.
    #[error("damaged JPEG image: {0}")]
    Data(#[from] JpegDamage),
}

/// The extent of a JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// The offset after it.
    pub end: usize,
    /// Whether it has Huffman tables.
    pub tables: bool,
    /// Whether it has an end marker.
    pub marked: bool,
}

/// Follows the markers of the JPEG at the start of `bytes`. The end marker of a preview within a segment
/// is skipped. Only an image without an end marker, as cheap cameras send it, is followed block by block:
/// it is whole if all blocks are there.
///
/// # Errors
/// [`JpegError::NotJpeg`] where it is not a JPEG, [`JpegError::Truncated`] where `bytes` end before the
/// image does, [`JpegError::Interrupted`] where another image starts before.
pub fn outline(bytes: &[u8]) -> Result<Outline, JpegError> {
    outline_in_stream(bytes, true)
}

/// The same for a stream of which `bytes` are the unread part. Until it has `ended`, an image is
/// truncated as long as neither its end marker nor the next image is there: its blocks are not followed
/// again with each part that arrives.
///
/// # Errors
/// Those of [`outline`].
pub fn outline_in_stream(bytes: &[u8], ended: bool) -> Result<Outline, JpegError> {
    if !bytes.starts_with(&START) {
        return Err(if START.starts_with(bytes) {
            JpegError::Truncated
        } else {
            JpegError::NotJpeg
        });
    }
    let mut tables = false;
    for Marker { code, start } in markers(bytes) {
        match code {
            END_OF_IMAGE => {
                return Ok(Outline {
                    end: start + 2,
                    tables,
                    marked: true,
                });
            }
            // Another image starts: this one has no end marker.
            START_OF_IMAGE => {
                let image = bytes.get(..start).unwrap_or_default();
                return unmarked(image, tables).ok_or(JpegError::Interrupted { at: start });
            }
            HUFFMAN_TABLES => tables = true,
            _ => {}
        }
    }
    ended
        .then(|| unmarked(bytes, tables))
        .flatten()
        .ok_or(JpegError::Truncated)
}

/// The outline of an image without an end marker, if all of its blocks are in `bytes`.
fn unmarked(bytes: &[u8], tables: bool) -> Option<Outline> {
    // Zeros behind a cut are codes of many blocks: all but the last, which may be data, are padding.
    let data = bytes.iter().rposition(|b| *b != 0)?;
    let bytes = bytes.get(..bytes.len().min(data + 3))?;
    let end = match common::check(bytes) {
        Ok(end) => end,
        Err(JpegDamage::Remaining { at, bytes: left }) => {
            let end = at.checked_sub(left)?;
            let behind = bytes.get(end..)?;
            BOUNDARIES.iter().find(|b| behind.starts_with(b))?;
            end
        }
        Err(_) => return None,
    };
    Some(Outline {
        end,
        tables,
        marked: false,
    })
}

/// Checks that the data of the JPEG at the start of `bytes` are whole: a decoder fills what is missing with
/// grey, and takes what was overwritten for pixels. Takes about a third of the time of decoding.
///
/// # Errors
/// The first damage.
pub fn check(bytes: &[u8]) -> Result<(), JpegError> {
    common::check(bytes)?;
    Ok(())
}

/// Decodes the JPEG at the start of `bytes` to RGB in the memory of `reused`; with `grey` only its
/// luma. `scratch` is working memory.
///
/// # Errors
/// When the image is truncated, damaged or too large.
pub fn decode(
    bytes: &[u8],
    grey: bool,
    reused: Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<RgbImage, JpegError> {
    let channels = if grey { 1 } else { 3 };
    let mut out = reused;
    // Luma is decoded to the end of the memory and expanded from its start, never overwriting
    // what is still to be read.
    let (width, height) = decode_channels(bytes, channels, 3, &mut out, scratch)?;
    if grey {
        let pixels = out.len() / 3;
        for i in 0..pixels {
            let luma = out[2 * pixels + i];
            out[i * 3..i * 3 + 3].fill(luma);
        }
    }
    let (wide, high) = (width as usize, height as usize);
    let size = JpegError::Size {
        width: wide,
        height: high,
    };
    RgbImage::from_raw(width, height, out).ok_or(size)
}

/// Decodes the luma of the JPEG at the start of `bytes` to `out`, one byte per pixel; returns the
/// size. `scratch` is working memory.
///
/// # Errors
/// When the image is truncated, damaged or too large.
pub fn decode_grey(
    bytes: &[u8],
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<(u32, u32), JpegError> {
    decode_channels(bytes, 1, 1, out, scratch)
}

/// Decodes 1 or 3 channels to the end of `out`, which gets `room` bytes per pixel.
fn decode_channels(
    bytes: &[u8],
    channels: usize,
    room: usize,
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<(u32, u32), JpegError> {
    let Outline {
        end,
        tables,
        marked,
    } = outline(bytes)?;
    let whole = bytes.get(..end).unwrap_or_default();
    let whole = if tables && marked {
        whole
    } else {
        scratch.clear();
        scratch.extend_from_slice(&START);
        if !tables {
            scratch.extend_from_slice(&STANDARD_TABLES);
        }
        scratch.extend_from_slice(whole.get(START.len()..).unwrap_or_default());
        if !marked {
            scratch.extend_from_slice(&[0xff, END_OF_IMAGE]);
        }
        scratch
    };
    let colour = if channels == 1 {
        ColorSpace::Luma
    } else {
        ColorSpace::RGB
    };
    let options = DecoderOptions::default()
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_out_colorspace(colour);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(whole), options);
    let broken = |e: &dyn std::fmt::Debug| JpegError::Damaged(format!("{e:?}"));
    decoder.decode_headers().map_err(|e| broken(&e))?;
    let (width, height) = decoder.dimensions().ok_or(JpegError::Truncated)?;
    let pixels = width * height;
    if pixels == 0 || pixels as u64 > MAX_FULL_SIZE_PIXELS {
        return Err(JpegError::Size { width, height });
    }
    out.resize(pixels * room, 0);
    let from = pixels * (room - channels);
    let place = out.get_mut(from..).unwrap_or_default();
    decoder.decode_into(place).map_err(|e| broken(&e))?;
    Ok((width as u32, height as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::jpeg::START_OF_SCAN;
    use image::codecs::jpeg::JpegEncoder;
    use proptest::prelude::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 24, |x, y| {
            image::Rgb([(x * 6) as u8, (y * 10) as u8, ((x + y) * 3) as u8])
        })
    }

    fn jpeg() -> Vec<u8> {
        let mut file = vec![];
        JpegEncoder::new_with_quality(&mut file, 95)
            .encode_image(&picture())
            .unwrap();
        file
    }

    /// The same without its Huffman tables, as many cameras send it.
    fn without_tables() -> Vec<u8> {
        let file = jpeg();
        let mut short = file[..2].to_vec();
        let mut at = 2;
        while file[at + 1] != START_OF_SCAN {
            let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
            if file[at + 1] != HUFFMAN_TABLES {
                short.extend_from_slice(&file[at..at + 2 + length]);
            }
            at += 2 + length;
        }
        short.extend_from_slice(&file[at..]);
        assert!(short.len() < file.len());
        short
    }

    fn of(bytes: &[u8], grey: bool) -> Result<RgbImage, JpegError> {
        decode(bytes, grey, vec![], &mut vec![])
    }

    /// The largest difference between two channel values.
    fn apart(a: &RgbImage, b: &RgbImage) -> u8 {
        assert_eq!(a.dimensions(), b.dimensions());
        a.as_raw()
            .iter()
            .zip(b.as_raw())
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap()
    }

    #[test]
    fn an_image_is_decoded_in_colour_and_in_grey() {
        let colour = of(&jpeg(), false).unwrap();
        assert!(apart(&colour, &picture()) < 20);
        let grey = of(&jpeg(), true).unwrap();
        let luma = RgbImage::from_fn(40, 24, |x, y| {
            let [r, g, b] = colour.get_pixel(x, y).0.map(u32::from);
            image::Rgb([((299 * r + 587 * g + 114 * b + 500) / 1000) as u8; 3])
        });
        assert!(apart(&grey, &luma) <= 3, "{}", apart(&grey, &luma));
    }

    #[test]
    fn missing_tables_are_replaced_by_the_standard_ones() {
        for grey in [false, true] {
            assert_eq!(
                of(&without_tables(), grey).unwrap(),
                of(&jpeg(), grey).unwrap()
            );
        }
    }

    #[test]
    fn bytes_after_the_end_marker_are_ignored() {
        let padded = [jpeg(), vec![0; 500]].concat();
        assert_eq!(outline(&padded).unwrap().end, jpeg().len());
        assert_eq!(of(&padded, false).unwrap(), of(&jpeg(), false).unwrap());
    }

    #[test]
    fn an_image_cut_before_its_end_marker_is_rejected() {
        for file in [jpeg(), without_tables()] {
            for end in 0..file.len() - 2 {
                assert_eq!(
                    of(&file[..end], false),
                    Err(JpegError::Truncated),
                    "cut at {end}"
                );
            }
            // Zeros can pass for the codes of the last blocks.
            let padded = |end: &usize| of(&[&file[..*end], &[0; 64]].concat(), true).is_ok();
            let accepted = (0..file.len() - 2).find(padded);
            assert!(
                accepted.is_none_or(|end| end + 16 >= file.len()),
                "padded from {accepted:?} of {}",
                file.len()
            );
        }
    }

    #[test]
    fn an_image_without_an_end_marker_is_decoded() {
        for file in [jpeg(), without_tables()] {
            let unmarked = file.len() - 2;
            for behind in [
                &[][..],
                &[0xff],
                &[0; 300],
                b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n",
                &file,
            ] {
                let sent = [&file[..unmarked], behind].concat();
                let outline = outline(&sent).unwrap();
                assert!(!outline.marked && outline.end >= unmarked, "{behind:?}");
                for grey in [false, true] {
                    assert_eq!(of(&sent, grey).unwrap(), of(&file, grey).unwrap());
                }
            }
        }
    }

    #[test]
    fn an_image_without_an_end_marker_ends_with_the_stream_or_at_the_next_image() {
        let file = jpeg();
        let open = &file[..file.len() - 2];
        assert_eq!(outline_in_stream(open, false), Err(JpegError::Truncated));
        assert_eq!(outline_in_stream(open, true), outline(open));
        let followed = [open, &file].concat();
        let outline = outline_in_stream(&followed, false).unwrap();
        assert_eq!((outline.end, outline.marked), (open.len(), false));
    }

    #[test]
    fn damage_inside_is_found() {
        let file = jpeg();
        assert_eq!(check(&file), Ok(()));
        assert_eq!(check(&without_tables()), Ok(()));
        let half = file.len() - (file.len() - data(&file)) / 2;
        let halved = [&file[..half], &[0xff, END_OF_IMAGE]].concat();
        let mut overwritten = file.clone();
        overwritten[half..half + 30].fill(0);
        for damaged in [halved, overwritten] {
            assert!(of(&damaged, true).is_ok(), "a decoder reports nothing");
            assert!(matches!(check(&damaged), Err(JpegError::Data(_))));
        }
    }

    /// Where the image data start.
    fn data(file: &[u8]) -> usize {
        let scan = file.windows(2).rposition(|w| w == [0xff, START_OF_SCAN]);
        scan.unwrap() + 14
    }

    #[test]
    fn an_image_interrupted_by_the_next_one_is_rejected() {
        let file = jpeg();
        let at = file.len() - 20;
        assert!(at > data(&file), "within the image data");
        let both = [&file[..at], &file].concat();
        assert_eq!(outline(&both), Err(JpegError::Interrupted { at }));
    }

    #[test]
    fn garbage_is_rejected() {
        assert_eq!(of(b"hello", false), Err(JpegError::NotJpeg));
        assert!(matches!(
            of(b"\xff\xd8\xff\xd9", true),
            Err(JpegError::Damaged(_))
        ));
        let mut huge = jpeg();
        let frame = huge.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        huge[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert!(of(&huge, false).is_err());
    }

    #[test]
    fn luma_alone_matches_grey_pixels() {
        let (mut light, mut scratch) = (vec![9; 7], vec![]);
        for file in [jpeg(), without_tables()] {
            let size = decode_grey(&file, &mut light, &mut scratch).unwrap();
            let spread: Vec<u8> = light.iter().flat_map(|l| [*l; 3]).collect();
            let grey = of(&file, true).unwrap();
            assert_eq!((size, &spread), (grey.dimensions(), grey.as_raw()));
        }
    }

    proptest! {
        #[test]
        fn damaged_images_are_decoded_or_rejected(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
            tables in any::<bool>(), grey in any::<bool>(),
        ) {
            let mut file = if tables { jpeg() } else { without_tables() };
            for (at, value) in damage {
                let at = at.index(file.len());
                file[at] = value;
            }
            let _ = of(&file, grey);
        }

        #[test]
        fn any_bytes_are_decoded_or_rejected(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = of(&[&START[..], &tail].concat(), true);
        }
    }
}
