//! The detector's commands, and the shipped detector on synthetic images.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, FORMAT};
use flukewatch_eval::detector::images::{detect, scene};
use flukewatch_eval::detector::metrics::{average_precision, recall};
use flukewatch_inference::detector::{Detector, MIN_WIDTH_FRACTION};
use flukewatch_synth::sea::cast::Cast;
use flukewatch_tests::boat::text;
use flukewatch_tests::program::{Program, repository};

#[test]
fn the_shipped_detector_finds_flukes_in_unseen_scenes() {
    let bundle = Bundle::open(&repository().join("models/humpback-lite0")).unwrap();
    let mut detector = Detector::open(&bundle).unwrap().unwrap();
    let threshold = detector.threshold();
    let cast = Cast::drawn(77, 8);
    let images: Vec<_> = (0..60)
        .map(|number| {
            let (image, flukes) = scene(&cast, 77, number, (640, 360)).unwrap();
            detect(&mut detector, &image, flukes).unwrap()
        })
        .collect();
    let precision = average_precision(&images).unwrap();
    let (all, sizes) = recall(&images, threshold);
    eprintln!("AP50 {precision:.3}, recall {all:?}, by size {sizes:?}");
    assert!(precision > 0.15, "AP50 {precision:.3}");
}

#[test]
fn a_detector_is_added_copied_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = repository().join("models/humpback-lite0");
    let path = |name: &str| folder.path().join(name);
    let (without, with) = (path("without.flukebundle"), path("with.flukebundle"));
    let run = |arguments: &[&str]| Program::Host.run(arguments);
    run(&[
        "bundle-detector",
        text(&shipped),
        "--none",
        "--out",
        text(&without),
    ])
    .succeeded();
    let opened = Bundle::open(&without).unwrap();
    assert!(opened.detector.is_none() && opened.manifest.format == FORMAT);
    run(&["evaluate-detector", text(&without), "--quiet"])
        .failed(1, &["has no detector", "bundle-detector"]);
    run(&[
        "bundle-detector",
        text(&without),
        "--from",
        text(&without),
        "--out",
        text(&with),
    ])
    .failed(1, &["has no detector"]);
    let from = ["--from", text(&shipped), "--threshold", "0.25"];
    let to = ["--out", text(&with)];
    run(&[&["bundle-detector", text(&without)][..], &from, &to].concat()).succeeded();
    let opened = Bundle::open(&with).unwrap();
    assert_eq!(
        opened.manifest.detector.as_ref().map(|d| d.threshold),
        Some(0.25)
    );
    let shown = run(&["inspect", text(&with)]).succeeded().stdout;
    assert!(shown.contains("detector     fluke-detector-2"), "{shown}");
}

#[test]
fn a_detector_is_evaluated() {
    let shipped = repository().join("models/humpback-lite0");
    let small = [
        "--hours",
        "0.005",
        "--encounters",
        "2",
        "--images",
        "6",
        "--size",
        "320x180",
        "--fps",
        "4",
    ];
    let result = Program::Host
        .run(
            &[
                &["evaluate-detector", text(&shipped), "--json", "--quiet"][..],
                &small,
            ]
            .concat(),
        )
        .succeeded()
        .json();
    assert!(result["milliseconds_per_frame"].as_f64().unwrap() > 0.0);
    assert_eq!(result["precision"][0]["images"], 6);
    assert!(
        result["at_bundle_threshold"]["videos"][0]["encounters"]
            .as_u64()
            .unwrap()
            >= 1
    );
}

#[test]
fn detections_in_pictures_without_flukes_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = repository().join("models/humpback-lite0");
    let bundle = Bundle::open(&shipped).unwrap();
    let mut detector = Detector::open(&bundle).unwrap().unwrap();
    let cast = Cast::drawn(77, 8);
    let days = folder.path().join("seas/day-2");
    std::fs::create_dir_all(&days).unwrap();
    std::fs::write(folder.path().join("seas/notes.txt"), "words").unwrap();
    // With flukes, so that something is detected; the command does not know.
    let (mut with_detection, mut detections) = (0, 0);
    for number in 0..8 {
        let (image, flukes) = scene(&cast, 77, number, (640, 360)).unwrap();
        image.save(days.join(format!("{number}.png"))).unwrap();
        let mut found = detect(&mut detector, &image, flukes).unwrap().detections;
        found.retain(|d| d.region.width() as f64 >= MIN_WIDTH_FRACTION * 640.0);
        with_detection += usize::from(!found.is_empty());
        detections += found.len();
    }
    assert!(with_detection > 0);
    let seas = folder.path().join("seas");
    let run = |more: &[&str]| {
        let arguments = ["evaluate-detector", text(&shipped), "--negatives"];
        Program::Host.run(&[&arguments[..], more].concat())
    };
    let result = run(&[text(&seas), "--json", "--quiet"]).succeeded();
    assert!(result.stderr.contains("1 other file"), "{}", result.stderr);
    let result = result.json();
    assert_eq!(result["images"], 8);
    assert_eq!(result["images_with_detection"], with_detection);
    assert_eq!(result["detections"], detections);
    let listed = result["with_detection"].as_array().unwrap();
    assert_eq!(listed.len(), with_detection);
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    run(&[text(&empty)]).failed(1, &["contains no photos"]);
    run(&[text(&seas), "--hours", "1"]).failed(2, &["--hours"]);
}
