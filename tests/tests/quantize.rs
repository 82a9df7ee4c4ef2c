//! `flukewatch quantize`, as a person runs it: on a bundle, and on a file from elsewhere.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, ModelInfo, Precision, View};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::golden::golden;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_host::export::float_model;
use flukewatch_host::network::head::Head;
use flukewatch_host::network::{Backbone, Network, Pooling};
use flukewatch_tests::boat::text;
use flukewatch_tests::drawn_weights::drawn;
use flukewatch_tests::drawn_whales::drawn_whales;
use flukewatch_tests::program::Program;
use std::path::PathBuf;
use tempfile::TempDir;

/// A float bundle of a small network that nobody trained, and synthetic photos of eight whales.
struct Workplace {
    folder: TempDir,
}

impl Workplace {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        drawn_whales(&place.path("flukes"), 8);
        place
            .bundle()
            .save(&place.path("float.flukebundle"))
            .unwrap();
        std::fs::write(place.path("float.onnx"), place.bundle().model).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self) -> Bundle {
        let head = Head {
            pooling: Pooling::Average,
            dropout: 0.0,
            dimension: 16,
        };
        let network = Network::new(Backbone::Tiny, 1, &head);
        let model = float_model(&network, &drawn(&network, 5), 32, 64).unwrap();
        let preparation = Preparation {
            height: 32,
            width: 64,
            colour: Colour::Grey,
            fit: Fit::Stretch,
            margin: 0.04,
            mean: vec![127.0],
            deviation: vec![128.0],
        };
        let info = ModelInfo {
            architecture: "tiny".into(),
            precision: Precision::F32,
            opset: 17,
            trained_on: "nothing".into(),
        };
        let rule = DecisionRule::thresholds(0.9, 0.8, "another model");
        let (views, card) = (
            vec![View::Plain, View::Mirrored],
            "# float\n\nDrawn.\n".to_owned(),
        );
        let created = "2026-11-26T02:24:00.000Z";
        Bundle::new(
            "float",
            created,
            preparation,
            views,
            info,
            model,
            Catalogue::new(32),
            rule,
            card,
        )
        .unwrap()
    }

    /// Quantises `model` to `out` with the synthetic photos.
    fn quantize(
        &self,
        model: &str,
        out: &str,
        more: &[&str],
    ) -> flukewatch_tests::program::Finished {
        let (model, out, table) = (
            self.path(model),
            self.path(out),
            self.path("flukes/catalogue.csv"),
        );
        let arguments = [
            "quantize",
            text(&model),
            "--calibrate",
            text(&table),
            "--out",
            text(&out),
        ];
        Program::Host.run(&[&arguments[..], more].concat())
    }
}

#[test]
fn a_float_bundle_becomes_an_int8_one() {
    let place = Workplace::new();
    let all = [
        "--json",
        "--equalise",
        "--correct-bias",
        "--keep-float",
        "1",
        "--calibration",
        "entropy",
    ];
    let found = place
        .quantize("float.flukebundle", "int8.flukebundle", &all)
        .succeeded()
        .json();
    assert_eq!(
        (found["layers"].as_u64(), found["rounded"].as_u64()),
        (Some(5), Some(4))
    );
    assert_eq!(found["sensitivity"].as_array().unwrap().len(), 5);
    assert_eq!(found["kept"][0]["layer"], found["sensitivity"][0]["layer"]);
    assert_eq!(found["corrected"].as_array().unwrap().len(), 4);
    assert_eq!(found["equalised"]["pairs"].as_array().unwrap().len(), 3);
    let int8 = &found["compared"]["int8"];
    assert!(int8["lowest"].as_f64().unwrap() > 0.9, "{int8}");
    assert!(found["compared"]["float_recall_at_1"].is_number());
    for target in ["tensorrt8.5", "tensorrt10", "tract"] {
        assert_eq!(
            found["lint"][target].as_array().unwrap().len(),
            0,
            "{found}"
        );
        let bundle = place.path("int8.flukebundle");
        Program::Host
            .run(&["inspect", text(&bundle), "--target", target])
            .succeeded();
    }
    let bundle = Bundle::open(&place.path("int8.flukebundle")).unwrap();
    assert_eq!(bundle.golden, golden(&bundle).unwrap());
    assert!(!bundle.golden.is_empty());
    assert_eq!(bundle.manifest.model.precision, Precision::Int8);
    assert!(bundle.catalogue.is_empty());
    assert_eq!(
        bundle.decision.fitted_on,
        DecisionRule::unfitted().fitted_on
    );
    assert!(
        bundle.card.contains("Drawn.") && bundle.card.contains("int8"),
        "{}",
        bundle.card
    );
    // Not twice.
    place
        .quantize("int8.flukebundle", "again.flukebundle", &[])
        .failed(1, &["QuantizeLinear", "quantised already"]);
    assert!(!place.path("again.flukebundle").exists());
}

#[test]
fn a_rule_is_fitted_on_the_photos_to_compare_on() {
    let place = Workplace::new();
    let table = place.path("flukes/catalogue.csv");
    place
        .quantize("float.flukebundle", "int8", &["--compare", text(&table)])
        .succeeded();
    let bundle = Bundle::open(&place.path("int8")).unwrap();
    assert!(
        bundle.decision.fitted_on.contains("leave one out"),
        "{:?}",
        bundle.decision
    );
    let shown = place
        .quantize("float.flukebundle", "int8.onnx", &["--sensitivity"])
        .succeeded();
    for words in [
        "that layer alone in int8",
        "R@1 lost",
        "5 of 5 layers in int8",
        "tract: keeps every rule",
    ] {
        assert!(shown.stdout.contains(words), "{}", shown.stdout);
    }
    assert!(place.path("int8.onnx").is_file());
}

#[test]
fn a_file_from_elsewhere_is_told_how_photos_are_prepared() {
    let place = Workplace::new();
    place
        .quantize("float.onnx", "int8.onnx", &[])
        .failed(1, &["--mean", "grey"]);
    let prepared = ["--mean", "127", "--deviation", "128", "--margin", "0.04"];
    place
        .quantize("float.onnx", "int8.onnx", &prepared)
        .succeeded();
    let written = std::fs::read(place.path("int8.onnx")).unwrap();
    assert!(written.len() < std::fs::read(place.path("float.onnx")).unwrap().len() / 2);
    place
        .quantize("float.onnx", "int8.flukebundle", &prepared)
        .failed(1, &["manifest"]);
    place
        .quantize("float.flukebundle", "b.flukebundle", &prepared)
        .failed(1, &["says itself"]);
    let named = [&prepared[..], &["--keep-float", "STEP1"]].concat();
    place
        .quantize("float.onnx", "b.onnx", &named)
        .failed(1, &["no layer 'STEP1'", "step1"]);
    place
        .quantize("float.onnx", "b.onnx", &["--calibration", "guess"])
        .failed(2, &["entropy"]);
    place
        .quantize("float.onnx", "b.onnx", &["--percentile", "101"])
        .failed(2, &["at most 100"]);
    place
        .quantize("float.onnx", "b.onnx", &["--open-clips"])
        .failed(2, &["--equalise"]);
    assert!(!place.path("b.onnx").exists());
}
