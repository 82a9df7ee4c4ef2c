//! Small copies of photos, in the page itself.

use super::escape;
use crate::dataset::LabelledPhoto;
use flukewatch_common::pixel_box::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{self, FilterType};
use std::collections::BTreeMap;

const LONGEST_SIDE: u32 = 240;
const QUALITY: u8 = 72;

/// Copies that were made, so that each photo is read once.
#[derive(Default)]
pub struct Pictures(BTreeMap<String, Option<String>>);

impl Pictures {
    /// The fluke of a photo as an HTML image; its name where it cannot be read.
    pub fn html(&mut self, photo: &LabelledPhoto) -> String {
        let made = self
            .0
            .entry(photo.name.clone())
            .or_insert_with(|| small(photo));
        let name = escape(&photo.name);
        match made {
            Some(jpeg) => format!(
                "<img alt=\"{name}\" title=\"{name}\" src=\"data:image/jpeg;base64,{jpeg}\">"
            ),
            None => format!("<span>{name}</span>"),
        }
    }
}

fn small(photo: &LabelledPhoto) -> Option<String> {
    let picture = photo.decode().ok()?;
    let whole = PixelBox::whole(picture.width(), picture.height());
    let cut = photo
        .region
        .unwrap_or(whole)
        .within(picture.width(), picture.height())?;
    let cut = imageops::crop_imm(&picture, cut.x0, cut.y0, cut.width(), cut.height()).to_image();
    let factor = f64::from(LONGEST_SIDE) / f64::from(cut.width().max(cut.height()));
    let side = |pixels: u32| ((f64::from(pixels) * factor.min(1.0)).round() as u32).max(1);
    let copy = imageops::resize(
        &cut,
        side(cut.width()),
        side(cut.height()),
        FilterType::Triangle,
    );
    let mut bytes = vec![];
    JpegEncoder::new_with_quality(&mut bytes, QUALITY)
        .encode_image(&copy)
        .ok()?;
    Some(base64(&bytes))
}

/// Bytes as text (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for letter in 0..4 {
            let sixth = (bits >> (18 - 6 * letter)) & 63;
            text.push(if letter > three.len() {
                '='
            } else {
                char::from(LETTERS[sixth as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn the_examples_of_the_rfc() {
        let pairs = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
