use super::open_encounter::{MAX_CROP_SIDE, cut_out};
use super::*;
use crate::pixels::Pixels;
use crate::time::MonotonicTimestamp;
use crate::track::TrackRules;
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::{FrameSize, TimedBox};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use image::RgbImage;

const VIDEO: Grouping = Grouping::Video {
    gap: 1000,
    longest: 5000,
};
const BOX: PixelBox = PixelBox {
    x0: 10,
    y0: 10,
    x1: 50,
    y1: 30,
};
const FRAME: FrameSize = FrameSize {
    width: 80,
    height: 60,
};

fn photo(contrast: u8) -> RgbImage {
    RgbImage::from_fn(80, 60, |x, y| {
        let dark = (x / 3 + y / 3) % 2 == 0;
        image::Rgb([if dark { 20 } else { 20 + contrast }; 3])
    })
}

/// Plays frames 100 ms apart: `Some(contrast)` shows a fluke, `None` open sea.
fn play(encounters: &mut Encounters, frames: &[Option<u8>]) -> Vec<Encounter> {
    let mut ended = vec![];
    for (i, frame) in frames.iter().enumerate() {
        let now = MonotonicTimestamp::from_millis(i as i64 * 100);
        let completed = match frame {
            Some(contrast) => {
                encounters.observe_image(&photo(*contrast), FlukeBoxes::Given(&[BOX]), now)
            }
            None => encounters
                .observe(FlukeBoxes::Given(&[]), FRAME, now)
                .complete(),
        };
        ended.extend(completed);
    }
    ended.extend(encounters.finish());
    ended
}

fn spans(encounters: &[Encounter]) -> Vec<(i64, i64, u32)> {
    encounters
        .iter()
        .map(|e| (e.started.0 / 1000, e.ended.0 / 1000, e.frames))
        .collect()
}

#[test]
fn a_gap_ends_an_encounter_and_a_flicker_does_not() {
    let mut frames = vec![None; 5];
    frames.extend([Some(90); 4]);
    frames.extend([None; 8]);
    frames.extend([Some(90); 2]);
    frames.extend([None; 10]);
    frames.extend([Some(90); 3]);
    let over = play(&mut Encounters::new(VIDEO, 3, 0.1), &frames);
    assert_eq!(spans(&over), [(500, 1800, 6), (2900, 3100, 3)]);
    assert_ne!(over[0].track, over[1].track);
}

#[test]
fn a_long_encounter_is_reported_in_parts_of_one_track() {
    let over = play(&mut Encounters::new(VIDEO, 3, 0.1), &[Some(90); 60]);
    assert_eq!(spans(&over), [(0, 5000, 51), (5100, 5900, 9)]);
    assert_eq!(over[0].track, over[1].track);
    assert_eq!(over[1].boxes[0].after, 0, "each part has its own start");
}

#[test]
fn a_jump_back_in_time_ends_an_encounter() {
    let mut encounters = Encounters::new(VIDEO, 3, 0.1);
    let then = MonotonicTimestamp::from_millis(1_000_000);
    assert!(
        encounters
            .observe_image(&photo(90), FlukeBoxes::Given(&[BOX]), then)
            .is_empty()
    );
    assert!(
        encounters
            .expire(MonotonicTimestamp::from_millis(999_500))
            .is_empty()
    );
    assert_eq!(encounters.expire(MonotonicTimestamp(0)).len(), 1);
}

#[test]
fn each_still_is_an_encounter() {
    let stills = &mut Encounters::new(Grouping::Stills, 3, 0.1);
    let over = play(stills, &[Some(90), None, Some(90)]);
    assert_eq!(spans(&over), [(0, 0, 1), (200, 200, 1)]);
    // Times are ignored, and each fluke counts.
    let far = PixelBox {
        x0: 55,
        y0: 30,
        x1: 79,
        y1: 44,
    };
    let over = stills.observe_image(
        &photo(90),
        FlukeBoxes::Given(&[BOX, far]),
        MonotonicTimestamp(0),
    );
    assert_eq!(over.len(), 2);
    let found = [Detection {
        region: BOX,
        score: 0.6,
    }];
    let over = stills.observe_image(
        &photo(90),
        FlukeBoxes::Detected(&found),
        MonotonicTimestamp(0),
    );
    assert_eq!((over.len(), over[0].detector), (1, Some(0.6)));
    for found in [FlukeBoxes::WholeFrame, FlukeBoxes::Detected(&[])] {
        let over = stills.observe_image(&photo(90), found, MonotonicTimestamp(0));
        assert_eq!(over[0].crops[0].frame_region, PixelBox::whole(80, 60));
    }
}

#[test]
fn the_best_crops_are_kept_best_first() {
    let contrasts = [40, 200, 90, 10, 225, 120];
    let mut encounters = Encounters::new(VIDEO, 3, 0.1);
    let mut over = vec![];
    for (i, contrast) in contrasts.into_iter().enumerate() {
        let now = MonotonicTimestamp::from_millis(i as i64 * 500);
        over.extend(encounters.observe_image(&photo(contrast), FlukeBoxes::Given(&[BOX]), now));
    }
    over.extend(encounters.finish());
    let kept: Vec<u32> = over[0]
        .crops
        .iter()
        .map(|c| over[0].millis_after_start(c))
        .collect();
    assert_eq!(kept, [2000, 500, 2500]);
    let totals: Vec<f32> = over[0].crops.iter().map(|c| c.quality.total()).collect();
    assert!(
        totals.is_sorted_by(|a, b| a >= b) && totals[2] > 0.0,
        "{totals:?}"
    );
}

#[test]
fn two_flukes_in_a_frame_are_two_encounters() {
    let other = PixelBox {
        x0: 55,
        y0: 8,
        x1: 79,
        y1: 22,
    };
    let mut encounters = Encounters::new(VIDEO, 3, 0.1);
    let mut over = vec![];
    for i in 0..30 {
        let now = MonotonicTimestamp::from_millis(i * 100);
        let boxes: &[PixelBox] = match i {
            0..5 => &[BOX],
            5..12 => &[other, BOX],
            12..15 => &[other],
            _ => &[],
        };
        over.extend(encounters.observe_image(&photo(90), FlukeBoxes::Given(boxes), now));
    }
    assert_eq!(spans(&over), [(0, 1100, 12), (500, 1400, 10)]);
    let boxes: Vec<PixelBox> = over.iter().map(|e| e.crops[0].frame_region).collect();
    assert_eq!(boxes, [BOX, other]);
}

#[test]
fn narrow_flukes_are_ignored_in_videos_and_not_in_stills() {
    let seen = [Detection {
        region: BOX,
        score: 0.7,
    }];
    let fraction = BOX.width() as f32 / FRAME.width as f32;
    for (grouping, min_width_fraction, encounters) in [
        (VIDEO, fraction * 0.99, 1),
        (VIDEO, fraction * 1.01, 0),
        (Grouping::Stills, fraction * 1.01, 1),
    ] {
        let mut all = Encounters::new(grouping, 3, 0.1).with_tracks(TrackRules {
            min_width_fraction,
            ..TrackRules::default()
        });
        let mut over = 0;
        for i in 0..if grouping == VIDEO { 10 } else { 1 } {
            let now = MonotonicTimestamp::from_millis(i * 100);
            let mut observed = all.observe(FlukeBoxes::Detected(&seen), FRAME, now);
            if observed.wants_pixels() {
                observed.keep_crops(Pixels::of(&photo(90)));
            }
            over += observed.complete().len();
        }
        over += all.finish().len();
        assert_eq!(over, encounters, "{min_width_fraction}");
        if grouping == Grouping::Stills {
            assert_eq!(all.finish().len(), 0);
        }
    }
}

#[test]
fn a_false_alarm_is_not_an_encounter() {
    let seen = [Detection {
        region: BOX,
        score: 0.7,
    }];
    for (frames, encounters) in [(2, 0), (3, 0), (4, 1)] {
        let mut all = Encounters::new(VIDEO, 3, 0.1);
        let mut over = vec![];
        for i in 0..40 {
            let now = MonotonicTimestamp::from_millis(i * 100);
            let found: &[Detection] = if i < frames { &seen } else { &[] };
            let mut observed = all.observe(FlukeBoxes::Detected(found), FRAME, now);
            assert_eq!(observed.wants_pixels(), i < frames);
            if observed.wants_pixels() {
                observed.keep_crops(Pixels::of(&photo(90)));
            }
            over.extend(observed.complete());
        }
        over.extend(all.finish());
        assert_eq!(over.len(), encounters, "{frames} frames");
        for e in over {
            assert_eq!((e.crops.len(), e.detector), (3, Some(0.7)));
            assert_eq!(
                e.started,
                MonotonicTimestamp(0),
                "it started when it was first seen"
            );
        }
    }
}

#[test]
fn pixels_are_requested_only_for_promising_crops() {
    let mut encounters = Encounters::new(VIDEO, 2, 0.1);
    let mut wanted = 0;
    // Thirty frames a second, of which the first second is the best.
    for i in 0..150 {
        let now = MonotonicTimestamp(i * 33_333);
        let height = if i < 30 { 20 } else { 6 };
        let region = PixelBox {
            y1: BOX.y0 + height,
            ..BOX
        };
        let mut observed = encounters.observe(FlukeBoxes::Given(&[region]), FRAME, now);
        if observed.wants_pixels() {
            wanted += 1;
            observed.keep_crops(Pixels::of(&photo(90)));
        }
        drop(observed);
    }
    assert!((2..=17).contains(&wanted), "{wanted} of 150");
}

#[test]
fn an_encounter_without_decoded_frames_has_no_crop() {
    let mut encounters = Encounters::new(VIDEO, 2, 0.1);
    let observed = encounters.observe(FlukeBoxes::Given(&[BOX]), FRAME, MonotonicTimestamp(0));
    assert!(observed.complete().is_empty());
    let over = encounters.finish();
    assert_eq!(
        (over.len(), over[0].crops.len(), over[0].boxes.len()),
        (1, 0, 1)
    );
}

#[test]
fn a_box_outside_the_frame_is_ignored() {
    let mut encounters = Encounters::new(Grouping::Stills, 3, 0.1);
    let outside = PixelBox {
        x0: 100,
        y0: 0,
        x1: 120,
        y1: 10,
    };
    assert!(
        encounters
            .observe_image(
                &photo(90),
                FlukeBoxes::Given(&[outside]),
                MonotonicTimestamp(0)
            )
            .is_empty()
    );
    assert!(encounters.finish().is_empty());
}

#[test]
fn undetected_frames_of_other_sizes_are_one_encounter() {
    let mut encounters = Encounters::new(VIDEO, 3, 0.1);
    for (i, side) in [80, 640, 30].into_iter().enumerate() {
        let photo = RgbImage::new(side, side);
        let over = encounters.observe_image(
            &photo,
            FlukeBoxes::WholeFrame,
            MonotonicTimestamp::from_millis(i as i64 * 100),
        );
        assert!(over.is_empty());
    }
    let over = encounters.finish();
    assert_eq!(spans(&over), [(0, 200, 3)]);
    let FrameSize { width, height } = over[0].frame;
    let inside = |p: &TimedBox| p.region.within(width, height) == Some(p.region);
    assert!(over[0].boxes.iter().all(inside), "{over:?}");
}

#[test]
fn a_crop_prepares_as_its_frame_does() {
    let photo = RgbImage::from_fn(83, 61, |x, y| {
        image::Rgb([(x * 3) as u8, (y * 4) as u8, (x * y) as u8])
    });
    for (margin, fit) in [
        (0.0, Fit::Stretch),
        (0.07, Fit::Letterbox),
        (0.33, Fit::Stretch),
    ] {
        let (mean, deviation) = (vec![0.0; 3], vec![1.0; 3]);
        let p = Preparation {
            height: 16,
            width: 32,
            colour: Colour::Rgb,
            fit,
            padding: margin,
            mean,
            std: deviation,
        };
        for region in [
            BOX,
            PixelBox {
                x0: 0,
                y0: 40,
                x1: 30,
                y1: 61,
            },
            PixelBox {
                x0: 60,
                y0: 3,
                x1: 83,
                y1: 20,
            },
        ] {
            let (pixels, inside) = cut_out(Pixels::of(&photo), region, margin, vec![7; 5]);
            assert_eq!(
                p.pixels(&photo, region).unwrap(),
                p.pixels(&pixels, inside).unwrap()
            );
        }
    }
}

#[test]
fn a_large_crop_is_downscaled() {
    let dark = PixelBox {
        x0: 300,
        y0: 90,
        x1: 4800,
        y1: 290,
    };
    let photo = RgbImage::from_fn(5000, 300, |x, y| {
        let inside = (300..4800).contains(&x) && (90..290).contains(&y);
        image::Rgb([if inside { 20 } else { 200 }; 3])
    });
    let (pixels, inside) = cut_out(Pixels::of(&photo), dark, 0.02, vec![]);
    assert!(pixels.width() <= MAX_CROP_SIDE && pixels.width() > MAX_CROP_SIDE / 2);
    assert_eq!(inside.within(pixels.width(), pixels.height()), Some(inside));
    let light = |x: u32, y: u32| pixels.get_pixel(x, y).0[0];
    assert_eq!(light(inside.x0 + 1, inside.y0 + 1), 20);
    assert_eq!(light(inside.x1 - 2, inside.y1 - 2), 20);
    assert_eq!(light(inside.x0.saturating_sub(2), inside.y0 + 1), 200);
}
