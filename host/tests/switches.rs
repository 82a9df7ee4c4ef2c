//! Each switch of a recipe does what it says: tests of its effect (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod stripes;

use flukewatch_dataset::Dataset;
use flukewatch_network::Network;
use flukewatch_network::weights::Weights;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::network::{Mode, NetworkOptions, TorchNetwork};
use flukewatch_train::embedding::recipe::Recipe;
use flukewatch_train::embedding::run::run;
use std::path::Path;
use stripes::{job, stripes};
use tch::{Kind, Tensor};

/// A small network of which everything is trained, without augmentation.
const PLAIN: [&str; 4] = [
    "backbone=tiny",
    "frozen_blocks=0",
    "mirror_as_new_identity=false",
    "augmentation={rotation=0.0,shear=0.0,scale=0.0,shift=0.0,perspective=0.0,contrast=0.0,blur=0.0,noise=0.0,erasing=0.0}",
];

/// The checkpoint of a run in `folder`, until the end or until an epoch.
fn trained(
    data: &Dataset,
    folder: &Path,
    settings: &[&str],
    until_epoch: Option<usize>,
) -> EmbeddingCheckpoint {
    let settings: Vec<&str> = PLAIN.iter().chain(settings).copied().collect();
    let mut job = job(data.clone(), folder, &settings);
    job.until_epoch = until_epoch;
    let outcome = run(&job).unwrap();
    EmbeddingCheckpoint::read(outcome.checkpoint()).unwrap()
}

/// Photos as evaluation prepares them: `[N, C, H, W]`.
fn prepared(data: &Dataset, recipe: &Recipe) -> Tensor {
    let preparation = recipe.preparation();
    let numbers: Vec<f32> = data
        .photos
        .iter()
        .flat_map(|photo| {
            let pixels = photo.prepared(&preparation).unwrap();
            preparation
                .normalise(&pixels, false)
                .into_raw_vec_and_offset()
                .0
        })
        .collect();
    let shape = [
        preparation.channels(),
        preparation.height as usize,
        preparation.width as usize,
    ];
    let [c, h, w] = shape.map(|n| n as i64);
    Tensor::from_slice(&numbers).reshape([-1, c, h, w])
}

fn network(recipe: &Recipe, weights: &Weights) -> TorchNetwork {
    let channels = recipe.preparation().channels();
    let network = Network::new(recipe.backbone, channels, &recipe.head);
    TorchNetwork::new(network, weights, NetworkOptions::default())
}

/// The largest difference of two tensors of a checkpoint, relative to the largest value.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = |v: &mut dyn Iterator<Item = f32>| v.fold(0f32, |m, x| m.max(x.abs()));
    let differing = largest(&mut a.iter().zip(b).map(|(a, b)| a - b));
    differing / largest(&mut a.iter().copied())
}

#[test]
fn swa_measures_the_batch_statistics_of_its_average() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    // At the size of the input, views without augmentation are the photos themselves.
    for photo in &data.photos {
        let picture = image::open(&photo.path).unwrap();
        let exact = picture.resize_exact(64, 32, image::imageops::FilterType::Triangle);
        exact.save(&photo.path).unwrap();
    }
    // All photos are one batch, so that its statistics can be computed here.
    let settings = [
        "stages=[{epochs=3,height=32,width=64}]",
        "batch_size=18",
        "average={kind=\"swa\",epochs=2}",
    ];
    let folder = dir.path().join("run");
    let second = trained(&data, &folder, &settings, Some(2));
    let third = trained(&data, &folder, &settings, None);
    let last = third.tensors.clone();
    let recipe = third.recipe.clone();
    let average = third.for_export().tensors;
    let images = prepared(&data, &recipe);
    // The first normalisation by hand: mean and variance of the convolved photos.
    let weight = &average["conv1.weight"];
    let shape: Vec<i64> = weight.shape.iter().map(|&s| s as i64).collect();
    let kernel = Tensor::from_slice(&weight.data).reshape(&shape);
    let maps = images.conv2d(&kernel, None::<&Tensor>, [2, 2], [1, 1], [1, 1], 1);
    let dims = [0i64, 2, 3];
    let mean = maps.mean_dim(dims.as_slice(), false, Kind::Float);
    let variance = maps.var_dim(dims.as_slice(), true, false);
    for (name, expected) in [("running_mean", mean), ("running_var", variance)] {
        let expected: Vec<f32> = expected.try_into().unwrap();
        let got = difference(&expected, &average[&format!("bn1.{name}")].data);
        assert!(got < 1e-3, "{name}: {got}");
    }
    // The others through the averaged network itself.
    let measuring = network(&recipe, &average);
    let _ = tch::no_grad(|| measuring.features(&images, Mode::MeasureStatistics(1.0)));
    let measured = measuring.weights();
    for name in [
        "bn1.running_var",
        "bn2.running_mean",
        "bn3.running_var",
        "bn4.running_mean",
        "bn4.running_var",
    ] {
        let got = difference(&measured[name].data, &average[name].data);
        assert!(got < 1e-3, "{name}: {got}");
        let ends = second.tensors[name].data.iter().zip(&last[name].data);
        let averaged: Vec<f32> = ends.map(|(a, b)| 0.5 * (a + b)).collect();
        let got = difference(&averaged, &average[name].data);
        assert!(
            got > 0.1,
            "{name} is the mean of the running statistics: {got}"
        );
    }
}
