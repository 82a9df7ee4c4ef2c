//! Small pictures inside HTML pages.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::LabelledPhoto;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

const LONGEST_SIDE: u32 = 240;
/// Larger: outlines are compared with what is inside.
const LONGEST_SIDE_OF_CROP: u32 = 400;
const QUALITY: u8 = 75;

/// A small copy of the photo's fluke as a `data:` URL; `None` if the photo cannot be read.
pub(crate) fn fluke(photo: &LabelledPhoto) -> Option<String> {
    let (picture, region) = photo.decode_with_region().ok()?;
    let (width, height) = picture.dimensions();
    let region = region
        .unwrap_or(PixelBox::whole(width, height))
        .within(width, height)?;
    url(&picture, region, LONGEST_SIDE)
}

/// A copy of a photo's crop as the model sees it.
pub(crate) struct Crop {
    pub(crate) url: String,
    /// The width of the crop, in pixels of the photo.
    pub(crate) width: u32,
    /// The height of the crop, in pixels of the photo.
    pub(crate) height: u32,
}

/// A copy of the photo's fluke with the padding of `preparation`; `None` if the photo cannot be read.
pub(crate) fn crop(photo: &LabelledPhoto, preparation: &Preparation) -> Option<Crop> {
    let (picture, region) = photo.decode_with_region().ok()?;
    let (width, height) = picture.dimensions();
    let region = region.unwrap_or(PixelBox::whole(width, height));
    let region = preparation.widened(region, width, height).ok()?;
    Some(Crop {
        url: url(&picture, region, LONGEST_SIDE_OF_CROP)?,
        width: region.width(),
        height: region.height(),
    })
}

fn url(picture: &RgbImage, region: PixelBox, longest_side: u32) -> Option<String> {
    let crop = imageops::crop_imm(
        picture,
        region.x0,
        region.y0,
        region.width(),
        region.height(),
    )
    .to_image();
    let factor = f64::from(longest_side) / f64::from(crop.width().max(crop.height()));
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
