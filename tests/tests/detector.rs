//! The detector's commands, and the shipped detector on synthetic images.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, FORMAT};
use flukewatch_eval::detector::images::{detect, scene};
use flukewatch_eval::detector::metrics::{average_precision, recall};
use flukewatch_inference::detector::Detector;
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
