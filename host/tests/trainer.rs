//! The trainer and what is exported from it, on small drawn flukes (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::engine::Engine;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use flukewatch_host::dataset::{Dataset, LabelledPhoto};
use flukewatch_host::export::{float_model, int8_model};
use flukewatch_host::network::head::Head;
use flukewatch_host::network::weights::{Values, Weights};
use flukewatch_host::network::{Backbone, Network, Pooling, Role};
use flukewatch_host::train::checkpoint::Checkpoint;
use flukewatch_host::train::forward::{Mode, TorchNetwork};
use flukewatch_host::train::recipe::Recipe;
use flukewatch_host::train::run::{Job, TrainError, normalise, run};
use image::{Rgb, RgbImage};
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use tch::{Device, Tensor};

const RECIPE: [&str; 6] = [
    "stages=[{epochs=2,height=32,width=64}]",
    "batch=6",
    "frozen_blocks=2",
    "head.dimension=16",
    "threads=1",
    "seed=4",
];

/// `whales` whales with three photos each: stripes of a period of their own, shifted from photo to photo.
fn stripes(folder: &Path, whales: u32, photos: u32) -> Dataset {
    let mut all = vec![];
    for whale in 0..whales {
        for photo in 0..photos {
            let name = format!("{whale}-{photo}.png");
            let path = folder.join(&name);
            let picture = RgbImage::from_fn(80, 40, |x, y| {
                let on = (x * (whale + 2) / 5 + y * (whale % 3) / 4 + photo) % 6 < 3;
                Rgb([if on { 210 } else { 30 + 5 * photo as u8 }; 3])
            });
            picture.save(&path).unwrap();
            all.push(LabelledPhoto {
                path,
                name,
                whale: Some(format!("W{whale}")),
                region: None,
            });
        }
    }
    Dataset { photos: all }
}

fn job(dataset: Dataset, folder: &Path, overrides: &[&str]) -> Job {
    let settings: Vec<String> = RECIPE
        .iter()
        .chain(overrides)
        .map(|s| (*s).to_owned())
        .collect();
    Job {
        recipe: Recipe::read(None, &settings).unwrap(),
        dataset,
        weights: None,
        folder: folder.to_owned(),
        force_cpu: true,
        until_epoch: None,
        quiet: true,
    }
}

const MARGIN: [&str; 2] = [
    "sampler={kind=\"pk\",photos_per_whale=3}",
    "loss={kind=\"margin\",alpha=0.2,beta=1.2,learn_beta=true}",
];

#[test]
fn a_resumed_run_equals_an_unbroken_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    for overrides in [&[][..], &MARGIN[..]] {
        let at = |name: &str| dir.path().join(format!("{name}{}", overrides.len()));
        let whole = run(&job(data.clone(), &at("whole"), overrides)).unwrap();
        let mut first = job(data.clone(), &at("cut"), overrides);
        first.until_epoch = Some(1);
        run(&first).unwrap();
        first.until_epoch = None;
        let resumed = run(&first).unwrap();
        let (whole, resumed) = (
            Checkpoint::read(&whole).unwrap(),
            Checkpoint::read(&resumed).unwrap(),
        );
        assert_eq!((whole.epochs, resumed.epochs), (2, 2));
        assert!(whole.tensors == resumed.tensors, "the tensors differ");
    }
}

#[test]
fn a_run_goes_on_only_with_its_own_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 4, 3);
    run(&job(data.clone(), &dir.path().join("run"), &[])).unwrap();
    let error = run(&job(data, &dir.path().join("run"), &["seed=5"])).unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherRecipe { reason, .. } if reason == "seed was 4"),
        "{error}"
    );
}

#[test]
fn it_learns_to_tell_stripes_apart() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 4);
    let settings = [
        "stages=[{epochs=12,height=32,width=64}]",
        "backbone=resnet18",
        "frozen_blocks=0",
        "mirror_is_another=false",
        "head.dropout=0.0",
        "loss={kind=\"arcface\",scale=8.0,margin=0.1}",
        "augmentation={rotation=0.0,shear=0.0,erasing=0.0,blur=0.0}",
    ];
    run(&job(data, &dir.path().join("run"), &settings)).unwrap();
    let metrics = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics
        .lines()
        .map(|l| {
            serde_json::from_str::<serde_json::Value>(l).unwrap()["loss"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert!(
        losses.len() == 12 && losses[11] < 0.5 * losses[0],
        "{losses:?}"
    );
}

#[test]
fn too_few_whales_or_pairs_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&job(stripes(dir.path(), 1, 3), &dir.path().join("a"), &[]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("at least two are needed"), "{error}");
    let single = stripes(dir.path(), 5, 1);
    let error = run(&job(single.clone(), &dir.path().join("b"), &MARGIN))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("train with sampler.kind = \"shuffled\""),
        "{error}"
    );
    run(&job(single, &dir.path().join("c"), &["batch=5"])).unwrap();
}

/// Weights with statistics that are not those of the start, so that folding them is put to the test.
fn lively_weights(network: &Network) -> Weights {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    network
        .parameters()
        .into_iter()
        .map(|p| {
            let fan_in = p.shape[1..].iter().product::<usize>().max(1) as f32;
            let mut draw = || match p.role {
                _ if p.name == "pool.p" => 2.5,
                Role::Weight => rng.random_range(-1.0..1.0f32) * (6.0 / fan_in).sqrt(),
                _ if p.name.ends_with("running_var") || p.name.ends_with(".weight") => {
                    rng.random_range(0.6..1.4)
                }
                _ => rng.random_range(-0.2..0.2),
            };
            let data = (0..p.shape.iter().product()).map(|_| draw()).collect();
            (
                p.name,
                Values {
                    shape: p.shape,
                    data,
                },
            )
        })
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(x, y)| f64::from(*x) * f64::from(*y))
            .sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn the_exported_model_is_the_trained_network() {
    for (backbone, pooling) in [
        (Backbone::EfficientnetLite0, Pooling::Average),
        (Backbone::EfficientnetLite0, Pooling::Gem),
        (Backbone::Resnet18, Pooling::Average),
        (Backbone::Resnet50, Pooling::Gem),
        (Backbone::Tiny, Pooling::Average),
    ] {
        let network = Network::new(
            backbone,
            1,
            &Head {
                pooling,
                dropout: 0.2,
                dimension: 64,
            },
        );
        let weights = lively_weights(&network);
        let torch = TorchNetwork::new(network.clone(), &weights, None, Device::Cpu, 1);
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let photos: Vec<Array3<f32>> = (0..4)
            .map(|_| Array3::from_shape_fn((1, 64, 96), |_| rng.random_range(-1.0..1.0f32)))
            .collect();
        let float = float_model(&network, &weights, 64, 96).unwrap();
        let int8 = int8_model(&network, &weights, 64, 96, &photos).unwrap();
        assert!(
            int8.len() < float.len() / 3,
            "{backbone}: {} of {} bytes",
            int8.len(),
            float.len()
        );
        let mut plain = TractEngine::load(&float, TractForm::Stripped).unwrap();
        let mut stripped = TractEngine::load(&int8, TractForm::Stripped).unwrap();
        let mut rounded = TractEngine::load(&int8, TractForm::AsIs).unwrap();
        for photo in &photos {
            let numbers: Vec<f32> = photo.iter().copied().collect();
            let image = Tensor::from_slice(&numbers).reshape([1, 1, 64, 96]);
            let expected: Vec<f32> =
                tch::no_grad(|| normalise(&torch.forward(&image, Mode::Evaluate)))
                    .flatten(0, 1)
                    .try_into()
                    .unwrap();
            let f32_cosine = cosine(&plain.run(photo.view()).unwrap(), &expected);
            assert!(f32_cosine > 0.99999, "{backbone} {pooling:?}: {f32_cosine}");
            // Random weights are no network that int8 was made for: the trained one is held to more, on photos.
            for engine in [&mut stripped, &mut rounded] {
                let c = cosine(&engine.run(photo.view()).unwrap(), &expected);
                assert!(c > 0.97, "{backbone} {pooling:?}, {}: {c}", engine.name());
            }
        }
    }
}
