use super::*;
use crate::embedding::recipe::Recipe;

fn gradient() -> Array3<u8> {
    Array3::from_shape_fn((32, 64, 1), |(y, x, _)| (x * 3 + y) as u8)
}

/// All of a picture as the frame, sampled to an image of the same size.
fn warped(pixels: &Array3<u8>, warp: &Warp, mirrored: bool) -> Vec<f32> {
    let (height, width, channels) = pixels.dim();
    let source = Source {
        pixels,
        frame: [0.0, 0.0, width as f32, height as f32],
        smoothing: [0.0; 2],
    };
    let mut image = vec![0.0; height * width * channels];
    sample(
        &source,
        warp,
        mirrored,
        &Placement::whole(height, width),
        &mut image,
    );
    image
}

#[test]
fn the_identity_copies() {
    let copy = warped(&gradient(), &Warp::IDENTITY, false);
    assert!(
        copy.iter()
            .zip(gradient().iter())
            .all(|(a, b)| (a - f32::from(*b)).abs() < 1e-3)
    );
}

#[test]
fn the_mirror_swaps_left_and_right() {
    let copy = warped(&gradient(), &Warp::IDENTITY, true);
    assert!((copy[0] - 63.0 * 3.0).abs() < 1e-3);
}

#[test]
fn a_reduction_does_not_alias() {
    // Columns alternate between black and white; every other one alone would be all black.
    let columns = Array3::from_shape_fn((64, 128, 1), |(_, x, _)| (x % 2 * 255) as u8);
    let turned = Warp::new(3f32.to_radians(), 0.05, [0.95, 1.0], 2.0);
    for (warp, ratio) in [(Warp::IDENTITY, 2), (Warp::IDENTITY, 3), (turned, 2)] {
        let (height, width) = (64 / ratio, 128 / ratio);
        let source = Source {
            pixels: &columns,
            frame: [0.0, 0.0, 128.0, 64.0],
            smoothing: [0.0; 2],
        };
        let mut image = vec![0.0; height * width];
        sample(
            &source,
            &warp,
            false,
            &Placement::whole(height, width),
            &mut image,
        );
        let (row, last) = (height / 2 * width, width - 1);
        for value in &image[row + 1..row + last] {
            assert!((value - 127.5).abs() < 45.0, "reduced by {ratio}: {value}");
        }
    }
}

#[test]
fn samples_have_the_width_of_a_triangle() {
    for (ratio, smoothing) in [
        (0.5, 0.0),
        (1.3, 0.0),
        (2.0, 0.0),
        (2.0, REDUCED),
        (3.0, 0.0),
    ] {
        let taps = taps(ratio, smoothing);
        assert!((taps.iter().map(|t| t.1).sum::<f32>() - 1.0).abs() < 1e-5);
        let variance: f32 = taps.iter().map(|(at, weight)| at * at * weight).sum();
        // Bilinear interpolation has a sixth.
        let expected = (ratio.max(1.0).powi(2) / 6.0 - 1.0 / 6.0 - smoothing).max(0.0);
        assert!(
            (variance - expected).abs() < 0.02,
            "{ratio}: {variance} {expected}"
        );
    }
}

#[test]
fn a_view_reaches_beyond_its_frame() {
    let picture = Array3::from_shape_fn((40, 80, 1), |(_, x, _)| 3 * x as u8);
    let source = Source {
        pixels: &picture,
        frame: [20.0, 10.0, 40.0, 20.0],
        smoothing: [0.0; 2],
    };
    // A quarter of the width to the right: from column 30 instead of 20.
    let shifted = Warp::new(0.0, 0.0, [1.0; 2], 2.0).moved([0.5, 0.0], [0.0; 2]);
    let mut image = vec![0.0; 20 * 40];
    sample(
        &source,
        &shifted,
        false,
        &Placement::whole(20, 40),
        &mut image,
    );
    for (column, value) in image[..40].iter().enumerate() {
        let expected = 3.0 * (30 + column) as f32;
        assert!((value - expected).abs() < 0.1, "{column}: {value}");
    }
}

#[test]
fn what_a_view_does_not_fill_is_left() {
    let picture = Array3::from_elem((8, 16, 3), 9);
    let source = Source {
        pixels: &picture,
        frame: [0.0, 0.0, 16.0, 8.0],
        smoothing: [0.0; 2],
    };
    let into = Placement {
        top: 4,
        left: 0,
        height: 8,
        width: 16,
        image: (16, 16),
    };
    let mut image = vec![1.0; 3 * 16 * 16];
    sample(&source, &Warp::IDENTITY, false, &into, &mut image);
    for plane in image.chunks_exact(16 * 16) {
        let expected = |i: usize| {
            if (4..12).contains(&(i / 16)) {
                9.0
            } else {
                1.0
            }
        };
        assert!(
            plane
                .iter()
                .enumerate()
                .all(|(i, v)| (v - expected(i)).abs() < 1e-4)
        );
    }
}

#[test]
fn crops_are_as_wide_as_the_warps_need() {
    let mut none = Recipe::default().augmentation;
    (none.rotation, none.shear, none.scale) = (0.0, 0.0, 0.0);
    (none.shift, none.perspective) = (0.0, 0.0);
    assert_eq!(Warp::reach(&none, 2.0), [0.0, 0.0]);
    let shifted = Augmentation { shift: 0.1, ..none };
    for reach in Warp::reach(&shifted, 2.0) {
        assert!(reach > 0.09 && reach <= 0.1, "{reach}");
    }
    let [x, y] = Warp::reach(&Recipe::default().augmentation, 2.0);
    assert!(
        (0.15..0.4).contains(&x) && (0.2..0.6).contains(&y),
        "{x} {y}"
    );
}

/// The linear part in pixels of a view.
fn in_pixels(warp: &Warp, aspect: f32) -> [[f32; 2]; 2] {
    let m = warp.0;
    [[m[0], m[1] * aspect], [m[3] / aspect, m[4]]]
}

fn singular_values(m: [[f32; 2]; 2]) -> [f32; 2] {
    let [[a, b], [c, d]] = m.map(|row| row.map(f64::from));
    let (sum, det) = (a * a + b * b + c * c + d * d, a * d - b * c);
    let spread = (sum * sum - 4.0 * det * det).max(0.0).sqrt();
    [(sum + spread) / 2.0, (sum - spread) / 2.0].map(|square| square.sqrt() as f32)
}

const ASPECTS: [f32; 3] = [1.0, 2.0, 0.75];

#[test]
fn a_rotation_keeps_lengths_in_any_aspect() {
    for aspect in ASPECTS {
        let warp = Warp::new(10f32.to_radians(), 0.0, [1.0; 2], aspect);
        for value in singular_values(in_pixels(&warp, aspect)) {
            assert!((value - 1.0).abs() < 1e-3, "aspect {aspect}: {value}");
        }
    }
}

#[test]
fn a_shear_keeps_areas_and_heights_in_any_aspect() {
    for aspect in ASPECTS {
        let [[a, b], [c, d]] = in_pixels(&Warp::new(0.0, 0.15, [1.0; 2], aspect), aspect);
        assert_eq!((a, c, d), (1.0, 0.0, 1.0));
        // The upper edge moves by that fraction of the width against the lower one.
        assert!((b - 0.15 * aspect).abs() < 1e-6);
        let angle = 10f32.to_radians();
        let [[a, b], [c, d]] = in_pixels(&Warp::new(angle, 0.15, [1.0; 2], aspect), aspect);
        assert!((a * d - b * c - 1.0).abs() < 1e-5);
    }
}

#[test]
fn a_disc_stays_a_disc() {
    for (height, width) in [(96, 96), (64, 128), (128, 96)] {
        let (y_centre, x_centre) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
        let disc = Array3::from_shape_fn((height, width, 1), |(y, x, _)| {
            let (dy, dx) = (y as f32 - y_centre, x as f32 - x_centre);
            if dx * dx + dy * dy < 400.0 { 255 } else { 0 }
        });
        let aspect = width as f32 / height as f32;
        let rotation = Warp::new(30f32.to_radians(), 0.0, [1.0; 2], aspect);
        let target = warped(&disc, &rotation, false);
        let differing = target
            .iter()
            .zip(disc.iter())
            .filter(|(a, b)| (*a - f32::from(**b)).abs() > 128.0)
            .count();
        assert!(
            differing < 40,
            "{height} x {width}: {differing} pixels differ"
        );
    }
}

#[test]
fn parts_lie_within_the_frame() {
    let settings = Augmentation {
        rotation: 0.0,
        shear: 0.0,
        scale: 0.0,
        shift: 0.0,
        perspective: 0.0,
        crop_area: 0.08,
        crop_aspect: 4.0 / 3.0,
        ..Recipe::default().augmentation
    };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut small, mut large) = (0, 0);
    for _ in 0..500 {
        let warp = Warp::random(&settings, 2.0, &mut rng);
        let [(x0, y0), (x1, y1)] = [warp.apply(-1.0, -1.0), warp.apply(1.0, 1.0)];
        for edge in [x0, y0, x1, y1] {
            assert!((-1.0001..=1.0001).contains(&edge), "{edge}");
        }
        let area = (x1 - x0) * (y1 - y0) / 4.0;
        assert!((0.07..=1.0001).contains(&area), "{area}");
        small += usize::from(area < 0.3);
        large += usize::from(area > 0.8);
    }
    assert!(small > 60 && large > 60, "{small} {large}");
    assert_eq!(Warp::reach(&settings, 2.0), [0.0; 2]);
}

#[test]
fn colours_vary_and_grey_photos_do_not() {
    let settings = Augmentation {
        colour: 0.4,
        contrast: 0.0,
        blur: 0.0,
        noise: 0.0,
        erasing: 0.0,
        ..Recipe::default().augmentation
    };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut grey = vec![100.0; 32 * 64];
    disturb(&settings, &mut rng, 32, 64, &mut grey);
    assert!(grey.iter().all(|v| *v == 100.0));
    let mut colour = vec![100.0; 3 * 32 * 64];
    disturb(&settings, &mut rng, 32, 64, &mut colour);
    let means = [0, 1, 2].map(|c| colour[c * 32 * 64]);
    assert!(
        means.iter().all(|m| (59.0..=141.0).contains(m)),
        "{means:?}"
    );
    assert!(means[0] != means[1] && means[1] != means[2]);
}

#[test]
fn the_same_seed_varies_the_same() {
    let settings = Recipe::default().augmentation;
    let draw = |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let warp = Warp::random(&settings, 2.0, &mut rng);
        let mut target = warped(&gradient(), &warp, false);
        disturb(&settings, &mut rng, 32, 64, &mut target);
        target
    };
    assert_eq!(draw(5), draw(5));
    assert_ne!(draw(5), draw(6));
    assert!(draw(7).iter().all(|v| (0.0..=255.0).contains(v)));
}
