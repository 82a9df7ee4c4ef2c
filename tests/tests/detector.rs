//! The detector of flukes from the command line, and the shipped one on drawn seas.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::Detector;
use flukewatch_host::detector::evaluate::figures::{average_precision, recall};
use flukewatch_host::detector::evaluate::stills::{judge, scene};
use flukewatch_host::seascape::cast::Cast;
use flukewatch_tests::boat::text;
use flukewatch_tests::program::{Program, repository};

#[test]
fn the_shipped_detector_finds_flukes_on_seas_that_it_never_saw() {
    let bundle = Bundle::open(&repository().join("models/humpback-lite0")).unwrap();
    let mut detector = Detector::open(&bundle).unwrap().unwrap();
    let threshold = detector.threshold();
    let cast = Cast::drawn(77, 8);
    let judged: Vec<_> = (0..60)
        .map(|number| {
            let (picture, truth) = scene(&cast, 77, number, (640, 360)).unwrap();
            judge(&mut detector, &picture, truth).unwrap()
        })
        .collect();
    let precision = average_precision(&judged).unwrap();
    let (found, sizes) = recall(&judged, threshold);
    eprintln!("AP50 {precision:.3}, recall {found:?}, by size {sizes:?}");
    assert!(precision > 0.15, "AP50 {precision:.3}");
}

#[test]
fn a_detector_is_put_in_taken_over_and_taken_out() {
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
    assert!(opened.detector.is_none() && opened.manifest.format == 2);
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
fn a_detector_is_measured() {
    let shipped = repository().join("models/humpback-lite0");
    let small = [
        "--hours",
        "0.005",
        "--encounters",
        "2",
        "--pictures",
        "6",
        "--size",
        "320x180",
        "--fps",
        "4",
    ];
    let found = Program::Host
        .run(
            &[
                &["evaluate-detector", text(&shipped), "--json", "--quiet"][..],
                &small,
            ]
            .concat(),
        )
        .succeeded()
        .json();
    assert!(found["milliseconds_a_frame"].as_f64().unwrap() > 0.0);
    assert_eq!(found["precision"][0]["pictures"], 6);
    assert!(
        found["at_its_own"]["films"][0]["encounters"]
            .as_u64()
            .unwrap()
            >= 1
    );
}
