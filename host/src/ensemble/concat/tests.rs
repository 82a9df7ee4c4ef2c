//! Bundles of a convolution and a matrix, merged and measured against their parts.

use super::*;
use crate::ensemble::features::join;
use crate::export::fold::{Folded, Kind, Step};
use crate::export::onnx::{self, Float, write_with};
use crate::network::Activation;
use crate::network::weights::Values;
use flukewatch_common::bundle::View;
use flukewatch_common::embedder::Embedder;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use image::{Rgb, RgbImage};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CREATED: &str = "2026-11-23T16:20:00.000Z";

fn values(rng: &mut ChaCha8Rng, shape: &[usize]) -> Values {
    Values {
        shape: shape.to_vec(),
        data: (0..shape.iter().product())
            .map(|_| rng.random_range(-0.5..0.5f32))
            .collect(),
    }
}

fn folded(dimension: usize, seed: u64) -> Folded {
    let rng = &mut ChaCha8Rng::seed_from_u64(seed);
    let step = |kind, inputs: &[usize]| Step {
        kind,
        inputs: inputs.to_vec(),
        block: 0,
        node: 0,
    };
    Folded {
        input: [1, 16, 32],
        dimension,
        slices: 1,
        steps: vec![
            step(Kind::Input, &[]),
            step(
                Kind::Convolution {
                    weight: values(rng, &[4, 1, 3, 3]),
                    bias: values(rng, &[4]),
                    stride: 2,
                    groups: 1,
                    pads: [1; 4],
                    excitation: false,
                },
                &[0],
            ),
            step(Kind::Activation(Activation::Relu6), &[1]),
            step(Kind::Pool(None), &[2]),
            step(
                Kind::Linear {
                    weight: values(rng, &[dimension, 4]),
                    bias: values(rng, &[dimension]),
                },
                &[3],
            ),
        ],
    }
}

fn bundle(name: &str, dimension: usize, seed: u64, views: &[View]) -> Bundle {
    let preparation = Preparation {
        height: 16,
        width: 32,
        colour: Colour::Grey,
        fit: Fit::Stretch,
        margin: 0.0,
        mean: vec![127.0],
        deviation: vec![128.0],
    };
    with_model(name, preparation, views, dimension, {
        write_with(&folded(dimension, seed), &mut Float).encode_to_vec()
    })
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
        opset: onnx::OPSET as u32,
        trained_on: "nothing".into(),
    };
    let catalogue = Catalogue::new(dimension * views.len());
    let card = format!("# {name}");
    Bundle::new(
        name,
        CREATED,
        preparation,
        views.to_vec(),
        info,
        model,
        catalogue,
        DecisionRule::unfitted(),
        card,
    )
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
fn the_whole_has_length_one_before_anything_normalises_it() {
    use flukewatch_common::engine::Engine;
    use flukewatch_common::engine::tract::{TractEngine, TractForm};
    let parts = [
        bundle("one", 6, 1, &[View::Plain]),
        bundle("two", 4, 2, &[View::Plain]),
    ];
    let model = merge(&parts, &[3.0, 1.0]).unwrap();
    let mut engine = TractEngine::load(&model, TractForm::Stripped).unwrap();
    let image = ndarray::Array3::from_shape_fn((1, 16, 32), |(_, y, x)| ((x * y) % 7) as f32 / 7.0);
    let output = engine.run(image.view()).unwrap();
    let squares = |part: &[f32]| part.iter().map(|v| v * v).sum::<f32>();
    assert!((squares(&output[..6]) - 0.75).abs() < 1e-5);
    assert!((squares(&output[6..]) - 0.25).abs() < 1e-5);
}

#[test]
fn bundles_that_prepare_otherwise_are_refused_with_every_difference() {
    let one = bundle("one", 6, 1, &[View::Plain]);
    let other = with_model(
        "other",
        Preparation {
            height: 32,
            margin: 0.25,
            ..one.manifest.preparation.clone()
        },
        &[View::Plain, View::Mirrored],
        6,
        one.model.clone(),
    );
    let error = merge(&[one, other], &[1.0, 1.0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "one and other cannot be one bundle: size is 16 x 32 in the one and 32 x 32 in the other; margin is 0 in the one and 0.25 \
         in the other; views is [plain] in the one and [plain, mirrored] in the other"
    );
}

#[test]
fn models_in_different_operator_sets_are_refused() {
    let one = bundle("one", 6, 1, &[View::Plain]);
    let mut model = tract_onnx::pb::ModelProto::decode(one.model.as_slice()).unwrap();
    model.opset_import[0].version = 13;
    let preparation = one.manifest.preparation.clone();
    let old = with_model("old", preparation, &[View::Plain], 6, model.encode_to_vec());
    let error = merge(&[one, old], &[1.0, 1.0]).unwrap_err().to_string();
    assert_eq!(
        error,
        "the model of old cannot be merged: it is written in operator set 13, a model before it in 17"
    );
}
