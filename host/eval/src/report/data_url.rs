//! Small pictures inside HTML pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::LabelledPhoto;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

const LONGEST_SIDE: u32 = 240;
const QUALITY: u8 = 75;

/// A small copy of the photo's fluke as a `data:` URL; `None` if the photo cannot be read.
pub(crate) fn fluke(photo: &LabelledPhoto) -> Option<String> {
    let (picture, region) = photo.decode_with_region().ok()?;
    let (width, height) = picture.dimensions();
    let region = region
        .unwrap_or(PixelBox::whole(width, height))
        .within(width, height)?;
    let crop = imageops::crop_imm(
        &picture,
        region.x0,
        region.y0,
        region.width(),
        region.height(),
    )
    .to_image();
    let factor = f64::from(LONGEST_SIDE) / f64::from(crop.width().max(crop.height()));
    let side = |pixels: u32| ((f64::from(pixels) * factor.min(1.0)).round() as u32).max(1);
    let (width, height) = (side(crop.width()), side(crop.height()));
    let copy = imageops::resize(&crop, width, height, FilterType::Triangle);
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(&copy)
        .ok()?;
    Some(format!(
        "data:image/jpeg;base64,{}",
        STANDARD.encode(&bytes)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::pixel_box::PixelBox;

    #[test]
    fn a_fluke_is_cropped_and_scaled_down() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        image::RgbImage::new(900, 400).save(&path).unwrap();
        let mut photo = LabelledPhoto {
            path,
            name: "a.png".into(),
            whale: None,
            region: Some(PixelBox {
                x0: 100,
                y0: 100,
                x1: 700,
                y1: 400,
            }),
            date: None,
            encounter: None,
        };
        let url = fluke(&photo).unwrap();
        let data = url.strip_prefix("data:image/jpeg;base64,").unwrap();
        let small = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (240, 120));
        photo.path = "not-there.png".into();
        assert_eq!(fluke(&photo), None);
    }
}
