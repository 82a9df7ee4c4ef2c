use super::*;

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

#[test]
fn the_input_of_a_stretched_crop_covers_the_crop() {
    let p = preparation(Colour::Grey, Fit::Stretch);
    assert_eq!(p.crop_in_input(300, 20), [0.0, 0.0, 1.0, 1.0]);
    let crop = PixelBox {
        x0: 100,
        y0: 20,
        x1: 300,
        y1: 50,
    };
    let expected = InputArea {
        width: 400,
        height: 100,
        left: 100,
        top: 20,
        right: 300,
        bottom: 50,
    };
    assert_eq!(p.input_area(crop, 400, 100), expected);
}

#[test]
fn the_input_of_a_letterboxed_crop_covers_its_bars_too() {
    let p = preparation(Colour::Grey, Fit::Letterbox);
    // A square in an input of 64 x 32: the middle half, with bars as wide as half the square.
    assert_eq!(p.crop_in_input(50, 50), [0.25, 0.0, 0.75, 1.0]);
    let crop = PixelBox {
        x0: 10,
        y0: 0,
        x1: 60,
        y1: 50,
    };
    let expected = InputArea {
        width: 100,
        height: 100,
        left: -15,
        top: 0,
        right: 85,
        bottom: 50,
    };
    assert_eq!(p.input_area(crop, 100, 100), expected);
}
