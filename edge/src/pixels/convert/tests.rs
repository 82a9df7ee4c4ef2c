use super::*;
use proptest::prelude::*;

fn shape(width: u32, height: u32, stride: u32) -> Shape {
    Shape {
        width,
        height,
        stride,
    }
}

fn converted(
    layout: PixelLayout,
    bytes: &[u8],
    shape: Shape,
    range: ColourRange,
    grey: bool,
) -> Vec<[u8; 3]> {
    let picture = to_rgb(layout, bytes, shape, range, grey, vec![]).unwrap();
    assert_eq!(picture.dimensions(), (shape.width, shape.height));
    picture.pixels().map(|p| p.0).collect()
}

const BLACK: [u8; 3] = [0; 3];
const WHITE: [u8; 3] = [255; 3];
/// Y, U, V of BT.601's red bar (limited range): 81, 90, 240. By hand: c = 298 * 65 + 128 = 19498, d = -38, e = 112;
/// R = (19498 + 45808) / 256 = 255, G = (19498 + 3800 - 23296) / 256 = 0, B = (19498 - 19608) / 256 < 0.
const RED: [u8; 3] = [255, 0, 0];

#[test]
fn yuyv_by_hand() {
    let bytes = [16, 128, 235, 128, 81, 90, 81, 240];
    let got = converted(
        PixelLayout::Yuyv,
        &bytes,
        shape(2, 2, 4),
        ColourRange::Limited,
        false,
    );
    assert_eq!(got, [BLACK, WHITE, RED, RED]);
    let got = converted(
        PixelLayout::Yuyv,
        &bytes,
        shape(2, 2, 4),
        ColourRange::Limited,
        true,
    );
    // 298 * 65 + 128 = 19498, / 256 = 76.
    assert_eq!(got, [BLACK, WHITE, [76; 3], [76; 3]]);
}

#[test]
fn uyvy_by_hand() {
    let bytes = [128, 16, 128, 235, 90, 81, 240, 81];
    for (grey, red) in [(false, RED), (true, [76; 3])] {
        let got = converted(
            PixelLayout::Uyvy,
            &bytes,
            shape(2, 2, 4),
            ColourRange::Limited,
            grey,
        );
        assert_eq!(got, [BLACK, WHITE, red, red]);
    }
}

#[test]
fn full_range_does_not_change_brightness() {
    // d = -28, e = 72: R = (25600 + 128 + 25848) / 256 = 201, G = (25728 + 2464 - 13176) / 256 = 58, B = (25728 - 12712) / 256 = 50.
    let bytes = [100, 100, 7, 200];
    let got = converted(
        PixelLayout::Yuyv,
        &bytes,
        shape(1, 1, 4),
        ColourRange::Full,
        false,
    );
    assert_eq!(got, [[201, 58, 50]]);
    let got = converted(
        PixelLayout::Yuyv,
        &bytes,
        shape(2, 1, 4),
        ColourRange::Full,
        true,
    );
    assert_eq!(got, [[100; 3], [7; 3]]);
    let got = converted(
        PixelLayout::Grey,
        &[0, 9, 255],
        shape(3, 1, 3),
        ColourRange::Full,
        false,
    );
    assert_eq!(got, [[0; 3], [9; 3], [255; 3]]);
}

#[test]
fn nv12_shares_colours_among_four_pixels_and_honours_the_stride() {
    // 3 x 3 pixels, rows of 6 bytes: the padding is 99.
    let bytes = [
        81, 81, 16, 99, 99, 99, //
        81, 81, 235, 99, 99, 99, //
        16, 235, 81, 99, 99, 99, //
        90, 240, 128, 128, 99, 99, //
        128, 128, 90, 240,
    ];
    let got = converted(
        PixelLayout::Nv12,
        &bytes,
        shape(3, 3, 6),
        ColourRange::Limited,
        false,
    );
    assert_eq!(got, [RED, RED, BLACK, RED, RED, WHITE, BLACK, WHITE, RED]);
}

#[test]
fn a_wider_stride_gives_the_same_image() {
    for layout in [
        PixelLayout::Grey,
        PixelLayout::Yuyv,
        PixelLayout::Uyvy,
        PixelLayout::Nv12,
    ] {
        let tight = shape(6, 4, layout.row(6) as u32);
        let bytes: Vec<u8> = (0..layout.size(tight) as u32)
            .map(|i| (i * 37) as u8)
            .collect();
        let wide = shape(6, 4, tight.stride + 10);
        let padded: Vec<u8> = bytes
            .chunks(tight.stride as usize)
            .flat_map(|row| row.iter().copied().chain([0xee; 10]))
            .collect();
        assert_eq!(
            converted(layout, &bytes, tight, ColourRange::Limited, false),
            converted(layout, &padded, wide, ColourRange::Limited, false),
            "{layout:?}"
        );
    }
}

#[test]
fn planes_by_hand() {
    let y = [81, 81, 16, 81, 81, 235];
    let with = |chroma: &[u8]| [&y[..], chroma].concat();
    let expected = [RED, RED, BLACK, RED, RED, WHITE];
    let of = |layout, bytes: &[u8]| {
        converted(layout, bytes, shape(3, 2, 3), ColourRange::Limited, false)
    };
    assert_eq!(
        of(PixelLayout::Planar420, &with(&[90, 128, 240, 128])),
        expected
    );
    let c422 = with(&[90, 128, 90, 128, 240, 128, 240, 128]);
    assert_eq!(of(PixelLayout::Planar422, &c422), expected);
    let c444 = with(&[90, 90, 128, 90, 90, 128, 240, 240, 128, 240, 240, 128]);
    assert_eq!(of(PixelLayout::Planar444, &c444), expected);
}

#[test]
fn truncated_or_invalid_images_are_rejected() {
    let rejection = |layout, bytes: usize, shape| {
        to_rgb(
            layout,
            &vec![0; bytes],
            shape,
            ColourRange::Full,
            false,
            vec![],
        )
        .unwrap_err()
    };
    let short = rejection(PixelLayout::Yuyv, 15, shape(4, 2, 8));
    assert_eq!(
        short,
        PixelError::Short {
            got: 15,
            needed: 16
        }
    );
    let narrow = rejection(PixelLayout::Yuyv, 100, shape(4, 2, 4));
    let expected = PixelError::Stride {
        stride: 4,
        width: 4,
        needed: 8,
    };
    assert_eq!(narrow, expected);
    for (width, height) in [(0, 4), (4, 0), (20_000, 1), (16_000, 16_000)] {
        let error = rejection(PixelLayout::Grey, 10, shape(width, height, width));
        assert_eq!(error, PixelError::Size { width, height });
    }
}

#[test]
fn the_last_row_may_end_with_its_pixels() {
    // The stride is 10, but the driver fills only the pixels of the last row.
    let bytes = [9; 10 + 4];
    assert_eq!(PixelLayout::Grey.size(shape(4, 2, 10)), 14);
    converted(
        PixelLayout::Grey,
        &bytes,
        shape(4, 2, 10),
        ColourRange::Full,
        false,
    );
}

#[test]
fn memory_is_reused() {
    let mut memory = Vec::with_capacity(12);
    let at = memory.as_ptr();
    memory.extend([7; 12]);
    let picture = to_rgb(
        PixelLayout::Grey,
        &[1, 2, 3, 4],
        shape(2, 2, 2),
        ColourRange::Full,
        true,
        memory,
    );
    let raw = picture.unwrap().into_raw();
    assert_eq!(raw.as_ptr(), at);
}

proptest! {
    #[test]
    fn any_bytes_of_any_shape_are_converted_or_rejected(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        width in 0u32..30, height in 0u32..30, stride in 0u32..70,
        layout in prop_oneof![Just(PixelLayout::Grey), Just(PixelLayout::Yuyv), Just(PixelLayout::Uyvy), Just(PixelLayout::Nv12),
            Just(PixelLayout::Planar420), Just(PixelLayout::Planar422), Just(PixelLayout::Planar444)],
        grey in any::<bool>(),
    ) {
        let shape = Shape { width, height, stride };
        match to_rgb(layout, &bytes, shape, ColourRange::Limited, grey, vec![]) {
            Ok(picture) => prop_assert_eq!(picture.dimensions(), (width, height)),
            Err(PixelError::Short { got, needed }) => prop_assert!(got < needed),
            Err(_) => {}
        }
    }

    #[test]
    fn grey_matches_the_preparation_of_grey_pixels(y in any::<u8>()) {
        // Without colour, full range: the same with and without `grey`.
        let bytes = [y, 128, y, 128];
        let shape = Shape { width: 2, height: 1, stride: 4 };
        let colour = to_rgb(PixelLayout::Yuyv, &bytes, shape, ColourRange::Full, false, vec![]).unwrap();
        prop_assert_eq!(colour, to_rgb(PixelLayout::Yuyv, &bytes, shape, ColourRange::Full, true, vec![]).unwrap());
    }
}

#[test]
fn luma_alone_matches_grey_pixels() {
    let bytes: Vec<u8> = (0..200u32).map(|i| (i * 37 % 256) as u8).collect();
    for (layout, stride) in [
        (PixelLayout::Grey, 7),
        (PixelLayout::Yuyv, 12),
        (PixelLayout::Uyvy, 12),
        (PixelLayout::Nv12, 8),
        (PixelLayout::Planar420, 6),
    ] {
        let shape = Shape {
            width: 5,
            height: 4,
            stride,
        };
        for range in [ColourRange::Full, ColourRange::Limited] {
            let mut luma = vec![3; 99];
            to_grey(layout, &bytes, shape, range, &mut luma).unwrap();
            let spread: Vec<u8> = luma.iter().flat_map(|l| [*l; 3]).collect();
            let grey = to_rgb(layout, &bytes, shape, range, true, vec![]).unwrap();
            assert_eq!(&spread, grey.as_raw(), "{layout:?}");
        }
    }
}
