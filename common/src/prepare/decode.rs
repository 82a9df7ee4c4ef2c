//! From the bytes of a photo to its pixels.

use super::PrepareError;
use crate::file_kind::FileKind;
use crate::jpeg::{self, markers};
use crate::photo_limits::{MAX_FULL_SIZE_PIXELS, MAX_PIXELS, MAX_SIDE};
use crate::pixel_box::PixelBox;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::{Cursor, Read};

/// The most bytes that the coefficients of a progressive JPEG above [`MAX_FULL_SIZE_PIXELS`] may take.
const MAX_COEFFICIENTS: u64 = 1 << 30;
/// The most bytes that a decoder may take beside the pixels that it returns.
const MAX_WORKING_MEMORY: u64 = 1 << 30;
/// What is behind a transparent photo: white, as picture viewers, printers and programs that save a JPEG have it, so
/// that a fluke cut out as a PNG and the same flattened to a JPEG have the same score.
const GROUND: u32 = 255;

/// A decoded photo.
#[derive(Clone, Debug, PartialEq)]
pub struct Photo {
    /// Its pixels, upright.
    pub picture: RgbImage,
    /// How many pixels of the file, along each side, one of `picture` stands for: 1 or 2.
    pub reduced_by: u32,
}

/// What a photo's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The width of the photo in the file, turned upright.
    pub width: u32,
    /// The height of the photo in the file, turned upright.
    pub height: u32,
    /// [`Photo::reduced_by`] once it is decoded.
    pub reduced_by: u32,
}

/// Reads the header of a photo.
///
/// # Errors
/// If it is not a photo within the limits.
pub fn header(bytes: &[u8]) -> Result<Header, PrepareError> {
    Ok(Encoded::open(bytes)?.header())
}

/// Checks a photo as [`decode`] does, and faster where it can: the data of a JPEG are followed without computing pixels.
///
/// # Errors
/// As [`decode`].
pub fn check(bytes: &[u8]) -> Result<Header, PrepareError> {
    let encoded = Encoded::open(bytes)?;
    let header = encoded.header();
    if encoded.kind == FileKind::Jpeg && is_common(bytes) {
        check_jpeg(bytes)?;
    } else {
        encoded.decode()?;
    }
    Ok(header)
}

/// Decodes a JPEG, PNG, TIFF or WebP file to 8-bit RGB, turned upright as its EXIF orientation says, over white where it
/// is transparent. A photo above [`MAX_FULL_SIZE_PIXELS`] is reduced: where there are boxes, use [`decode_photo`].
///
/// # Errors
/// For anything but a complete photo within [`MAX_SIDE`] and [`MAX_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<RgbImage, PrepareError> {
    Ok(decode_photo(bytes)?.picture)
}

/// As [`decode`], with the factor for boxes: [`PixelBox::reduced`].
///
/// # Errors
/// As [`decode`].
pub fn decode_photo(bytes: &[u8]) -> Result<Photo, PrepareError> {
    Encoded::open(bytes)?.decode()
}

/// A photo whose header was read.
struct Encoded<'a> {
    bytes: &'a [u8],
    kind: FileKind,
    decoder: Box<dyn ImageDecoder + 'a>,
    /// As stored.
    width: u32,
    height: u32,
    orientation: Orientation,
}

impl<'a> Encoded<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, PrepareError> {
        if bytes.is_empty() {
            return Err(PrepareError::Empty);
        }
        let kind = FileKind::of(bytes);
        let format = match kind {
            FileKind::Jpeg => ImageFormat::Jpeg,
            FileKind::Png => ImageFormat::Png,
            FileKind::Tiff => ImageFormat::Tiff,
            FileKind::WebP => ImageFormat::WebP,
            kind => return Err(PrepareError::UnknownFormat(kind)),
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(MAX_WORKING_MEMORY);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(undecodable)?;
        let (width, height) = decoder.dimensions();
        let most = match kind {
            FileKind::Jpeg => MAX_PIXELS,
            _ => MAX_FULL_SIZE_PIXELS,
        };
        if width > MAX_SIDE || height > MAX_SIDE || u64::from(width) * u64::from(height) > most {
            return Err(PrepareError::TooLarge { width, height });
        }
        if width == 0 || height == 0 {
            return Err(PrepareError::Undecodable("it has no pixels".into()));
        }
        let orientation = decoder.orientation().map_err(undecodable)?;
        Ok(Self {
            bytes,
            kind,
            decoder: Box::new(decoder),
            width,
            height,
            orientation,
        })
    }

    fn reduced_by(&self) -> u32 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        if pixels > MAX_FULL_SIZE_PIXELS { 2 } else { 1 }
    }

    fn header(&self) -> Header {
        let turned = matches!(
            self.orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        let (width, height) = if turned {
            (self.height, self.width)
        } else {
            (self.width, self.height)
        };
        Header {
            width,
            height,
            reduced_by: self.reduced_by(),
        }
    }

    fn decode(self) -> Result<Photo, PrepareError> {
        if self.kind == FileKind::Jpeg {
            check_jpeg(self.bytes)?;
        }
        let reduced_by = self.reduced_by();
        let mut picture = if reduced_by == 1 {
            DynamicImage::from_decoder(self.decoder).map_err(undecodable)?
        } else {
            // Its tables, before the other decoder allocates.
            drop(self.decoder);
            decode_at_half_size(self.bytes, self.width, self.height)?
        };
        if picture.color().has_alpha() {
            picture = over_ground(picture);
        }
        picture.apply_orientation(self.orientation);
        Ok(Photo {
            picture: picture.into_rgb8(),
            reduced_by,
        })
    }
}

fn undecodable(error: image::ImageError) -> PrepareError {
    PrepareError::Undecodable(error.to_string())
}

/// A decoder fills what is missing or damaged in a JPEG with grey and reports nothing.
fn check_jpeg(bytes: &[u8]) -> Result<(), PrepareError> {
    match jpeg::check(bytes) {
        Ok(_) => Ok(()),
        Err(damage) if jpeg::is_complete(bytes) => Err(PrepareError::Damaged(damage)),
        Err(damage) => Err(PrepareError::CutOff(damage)),
    }
}

/// The segment of the frame header, and whether the JPEG is progressive; `None` for rare forms.
fn frame(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let frame = markers(bytes).find(|m| is_frame(m.code))?;
    let segment = bytes.get(frame.start + 4..)?;
    matches!(frame.code, 0xc0 | 0xc2).then_some((segment, frame.code == 0xc2))
}

fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf)
}

/// Whether a JPEG with sound data is certain to be decoded: 8 bits, baseline or progressive, grey or colour.
fn is_common(bytes: &[u8]) -> bool {
    frame(bytes).is_some_and(|(s, _)| s.first() == Some(&8) && matches!(s.get(5), Some(1 | 3)))
}

/// Decodes a JPEG at half its width and height, by half of each block's frequencies. Beside the picture this takes as
/// much memory again, and for a progressive JPEG [`MAX_COEFFICIENTS`].
fn decode_at_half_size(
    bytes: &[u8],
    width: u32,
    height: u32,
) -> Result<DynamicImage, PrepareError> {
    let broken = |e: &dyn std::fmt::Display| PrepareError::Undecodable(e.to_string());
    if coefficients(bytes) > MAX_COEFFICIENTS {
        return Err(PrepareError::Progressive {
            width,
            height,
            limit: MAX_COEFFICIENTS,
        });
    }
    // The decoder needs the end marker, without which cheap cameras send a whole image.
    let end = [0xff, jpeg::END_OF_IMAGE];
    let mut decoder = jpeg_decoder::Decoder::new(bytes.chain(&end[..]));
    let half = |side: u32| side.div_ceil(2).min(u32::from(u16::MAX)) as u16;
    let (w, h) = decoder
        .scale(half(width), half(height))
        .map_err(|e| broken(&e))?;
    let (w, h) = (u32::from(w), u32::from(h));
    let pixels = decoder.decode().map_err(|e| broken(&e))?;
    let format = decoder.info().map(|info| info.pixel_format);
    let picture = match format {
        Some(jpeg_decoder::PixelFormat::RGB24) => {
            RgbImage::from_raw(w, h, pixels).map(DynamicImage::ImageRgb8)
        }
        Some(jpeg_decoder::PixelFormat::L8) => {
            GrayImage::from_raw(w, h, pixels).map(DynamicImage::ImageLuma8)
        }
        _ => None,
    };
    picture.ok_or_else(|| {
        PrepareError::Undecodable(
            "a JPEG of this size must be grey or RGB with 8 bits; save it as such".into(),
        )
    })
}

/// The bytes that the coefficients of a progressive JPEG take at once; 0 for others.
fn coefficients(bytes: &[u8]) -> u64 {
    let Some((&[_, h0, h1, w0, w1, count, ref components @ ..], true)) = frame(bytes) else {
        return 0;
    };
    let sampling = || {
        let components = components.as_chunks::<3>().0.iter();
        components
            .take(count.into())
            .map(|c| (u64::from(c[1] >> 4), u64::from(c[1] & 15)))
    };
    let across = sampling()
        .map(|(across, _)| across)
        .max()
        .unwrap_or(1)
        .max(1);
    let down = sampling().map(|(_, down)| down).max().unwrap_or(1).max(1);
    let units = u64::from(u16::from_be_bytes([w0, w1])).div_ceil(8 * across)
        * u64::from(u16::from_be_bytes([h0, h1])).div_ceil(8 * down);
    sampling().map(|(a, d)| units * a * d * 64 * 2).sum()
}

/// Whatever colours are hidden below transparent pixels, they do not count.
fn over_ground(picture: DynamicImage) -> DynamicImage {
    let picture = picture.into_rgba8();
    let (width, height) = picture.dimensions();
    let over = |colour: u8, alpha: u32| {
        ((u32::from(colour) * alpha + GROUND * (255 - alpha) + 127) / 255) as u8
    };
    let mut pixels = picture.into_raw();
    let mut to = 0;
    for from in (0..pixels.len() / 4 * 4).step_by(4) {
        let alpha = u32::from(pixels[from + 3]);
        for channel in 0..3 {
            pixels[to + channel] = over(pixels[from + channel], alpha);
        }
        to += 3;
    }
    pixels.truncate(to);
    RgbImage::from_raw(width, height, pixels)
        .expect("three bytes remain of each pixel's four")
        .into()
}

impl Photo {
    /// `region`, in pixels of the file, in pixels of the picture.
    pub fn region(&self, region: PixelBox) -> PixelBox {
        region.reduced(self.reduced_by)
    }
}

#[cfg(test)]
mod tests;
