use super::*;
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder};

fn preparation(colour: Colour, fit: Fit) -> Preparation {
    let n = if colour == Colour::Grey { 1 } else { 3 };
    Preparation {
        height: 32,
        width: 64,
        colour,
        fit,
        padding: 0.0,
        mean: vec![127.0; n],
        std: vec![128.0; n],
    }
}

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
        Err(PrepareError::UnknownFormat)
    ));
    let whole = jpeg(&RgbImage::from_fn(200, 200, |x, y| {
        image::Rgb([(x * y) as u8, x as u8, y as u8])
    }));
    assert!(matches!(
        decode(&whole[..whole.len() / 2]),
        Err(PrepareError::Undecodable(_))
    ));
}

#[test]
fn a_truncated_file_is_rejected() {
    let photo = RgbImage::from_fn(40, 30, |x, y| image::Rgb([(x * y) as u8, x as u8, y as u8]));
    let mut png = vec![];
    photo.write_with_encoder(PngEncoder::new(&mut png)).unwrap();
    // The last twelve bytes of a PNG file are only its end chunk.
    for (whole, needed) in [
        (jpeg(&photo), jpeg(&photo).len()),
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
    assert_eq!(
        decode(&whole).unwrap_err().to_string(),
        "the picture cannot be decoded: the JPEG file is cut off"
    );
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

#[test]
fn pixels_outside_the_box_are_ignored() {
    let mut photo = RgbImage::from_pixel(100, 100, image::Rgb([255, 0, 0]));
    for y in 20..40 {
        for x in 30..70 {
            photo.put_pixel(x, y, image::Rgb([10, 20, 30]));
        }
    }
    let region = PixelBox {
        x0: 30,
        y0: 20,
        x1: 70,
        y1: 40,
    };
    let rgb = preparation(Colour::Rgb, Fit::Stretch)
        .pixels(&photo, region)
        .unwrap();
    assert_eq!(rgb.dim(), (32, 64, 3));
    assert!(
        rgb.outer_iter()
            .flatten()
            .zip([10, 20, 30].iter().cycle())
            .all(|(a, b)| a == b)
    );
    let grey = preparation(Colour::Grey, Fit::Stretch)
        .pixels(&photo, region)
        .unwrap();
    assert!(grey.iter().all(|&v| v == 18));
}

#[test]
fn a_letterbox_keeps_the_aspect() {
    let photo = RgbImage::from_fn(40, 40, |_, y| image::Rgb([if y < 20 { 0 } else { 200 }; 3]));
    let p = preparation(Colour::Grey, Fit::Letterbox)
        .pixels(&photo, PixelBox::whole(40, 40))
        .unwrap();
    assert_eq!(
        (p[(0, 0, 0)], p[(31, 63, 0)]),
        (100, 100),
        "filled with the mean"
    );
    assert_eq!((p[(2, 32, 0)], p[(29, 32, 0)]), (0, 200));
}

#[test]
fn a_small_picture_is_averaged_not_sampled() {
    let photo = RgbImage::from_fn(640, 320, |x, _| {
        image::Rgb([if x % 2 == 0 { 0 } else { 255 }; 3])
    });
    let p = preparation(Colour::Grey, Fit::Stretch)
        .pixels(&photo, PixelBox::whole(640, 320))
        .unwrap();
    assert!(p.iter().all(|&v| (120..=135).contains(&v)));
}

#[test]
fn the_mirror_swaps_left_and_right() {
    let photo = RgbImage::from_fn(64, 32, |x, _| image::Rgb([x as u8; 3]));
    let p = preparation(Colour::Grey, Fit::Stretch);
    let pixels = p.pixels(&photo, PixelBox::whole(64, 32)).unwrap();
    let (plain, mirrored) = (p.normalise(&pixels, false), p.normalise(&pixels, true));
    assert_eq!(plain.dim(), (1, 32, 64));
    assert_eq!(plain[(0, 5, 3)], mirrored[(0, 5, 60)]);
    assert!((plain[(0, 5, 3)] - (3.0 - 127.0) / 128.0).abs() < 1e-6);
}

#[test]
fn a_box_outside_the_picture_is_rejected() {
    let p = preparation(Colour::Grey, Fit::Stretch);
    let region = PixelBox {
        x0: 70,
        y0: 0,
        x1: 90,
        y1: 9,
    };
    let error = p.pixels(&RgbImage::new(64, 32), region).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the box (70, 0)-(90, 9) lies outside the picture of 64 x 32 pixels"
    );
}

#[test]
fn padding_stops_at_the_edge() {
    let mut p = preparation(Colour::Grey, Fit::Stretch);
    p.padding = 0.1;
    let widened = p
        .widened(
            PixelBox {
                x0: 2,
                y0: 10,
                x1: 62,
                y1: 30,
            },
            64,
            32,
        )
        .unwrap();
    assert_eq!(
        widened,
        PixelBox {
            x0: 0,
            y0: 8,
            x1: 64,
            y1: 32
        }
    );
}
