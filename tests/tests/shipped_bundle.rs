//! The bundle in `models/`: complete, without enrolled whales, and far better than random weights.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, NewBundle, Precision};
use flukewatch_inference::embedder::Embedder;
use flukewatch_network::head::Head;
use flukewatch_network::{Backbone, Network, Pooling};
use flukewatch_onnx::export::float_model;
use flukewatch_tests::boat::text;
use flukewatch_tests::drawn_weights::drawn;
use flukewatch_tests::drawn_whales::drawn_whales;
use flukewatch_tests::program::{Program, repository};
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
