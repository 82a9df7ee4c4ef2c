//! `flukewatch quantize` on a bundle and on an ONNX file of another exporter.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, ModelInfo, NewBundle, Precision, View};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_inference::golden::golden;
use flukewatch_network::head::Head;
use flukewatch_network::{Backbone, Network, Pooling};
use flukewatch_onnx::export::float_model;
use flukewatch_onnx::proto::build::{floats, integer, integers, model, node, value_info};
use flukewatch_tests::boat::text;
use flukewatch_tests::drawn_weights::drawn;
use flukewatch_tests::drawn_whales::drawn_whales;
use flukewatch_tests::program::Program;
use prost::Message;
use std::path::PathBuf;
use tempfile::TempDir;
use tract_onnx::pb::GraphProto;

/// A float bundle of a small network with random weights, and synthetic photos of eight whales.
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
            padding: 0.04,
            mean: vec![127.0],
            std: vec![128.0],
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
        Bundle::new(NewBundle {
            name: "float",
            created,
            preparation,
            views,
            model_info: info,
            model,
            catalogue: Catalogue::new(32),
            decision: rule,
            card,
        })
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
            "--quantisation-photos",
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
    let all = ["--json", "--gptq", "--keep-float", "1"];
    let found = place
        .quantize("float.flukebundle", "int8.flukebundle", &all)
        .succeeded()
        .json();
    assert_eq!(
        (found["layers"].as_u64(), found["quantised"].as_u64()),
        (Some(5), Some(4))
    );
    assert_eq!(found["sensitivity"].as_array().unwrap().len(), 5);
    assert_eq!(found["float"][0]["layer"], found["sensitivity"][0]["layer"]);
    for layer in found["gptq"].as_array().unwrap() {
        assert!(
            layer["gptq"].as_f64() < layer["nearest"].as_f64(),
            "{layer}"
        );
    }
    assert_eq!(found["gptq"].as_array().unwrap().len(), 4);
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
        .failed(1, &["QuantizeLinear", "already quantised"]);
    assert!(!place.path("again.flukebundle").exists());
}

#[test]
fn a_rule_is_fitted_on_the_eval_photos() {
    let place = Workplace::new();
    let table = place.path("flukes/catalogue.csv");
    place
        .quantize(
            "float.flukebundle",
            "int8",
            &["--eval-photos", text(&table)],
        )
        .succeeded();
    let bundle = Bundle::open(&place.path("int8")).unwrap();
    assert!(
        bundle
            .decision
            .fitted_on
            .contains("leave one encounter out"),
        "{:?}",
        bundle.decision
    );
    let shown = place
        .quantize("float.flukebundle", "int8.onnx", &["--sensitivity"])
        .succeeded();
    for words in [
        "layer alone in int8",
        "R@1 lost",
        "5 of 5 layers in int8",
        "tract: no findings",
    ] {
        assert!(shown.stdout.contains(words), "{}", shown.stdout);
    }
    assert!(place.path("int8.onnx").is_file());
}

#[test]
fn a_file_of_another_exporter_needs_its_preparation() {
    let place = Workplace::new();
    place
        .quantize("float.onnx", "int8.onnx", &[])
        .failed(1, &["--mean", "grey"]);
    let prepared = ["--mean", "127", "--std", "128", "--padding", "0.04"];
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
        .failed(1, &["defines its own preparation"]);
    let named = [&prepared[..], &["--keep-float", "STEP1"]].concat();
    place
        .quantize("float.onnx", "b.onnx", &named)
        .failed(1, &["unknown layer 'STEP1'", "step1"]);
    place
        .quantize("float.onnx", "b.onnx", &["--max-eval-photos", "0"])
        .failed(2, &["above 0"]);
    assert!(!place.path("b.onnx").exists());
}

/// A model whose layer `narrow` reads a small channel next to a large one, which int8 with one scale
/// for both loses.
fn large_next_to_small() -> Vec<u8> {
    let kernel = || vec![integers("kernel_shape", &[1, 1])];
    let nodes = vec![
        node("Conv", "wide", &["image", "wide_w"], "wide", kernel()),
        node("Conv", "narrow", &["wide", "narrow_w"], "narrow", kernel()),
        node("GlobalAveragePool", "pool", &["narrow"], "pool", vec![]),
        node("Flatten", "flat", &["pool"], "flat", vec![]),
        node(
            "Gemm",
            "fc",
            &["flat", "fc_w", "fc_b"],
            "embedding",
            vec![integer("transB", 1)],
        ),
    ];
    let graph = GraphProto {
        name: "large next to small".into(),
        node: nodes,
        initializer: vec![
            floats("wide_w", &[2, 1, 1, 1], &[1000.0, 1.0]),
            floats("narrow_w", &[1, 2, 1, 1], &[0.0, 4.0]),
            floats("fc_w", &[2, 1], &[1.0, -1.0]),
            floats("fc_b", &[2], &[1.0, 1.0]),
        ],
        input: vec![value_info("image", &[1, 1, 32, 64])],
        output: vec![value_info("embedding", &[1, 2])],
        ..GraphProto::default()
    };
    model(graph).encode_to_vec()
}

#[test]
fn a_layer_at_fault_stays_in_float_by_itself() {
    let place = Workplace::new();
    std::fs::write(place.path("wide.onnx"), large_next_to_small()).unwrap();
    let run = |more: &[&str]| {
        let prepared = ["--mean", "127", "--std", "128"];
        let all = [&prepared[..], more].concat();
        place.quantize("wide.onnx", "int8.onnx", &all).succeeded()
    };
    let found = run(&["--json"]).json();
    let left = &found["left_in_float"];
    assert!(left["before"].as_f64().unwrap() < 0.99, "{found}");
    assert!(left["after"].as_f64().unwrap() > 0.995, "{found}");
    assert_eq!(found["quantised"], 2, "{found}");
    assert_eq!(found["float"].as_array().unwrap().len(), 1);
    assert_eq!(found["float"][0]["layer"], "narrow");
    assert!(found["sensitivity"].is_null());
    assert!(found["compared"]["int8"]["mean"].as_f64().unwrap() > 0.995);
    let shown = run(&[]).stdout;
    for words in [
        "2 of 3 layers in int8",
        "in float: narrow (mean cosine",
        "1 layer(s) left in float",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
    let chosen = run(&["--json", "--keep-float", "0"]).json();
    assert_eq!(chosen["quantised"], 3);
    assert!(chosen["left_in_float"].is_null(), "{chosen}");
}
