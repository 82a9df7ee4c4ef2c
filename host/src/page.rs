//! What pages that stand on their own share: text from outside made harmless, and small pictures within the page itself.

use crate::dataset::LabelledPhoto;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flukewatch_common::pixel_box::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};

const LONGEST_SIDE: u32 = 240;
const QUALITY: u8 = 75;

/// Text from outside as HTML.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            c => safe.push(c),
        }
    }
    safe
}

/// A small copy of the photo's fluke as a `data:` address; `None` where the photo cannot be read any more.
pub fn fluke_address(photo: &LabelledPhoto) -> Option<String> {
    let picture = photo.decode().ok()?;
    let whole = PixelBox::whole(picture.width(), picture.height());
    let cut = photo
        .region
        .unwrap_or(whole)
        .within(picture.width(), picture.height())?;
    let cut = imageops::crop_imm(&picture, cut.x0, cut.y0, cut.width(), cut.height()).to_image();
    let factor = f64::from(LONGEST_SIDE) / f64::from(cut.width().max(cut.height()));
    let side = |pixels: u32| ((f64::from(pixels) * factor.min(1.0)).round() as u32).max(1);
    let (width, height) = (side(cut.width()), side(cut.height()));
    let copy = imageops::resize(&cut, width, height, FilterType::Triangle);
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

    #[test]
    fn markup_from_outside_is_text() {
        let evil = "<script>alert('&\"')</script>";
        assert_eq!(
            escape(evil),
            "&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn a_fluke_is_cut_out_and_made_small() {
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
        let address = fluke_address(&photo).unwrap();
        let data = address.strip_prefix("data:image/jpeg;base64,").unwrap();
        let small = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (240, 120));
        photo.path = "not-there.png".into();
        assert_eq!(fluke_address(&photo), None);
    }
}
