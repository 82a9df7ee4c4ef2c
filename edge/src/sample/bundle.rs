//! A tiny bundle, and drawn flukes that it knows.

use flukewatch_common::bundle::Bundle;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_inference::samples::{detector_info, detector_model, passthrough_bundle};
use image::RgbImage;

/// Where [`frame`] draws the fluke.
pub(crate) const FLUKE: PixelBox = PixelBox {
    x0: 40,
    y0: 30,
    x1: 104,
    y1: 62,
};

/// A bundle that knows the whales `W0` to `W{enrolled - 1}`, as [`fluke`] draws them.
pub(crate) fn bundle(enrolled: u32) -> Bundle {
    let photos = (0..enrolled).map(|number| (format!("W{number}"), fluke(number)));
    passthrough_bundle(photos, DecisionRule::thresholds(0.8, 0.6, "nothing"))
}

/// The same with a detector, which finds bright areas.
pub(crate) fn bundle_with_detector(enrolled: u32) -> Bundle {
    let detector = (detector_info(), detector_model(20.0, -10.0));
    bundle(enrolled).with_detector(Some(detector)).unwrap()
}

/// The fluke of whale `number`: a chequered pattern that depends on it.
pub(crate) fn fluke(number: u32) -> RgbImage {
    let light = |cell: u32| {
        let mut state = cell
            .wrapping_add(number.wrapping_mul(7919))
            .wrapping_add(1)
            .wrapping_mul(2_654_435_761);
        state ^= state >> 15;
        state = state.wrapping_mul(2_246_822_519);
        state >> 31 == 0
    };
    RgbImage::from_fn(FLUKE.width(), FLUKE.height(), |x, y| {
        image::Rgb([if light(y / 4 * 64 + x / 4) { 220 } else { 30 }; 3])
    })
}

/// Open sea with the fluke of whale `number` at [`FLUKE`].
pub(crate) fn frame(number: u32) -> RgbImage {
    let mut frame = RgbImage::from_pixel(160, 90, image::Rgb([90, 110, 130]));
    image::imageops::replace(
        &mut frame,
        &fluke(number),
        i64::from(FLUKE.x0),
        i64::from(FLUKE.y0),
    );
    frame
}
