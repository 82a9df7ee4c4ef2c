//! Small bundles, merged and compared with their parts.

use super::*;
use crate::features::join;
use crate::merge::merge;
use flukewatch_common::bundle::View;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_inference::embedder::Embedder;
use flukewatch_network::head::Head;
use flukewatch_network::weights::Values;
use flukewatch_network::{Backbone, Network, Pooling};
use flukewatch_onnx::export::float_model;
use flukewatch_onnx::proto::build::OPSET;
use image::{Rgb, RgbImage};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CREATED: &str = "2026-11-23T16:20:00.000Z";

/// A tiny network with random weights for images of 16 x 32.
fn model(dimension: usize, seed: u64) -> Vec<u8> {
    let head = Head {
        pooling: Pooling::Average,
        dropout: 0.0,
        dimension,
    };
    let network = Network::new(Backbone::Tiny, 1, &head);
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let weights = network.parameters().into_iter().map(|p| {
        let smallest = if p.name.ends_with("running_var") {
            0.5
        } else {
            -0.5
        };
        let count = p.shape.iter().product();
        let data = (0..count)
            .map(|_| rng.random_range(smallest..smallest + 1.0f32))
            .collect();
        let shape = p.shape;
        (p.name, Values { shape, data })
    });
    float_model(&network, &weights.collect(), 16, 32).unwrap()
}

fn bundle(name: &str, dimension: usize, seed: u64, views: &[View]) -> Bundle {
    let preparation = Preparation {
        height: 16,
        width: 32,
        colour: Colour::Grey,
        fit: Fit::Stretch,
        padding: 0.0,
        mean: vec![127.0],
        std: vec![128.0],
    };
    with_model(name, preparation, views, dimension, model(dimension, seed))
}

fn with_model(
    name: &str,
    preparation: Preparation,
    views: &[View],
    dimension: usize,
    model: Vec<u8>,
) -> Bundle {
    let info = ModelInfo {
        architecture: "tiny".into(),
        precision: Precision::F32,
        opset: OPSET as u32,
        trained_on: "nothing".into(),
    };
    let catalogue = Catalogue::new(dimension * views.len());
    let card = format!("# {name}");
    Bundle::new(NewBundle {
        name,
        created: CREATED,
        preparation,
        views: views.to_vec(),
        model_info: info,
        model,
        catalogue,
        decision: DecisionRule::unfitted(),
        card,
    })
    .unwrap()
}

fn picture(seed: u32) -> RgbImage {
    RgbImage::from_fn(50, 30, |x, y| {
        Rgb([
            ((x * 5 + y * (seed + 3) * 11) % 256) as u8,
            (x * 3) as u8,
            (y * 7) as u8,
        ])
    })
}

#[test]
fn the_merged_bundle_embeds_as_its_parts_side_by_side() {
    for views in [&[View::Plain][..], &[View::Plain, View::Mirrored]] {
        let parts = [
            bundle("one", 6, 1, views),
            bundle("two", 4, 2, views),
            bundle("three", 5, 3, views),
        ];
        let weights = [2.0, 1.0, 0.5];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.flukebundle");
        one_bundle(&parts, &weights, "all", CREATED, DecisionRule::unfitted())
            .unwrap()
            .save(&path)
            .unwrap();
        let merged = Bundle::open(&path).unwrap();
        assert_eq!(merged.manifest.dimension, 15 * views.len());
        let mut whole = Embedder::open(&merged).unwrap();
        for seed in 0..3 {
            let photo = picture(seed);
            let alone: Vec<Embedding> = parts
                .iter()
                .map(|b| Embedder::open(b).unwrap().embed(&photo, None).unwrap())
                .collect();
            let alone: Vec<&Embedding> = alone.iter().collect();
            let expected = join(&alone, &weights, views.len()).unwrap();
            let got = whole.embed(&photo, None).unwrap();
            for (g, e) in got.as_slice().iter().zip(expected.as_slice()) {
                assert!((g - e).abs() < 1e-5, "{got:?} {expected:?}");
            }
        }
    }
}

#[test]
fn the_output_of_a_merged_model_has_length_one() {
    use flukewatch_inference::engine::Engine;
    use flukewatch_inference::engine::tract::{TractEngine, TractForm};
    let parts = [
        bundle("one", 6, 1, &[View::Plain]),
        bundle("two", 4, 2, &[View::Plain]),
    ];
    let model = merge(&parts, &[3.0, 1.0]).unwrap();
    let mut engine = TractEngine::load(&model, TractForm::Dequantised).unwrap();
    let image = ndarray::Array3::from_shape_fn((1, 16, 32), |(_, y, x)| ((x * y) % 7) as f32 / 7.0);
    let output = engine.run(image.view()).unwrap();
    let squares = |part: &[f32]| part.iter().map(|v| v * v).sum::<f32>();
    assert!((squares(&output[..6]) - 0.75).abs() < 1e-5);
    assert!((squares(&output[6..]) - 0.25).abs() < 1e-5);
}

#[test]
fn different_preparations_are_an_error_that_names_every_difference() {
    let one = bundle("one", 6, 1, &[View::Plain]);
    let other = with_model(
        "other",
        Preparation {
            height: 32,
            padding: 0.25,
            ..one.manifest.preparation.clone()
        },
        &[View::Plain, View::Mirrored],
        6,
        one.model.clone(),
    );
    let error = merge(&[one, other], &[1.0, 1.0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "one and other cannot be one bundle: size is 16 x 32 and 32 x 32; padding is 0 and 0.25; views is [plain] and \
         [plain, mirrored]"
    );
}

#[test]
fn different_operator_sets_are_an_error() {
    let one = bundle("one", 6, 1, &[View::Plain]);
    let mut model = tract_onnx::pb::ModelProto::decode(one.model.as_slice()).unwrap();
    model.opset_import[0].version = 13;
    let preparation = one.manifest.preparation.clone();
    let old = with_model("old", preparation, &[View::Plain], 6, model.encode_to_vec());
    let error = merge(&[one, old], &[1.0, 1.0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the model of old cannot be merged: it uses operator set 13, another model 17"
    );
}

#[test]
fn a_merged_bundle_knows_what_its_parts_were_trained_on() {
    use flukewatch_common::bundle::TrainingSet;
    let trained = |name: &str, seed, whale: &str| {
        let bundle = bundle(name, 6, seed, &[View::Plain]);
        let set = TrainingSet::new(&bundle.model, [whale], [name]);
        bundle.with_training_set(Some(set)).unwrap()
    };
    let parts = [trained("one", 1, "A"), trained("two", 2, "B")];
    let merged = |parts: &[Bundle]| {
        one_bundle(parts, &[1.0, 1.0], "all", CREATED, DecisionRule::unfitted()).unwrap()
    };
    let set = merged(&parts).training.unwrap();
    assert!(set.has_whale("A") && set.has_whale("B") && !set.has_whale("C"));
    assert!(set.has_photo("one") && set.has_photo("two"));
    // Unknown for one is unknown for the whole.
    let [one, two] = parts;
    let two = two.with_training_set(None).unwrap();
    assert_eq!(merged(&[one, two]).training, None);
}
