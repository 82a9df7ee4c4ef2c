use super::*;
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};

fn jpeg(photo: &RgbImage) -> Vec<u8> {
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, 95)
        .encode_image(photo)
        .unwrap();
    bytes
}

#[test]
fn jpeg_and_png_are_read() {
    let photo = RgbImage::from_pixel(20, 10, image::Rgb([200, 100, 50]));
    let mut png = vec![];
    photo.write_with_encoder(PngEncoder::new(&mut png)).unwrap();
    assert_eq!(decode(&png).unwrap(), photo);
    assert_eq!(decode(&jpeg(&photo)).unwrap().dimensions(), (20, 10));
}

#[test]
fn bad_files_say_what_is_wrong() {
    assert!(matches!(decode(&[]), Err(PrepareError::Empty)));
    assert!(matches!(
        decode(b"not a picture at all"),
        Err(PrepareError::UnknownFormat(FileKind::Unknown))
    ));
    let whole = jpeg(&RgbImage::from_fn(200, 200, |x, y| {
        image::Rgb([(x * y) as u8, x as u8, y as u8])
    }));
    assert!(matches!(
        decode(&whole[..whole.len() / 2]),
        Err(PrepareError::CutOff(_))
    ));
}

#[test]
fn a_truncated_file_is_rejected() {
    let photo = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * y) as u8, x as u8, y as u8]));
    let mut png = vec![];
    photo.write_with_encoder(PngEncoder::new(&mut png)).unwrap();
    // The last two bytes of a JPEG file are only its end marker, the last twelve of a PNG file its end chunk.
    for (whole, needed) in [
        (jpeg(&photo), jpeg(&photo).len() - 2),
        (png.clone(), png.len() - 12),
    ] {
        assert!(decode(&whole).is_ok());
        for end in 0..needed {
            assert!(
                decode(&whole[..end]).is_err(),
                "cut at {end} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn the_end_of_a_preview_is_not_the_end_of_the_photo() {
    let photo = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * y) as u8, x as u8, y as u8]));
    let (preview, mut whole) = (jpeg(&RgbImage::new(8, 8)), jpeg(&photo));
    let length = (preview.len() as u16 + 2).to_be_bytes();
    let segment = [&[0xff, 0xed], &length[..], &preview].concat();
    whole.splice(2..2, segment);
    assert_eq!(decode(&whole).unwrap().dimensions(), (40, 30));
    let bytes_after_the_end = [&whole[..], b"more"].concat();
    assert!(decode(&bytes_after_the_end).is_ok());
    whole.truncate(whole.len() - 100);
    assert!(matches!(decode(&whole), Err(PrepareError::CutOff(_))));
}

#[test]
fn a_huge_header_is_rejected_before_memory_is_allocated() {
    let mut bytes = jpeg(&RgbImage::new(8, 8));
    let frame = bytes.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    let side = 20_000u16.to_be_bytes();
    bytes[frame + 5..frame + 7].copy_from_slice(&side);
    bytes[frame + 7..frame + 9].copy_from_slice(&side);
    assert!(matches!(
        decode(&bytes),
        Err(PrepareError::TooLarge {
            width: 20_000,
            height: 20_000
        })
    ));
}

/// The bytes of a photo in each format without loss.
fn lossless(photo: &DynamicImage) -> [Vec<u8>; 3] {
    [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP].map(|format| {
        let mut bytes = Cursor::new(vec![]);
        photo.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    })
}

fn noise(x: u32, y: u32) -> u8 {
    ((x * 7919 + y * 104_729).wrapping_mul(2_654_435_761) >> 11) as u8
}

#[test]
fn png_tiff_and_webp_are_read_alike() {
    let photo = RgbImage::from_fn(31, 17, |x, y| image::Rgb([noise(x, y), x as u8, y as u8]));
    for bytes in lossless(&photo.clone().into()) {
        assert_eq!(decode(&bytes).unwrap(), photo);
        let whole = Header {
            width: 31,
            height: 17,
            reduced_by: 1,
        };
        assert_eq!(check(&bytes).unwrap(), whole);
    }
}

#[test]
fn a_photo_of_any_format_that_is_cut_off_is_rejected() {
    let photo = RgbImage::from_fn(61, 47, |x, y| {
        image::Rgb([noise(x, y), noise(y, x), noise(x + y, x)])
    });
    for bytes in lossless(&photo.into()) {
        for eighths in 1..8 {
            let cut = &bytes[..bytes.len() * eighths / 8];
            assert!(decode(cut).is_err() && check(cut).is_err(), "{eighths}/8");
        }
    }
}

#[test]
fn a_png_damaged_inside_is_rejected() {
    let photo = RgbImage::from_fn(61, 47, |x, y| {
        image::Rgb([noise(x, y), noise(y, x), noise(x + y, x)])
    });
    let [png, ..] = lossless(&photo.into());
    let end = png.len() - 12;
    let ended = [&png[..end / 2], &png[end..]].concat();
    assert!(decode(&ended).is_err(), "half of it, then its end");
    let mut zeros = png.clone();
    zeros[end / 2..end / 2 + 100].fill(0);
    assert!(decode(&zeros).is_err(), "overwritten");
    // Only the checksum reveals it.
    let mut bit = png.clone();
    bit[end / 2] ^= 1;
    assert!(decode(&bit).is_err(), "one bit");
}

#[test]
fn a_jpeg_damaged_inside_is_rejected_although_it_ends() {
    let photo = RgbImage::from_fn(200, 160, |x, y| image::Rgb([noise(x, y), x as u8, y as u8]));
    let whole = jpeg(&photo);
    let end = whole.len() - 2;
    let half = [&whole[..end / 2], &whole[end..]].concat();
    assert!(matches!(decode(&half), Err(PrepareError::Damaged(_))));
    assert!(matches!(check(&half), Err(PrepareError::Damaged(_))));
    let mut zeros = whole.clone();
    zeros[end / 2..end / 2 + 200].fill(0);
    assert!(matches!(decode(&zeros), Err(PrepareError::Damaged(_))));
    // All blocks are there: only the marker is missing.
    assert_eq!(decode(&whole[..end]).unwrap(), decode(&whole).unwrap());
}

#[test]
fn other_kinds_of_files_are_named() {
    let error = decode(b"\0\0\0\x18ftypheic\0\0\0\0").unwrap_err();
    assert!(matches!(error, PrepareError::UnknownFormat(FileKind::Heic)));
    assert_eq!(
        error.to_string(),
        "not a JPEG, PNG, TIFF or WebP picture, but a HEIC photo; export it as JPEG"
    );
}

#[test]
fn hidden_colours_do_not_count() {
    let photo = |hidden: [u8; 3], alpha: u8| {
        let inside = |x: u32, y: u32| (8..24).contains(&x) && (4..12).contains(&y);
        let image = image::RgbaImage::from_fn(32, 16, |x, y| {
            let [r, g, b] = hidden;
            image::Rgba(if inside(x, y) {
                [40, 50, x as u8, 255]
            } else {
                [r, g, b, alpha]
            })
        });
        DynamicImage::from(image)
    };
    let seen = |image: &DynamicImage| lossless(image).map(|bytes| decode(&bytes).unwrap());
    let [white, ..] = seen(&photo([255; 3], 255));
    for hidden in [[0; 3], [255; 3], [9, 200, 77]] {
        for found in seen(&photo(hidden, 0)) {
            assert_eq!(found, white, "{hidden:?}");
        }
    }
    // What is opaque stays as it is, what is half transparent shines through.
    let opaque = photo([9, 200, 77], 255);
    for found in seen(&opaque) {
        assert_eq!(found, opaque.to_rgb8());
    }
    let [half, ..] = seen(&photo([0; 3], 127));
    assert_eq!(half.get_pixel(0, 0).0, [128; 3]);
}

#[test]
fn grey_with_alpha_and_16_bits_are_composed_too() {
    let grey = image::GrayAlphaImage::from_pixel(9, 9, image::LumaA([0, 0]));
    let deep = image::ImageBuffer::from_pixel(9, 9, image::Rgba([3u16, 2, 1, 0]));
    for image in [DynamicImage::from(grey), DynamicImage::ImageRgba16(deep)] {
        let mut png = Cursor::new(vec![]);
        image.write_to(&mut png, ImageFormat::Png).unwrap();
        let found = decode(&png.into_inner()).unwrap();
        assert!(found.as_raw().iter().all(|v| *v == 255));
    }
}

#[test]
fn the_transparent_colour_of_a_png_counts_as_transparent() {
    let photo = RgbImage::from_fn(9, 9, |x, _| image::Rgb([if x < 4 { 7 } else { 90 }; 3]));
    let [png, ..] = lossless(&photo.into());
    // A tRNS chunk with the colour (7, 7, 7) behind the header, which is 8 + 25 bytes.
    let chunk = [&b"tRNS"[..], &[0, 7, 0, 7, 0, 7]].concat();
    let crc = crc32fast::hash(&chunk).to_be_bytes();
    let with = [&png[..33], &[0, 0, 0, 6], &chunk, &crc, &png[33..]].concat();
    let found = decode(&with).unwrap();
    assert_eq!(
        (found.get_pixel(0, 0).0, found.get_pixel(5, 0).0),
        ([255; 3], [90; 3])
    );
}

/// The header of a JPEG of `width` x `height` with the data of a small one.
fn large(width: u16, height: u16, progressive: bool) -> Vec<u8> {
    let mut file = jpeg(&RgbImage::new(8, 8));
    let frame = file.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    if progressive {
        file[frame + 1] = 0xc2;
    }
    file
}

/// A photo that is made pixel by pixel, for files larger than memory should hold.
struct Drawn {
    width: u32,
    height: u32,
}

impl image::GenericImageView for Drawn {
    type Pixel = image::Rgb<u8>;

    fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn get_pixel(&self, _: u32, _: u32) -> image::Rgb<u8> {
        image::Rgb([120, 90, 60])
    }
}

fn sized(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, 90)
        .encode_image(&Drawn { width, height })
        .unwrap();
    bytes
}

#[test]
fn a_photo_of_100_megapixels_or_more_is_read_at_half_its_size() {
    let photo = sized(12_000, 9_200);
    let header = Header {
        width: 12_000,
        height: 9_200,
        reduced_by: 2,
    };
    assert_eq!(check(&photo).unwrap(), header);
    let found = decode_photo(&photo).unwrap();
    assert_eq!(found.picture.dimensions(), (6_000, 4_600));
    let colour = found.picture.get_pixel(3_000, 2_000).0;
    assert!(
        colour
            .iter()
            .zip([120, 90, 60])
            .all(|(a, b)| a.abs_diff(b) < 4),
        "{colour:?}"
    );
    let region = PixelBox {
        x0: 11,
        y0: 20,
        x1: 31,
        y1: 40,
    };
    assert_eq!(found.region(region), region.reduced(2));
    let open = &photo[..photo.len() - 2];
    assert_eq!(decode_photo(open).unwrap(), found, "without an end marker");
    assert!(decode_photo(&photo[..photo.len() / 2]).is_err());
}

#[test]
fn more_pixels_than_any_camera_has_are_too_many() {
    assert!(matches!(
        check(&large(16_384, 16_384, false)),
        Err(PrepareError::TooLarge { .. })
    ));
    // 4:4:4, six bytes a pixel.
    assert_eq!(coefficients(&large(16_000, 16_000, false)), 0);
    assert_eq!(coefficients(&large(16_000, 16_000, true)), 6 * 256_000_000);
    let error = decode_at_half_size(&large(16_000, 16_000, true), 16_000, 16_000).unwrap_err();
    assert!(matches!(error, PrepareError::Progressive { .. }));
}
