//! A camera's uncompressed frame, of any size and stride that a driver may announce.
#![no_main]

use flukewatch_edge::pixel_format::{ColourRange, PixelLayout, Shape};
use flukewatch_edge::pixels::convert::{to_grey, to_rgb};
use flukewatch_fuzz::seeds;

const LAYOUTS: [PixelLayout; 7] = [
    PixelLayout::Grey,
    PixelLayout::Yuyv,
    PixelLayout::Uyvy,
    PixelLayout::Nv12,
    PixelLayout::Planar420,
    PixelLayout::Planar422,
    PixelLayout::Planar444,
];

/// Pixel layout and range in one byte, width and height in two each, stride in four; then the
/// frame.
fn seed(layout: u8, width: u16, height: u16, stride: u32) -> Vec<u8> {
    let mut bytes = vec![layout];
    bytes.extend(
        width
            .to_le_bytes()
            .into_iter()
            .chain(height.to_le_bytes())
            .chain(stride.to_le_bytes()),
    );
    bytes.extend((0..3 * stride * u32::from(height)).map(|i| i as u8));
    bytes
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [
            seed(0, 8, 4, 8),
            seed(1, 7, 3, 20),
            seed(2, 8, 6, 10),
            seed(3, 5, 5, 5),
            seed(4, 6, 4, 8),
            seed(5 + 6, 4, 4, 4),
        ]);
    },
    |bytes: &[u8]| {
        let Some((&[layout, w0, w1, h0, h1, s0, s1, s2, s3], frame)) = bytes.split_first_chunk::<9>() else {
            return;
        };
        let range = if layout / 6 % 2 == 0 { ColourRange::Limited } else { ColourRange::Full };
        let layout = LAYOUTS[usize::from(layout % 6)];
        let shape = Shape {
            width: u16::from_le_bytes([w0, w1]).into(),
            height: u16::from_le_bytes([h0, h1]).into(),
            stride: u32::from_le_bytes([s0, s1, s2, s3]),
        };
        let pixels = shape.width as usize * shape.height as usize;
        let mut luma = vec![];
        let decoded = to_grey(layout, frame, shape, range, &mut luma);
        if decoded.is_ok() {
            assert_eq!(luma.len(), pixels);
        }
        for grey in [false, true] {
            let rgb = to_rgb(layout, frame, shape, range, grey, vec![]);
            assert_eq!(rgb.is_ok(), decoded.is_ok());
            if let (Ok(rgb), true) = (rgb, grey) {
                assert!(rgb.pixels().zip(&luma).all(|(p, l)| p.0 == [*l; 3]));
            }
        }
    }
);
