//! The bundle in `models/`: complete, without enrolled whales, and far better than random weights.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, NewBundle, Precision};
use flukewatch_common::input_area::InputArea;
use flukewatch_edge::session::PICTURE_PADDING;
use flukewatch_inference::embedder::Embedder;
use flukewatch_network::head::Head;
use flukewatch_network::{Backbone, Network, Pooling};
use flukewatch_onnx::export::float_model;
use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::drawn_weights::drawn;
use flukewatch_tests::drawn_whales::drawn_whales;
use flukewatch_tests::pictures::jpeg;
use flukewatch_tests::program::{Program, repository};
use flukewatch_tests::station::Station;
use image::RgbImage;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

fn shipped() -> PathBuf {
    repository().join("models/humpback-lite0")
}

#[test]
fn it_opens_and_runs_and_has_no_whales_enrolled() {
    let bundle = Bundle::open(&shipped()).unwrap();
    assert_eq!(bundle.manifest.model.precision, Precision::Int8);
    assert!(bundle.catalogue.is_empty(), "users enrol their own whales");
    assert!(Embedder::open(&bundle).is_ok());
    for word in ["devtest", "int8", "non-commercial"] {
        assert!(
            bundle.card.contains(word),
            "the model card does not say '{word}'"
        );
    }
}

/// R@1 of a bundle on a table.
fn recall_at_1(bundle: &Path, table: &Path) -> f64 {
    let found = Program::Host
        .run(&["evaluate", text(bundle), text(table), "--json"])
        .succeeded()
        .json();
    found["recall_at_1"].as_f64().unwrap()
}

/// On synthetic flukes that are too difficult for random weights.
#[test]
fn it_finds_synthetic_whales_where_random_weights_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let table = drawn_whales(&folder.path().join("flukes"), 24);

    let random = folder.path().join("random");
    random_weights(&Bundle::open(&shipped()).unwrap())
        .save(&random)
        .unwrap();
    let (shipped, random) = (
        recall_at_1(&shipped(), &table),
        recall_at_1(&random, &table),
    );
    eprintln!("R@1 on 24 synthetic whales: shipped {shipped:.3}, random weights {random:.3}");
    assert!(
        shipped >= 0.6 && shipped >= random + 0.3,
        "shipped {shipped:.3}, random weights {random:.3}"
    );
}

/// From enrolment to the station: the regions of the picture that match the candidates' photos, at their places in both.
#[test]
fn a_sighting_shows_which_regions_match() {
    let folder = tempfile::tempdir().unwrap();
    let table = drawn_whales(&folder.path().join("flukes"), 8);
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Video,
        station.mqtt().port(),
    );
    fs::remove_file(boat.bundle()).unwrap();
    let (model, catalogue) = (shipped(), boat.bundle());
    Program::Host
        .run(&[
            "enroll",
            text(&model),
            text(&table),
            "--out",
            text(&catalogue),
        ])
        .succeeded();
    let enrolled = Bundle::open(&boat.bundle()).unwrap();
    let entries = enrolled.catalogue.entries();
    let areas = entries.iter().filter_map(|e| e.input_area);
    assert_eq!(areas.filter(InputArea::is_valid).count(), 24);

    // An enrolled photo at (200, 100) of a larger frame.
    let photo = &entries[0];
    let file = folder.path().join("flukes/catalogue").join(&photo.photo);
    let fluke = image::open(file).unwrap().to_rgb8();
    let (width, height) = fluke.dimensions();
    let mut frame = RgbImage::from_pixel(width + 400, height + 200, image::Rgb([90, 110, 130]));
    image::imageops::replace(&mut frame, &fluke, 200, 100);
    let region = json!({"x0": 200, "y0": 100, "x1": 200 + width, "y1": 100 + height});
    let sidecar = json!({ "boxes": [region] }).to_string().into_bytes();
    boat.set_frames((0..5).flat_map(|i| {
        [
            (format!("{i:06}.jpg"), jpeg(&frame)),
            (format!("{i:06}.json"), sidecar.clone()),
        ]
    }));
    boat.run(60).succeeded();

    let sightings = station.sightings();
    let candidates = sightings[0]["candidates"].as_array().unwrap();
    assert_eq!(candidates[0]["whale"], photo.whale.as_str());
    assert_eq!(candidates[0]["photo"], photo.photo.as_str());
    assert_eq!(candidates.len(), 5);
    // The picture has a tenth more on each side and a pixel, of which the model sees 4 %.
    let padding = (width as f32 * PICTURE_PADDING).ceil() + 1.0;
    let seen = (width as f32 * 0.04).round();
    let cell = (width as f32 + 2.0 * seen) / 10.0;
    for candidate in candidates {
        let regions = candidate["matching_regions"].as_array().unwrap();
        assert!((1..=8).contains(&regions.len()), "{candidate}");
        let contributions = regions.iter().map(|r| r["contribution"].as_f64().unwrap());
        assert!(contributions.is_sorted_by(|a, b| a >= b), "{candidate}");
        for region in regions {
            let per_cent = |photo: &str, key: &str| region[photo][key].as_f64().unwrap() as f32;
            let left = per_cent("picture", "left_percent") / 100.0 * (width as f32 + 2.0 * padding);
            let column = (left - padding + seen) / cell;
            assert!((column - column.round()).abs() < 0.02, "{column}: {region}");
            assert!(per_cent("photo", "width_percent") > 0.0, "{region}");
        }
    }
}

/// The same bundle with an untrained model of the same architecture.
fn random_weights(shipped: &Bundle) -> Bundle {
    let manifest = &shipped.manifest;
    let preparation = &manifest.preparation;
    let head = Head {
        pooling: Pooling::Average,
        dropout: 0.0,
        dimension: manifest.dimension / manifest.views.len(),
    };
    let network = Network::new(Backbone::EfficientnetLite0, preparation.channels(), &head);
    let (height, width) = (preparation.height as usize, preparation.width as usize);
    let model = float_model(&network, &drawn(&network, 1), height, width).unwrap();
    let mut info = manifest.model.clone();
    info.precision = Precision::F32;
    let (catalogue, decision) = (shipped.catalogue.clone(), shipped.decision.clone());
    let (preparation, views) = (preparation.clone(), manifest.views.clone());
    Bundle::new(NewBundle {
        name: "random",
        created: &manifest.created,
        preparation,
        views,
        model_info: info,
        model,
        catalogue,
        decision,
        card: String::new(),
    })
    .unwrap()
}
