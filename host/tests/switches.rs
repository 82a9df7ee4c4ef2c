//! Each switch of a recipe does what it says: tests of its effect (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod stripes;

use flukewatch_dataset::Dataset;
use flukewatch_network::Network;
use flukewatch_network::weights::Weights;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::network::{EmbeddingPart, Mode, NetworkOptions, TorchNetwork};
use flukewatch_train::embedding::recipe::Recipe;
use flukewatch_train::embedding::run::run;
use flukewatch_train::embedding::split::Split;
use flukewatch_train::embedding::validation;
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

/// MAP@5 on the validation identities with the weights of a checkpoint.
fn validated(data: &Dataset, checkpoint: &EmbeddingCheckpoint, quantised: bool) -> f64 {
    let recipe = &checkpoint.recipe;
    let mut network = network(recipe, &checkpoint.tensors);
    if quantised {
        network.start_quantisation(&checkpoint.tensors);
    }
    let held_out = Split::of(data, recipe.validation_identities, recipe.seed).validation;
    let (mut photos, mut labels) = (vec![], vec![]);
    for (identity, positions) in &held_out {
        for &i in positions {
            let prepared = data.photos[i].prepared(&recipe.preparation());
            photos.push(prepared.unwrap());
            labels.push(identity.clone());
        }
    }
    let photos: Vec<_> = photos.iter().collect();
    let part = EmbeddingPart::Whole;
    validation::retrieve(&network, part, &photos, &labels, &recipe.preparation())
        .unwrap()
        .map_at_5
}

/// The lines of a file of the run.
fn lines(folder: &Path, file: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn quantisation_aware_epochs_are_validated_quantised() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 30, 3);
    let settings = [
        "stages=[{epochs=4,height=32,width=64}]",
        "validation_identities=24",
        "head.dimension=8",
        "qat_epochs=3",
        // Large activations, so that one step of a range decides ranks.
        "optimiser={backbone_lr=0.05,head_lr=0.05,loss_lr=0.05}",
    ];
    let folder = dir.path().join("run");
    let mut differ = false;
    for epoch in 1..=4 {
        let checkpoint = trained(&data, &folder, &settings, Some(epoch));
        let metrics = lines(&folder, "metrics.jsonl");
        let found = metrics[epoch - 1]["validation_map_at_5"].as_f64().unwrap();
        let exported = validated(&data, &checkpoint, epoch > 1);
        assert!(
            (found - exported).abs() < 1e-9,
            "epoch {epoch}: {found} {exported}"
        );
        differ |= (found - validated(&data, &checkpoint, false)).abs() > 1e-9;
    }
    assert!(
        differ,
        "quantisation changes no rank: the test shows nothing"
    );
}

#[test]
fn an_average_is_validated_with_the_ranges_of_the_trained_network() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 20, 3);
    let settings = [
        "stages=[{epochs=2,height=32,width=64}]",
        "validation_identities=14",
        "head.dimension=8",
        "qat_epochs=1",
        "average={kind=\"ema\",decay=0.5}",
    ];
    let folder = dir.path().join("run");
    let checkpoint = trained(&data, &folder, &settings, None).for_export();
    let found = lines(&folder, "metrics.jsonl")[1]["validation_map_at_5"].as_f64();
    let exported = validated(&data, &checkpoint, true);
    assert!(
        (found.unwrap() - exported).abs() < 1e-9,
        "{found:?} {exported}"
    );
}

#[test]
fn biases_scales_and_beta_do_not_decay() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let losses: [&[&str]; 2] = [
        &["loss={kind=\"softmax\",cosine=false}", "head.pooling=gem"],
        &[
            "sampler={kind=\"pk\",photos_per_identity=3}",
            "loss={kind=\"margin\",per_class=true}",
        ],
    ];
    for (i, loss) in losses.into_iter().enumerate() {
        // The first step starts from the same weights and has the same gradients.
        let after_one = |decay: &str| {
            let folder = dir.path().join(format!("{i}-{decay}"));
            let weight_decay = format!("optimiser.weight_decay={decay}");
            let mut settings = vec!["stages=[{epochs=1,height=32,width=64}]", "batch_size=18"];
            settings.extend(loss);
            settings.push(&weight_decay);
            trained(&data, &folder, &settings, None)
        };
        let (without, with) = (after_one("0.0"), after_one("0.5"));
        assert_eq!(with.progress.steps, 1);
        let mut kinds = [0, 0];
        for (name, values) in &without.tensors {
            // What the optimiser moves has moments.
            if !without
                .tensors
                .contains_key(&format!("optimiser.first.{name}"))
            {
                continue;
            }
            let decays = values.shape.len() > 1;
            kinds[usize::from(decays)] += 1;
            assert_eq!(*values != with.tensors[name], decays, "{name}");
        }
        assert!(kinds[0] > 8 && kinds[1] > 4, "{kinds:?}");
    }
}

/// The first moments of a checkpoint after one step: a tenth of its gradient.
fn first_moments(checkpoint: &EmbeddingCheckpoint) -> Vec<f32> {
    let moments = checkpoint.tensors.iter();
    moments
        .filter(|(name, _)| name.starts_with("optimiser.first."))
        .flat_map(|(_, values)| values.data.clone())
        .collect()
}

fn norm(numbers: &[f32]) -> f64 {
    let squares = numbers.iter().map(|&x| f64::from(x) * f64::from(x));
    squares.sum::<f64>().sqrt()
}

#[test]
fn large_gradients_are_clipped() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let of = |max: &str| {
        let folder = dir.path().join(max);
        let set = format!("optimiser.max_grad_norm={max}");
        let settings = [
            "stages=[{epochs=1,height=32,width=64}]",
            "batch_size=18",
            &set,
        ];
        let checkpoint = trained(&data, &folder, &settings, None);
        let found = lines(&folder, "steps.jsonl")[0]["gradient_norm"].as_f64();
        (found.unwrap(), 10.0 * norm(&first_moments(&checkpoint)))
    };
    let (found, used) = of("0.0");
    assert!(
        (found / used - 1.0).abs() < 1e-3 && found > 0.01,
        "{found} {used}"
    );
    let (found, used) = of("0.01");
    assert!(
        found > 0.01 && (used / 0.01 - 1.0).abs() < 1e-3,
        "{found} {used}"
    );
    assert_eq!(of("1000.0"), of("0.0"), "smaller gradients are left");
}

#[test]
fn accumulated_batches_have_the_gradient_of_one_large_batch() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let of = |name: &str, settings: &[&str]| {
        let mut all = vec!["stages=[{epochs=1,height=32,width=64}]", "head.dropout=0.0"];
        all.extend(settings);
        trained(&data, &dir.path().join(name), &all, None)
    };
    // Batch normalisation sees a batch, not a step; that of the head is the same for repeated photos only,
    // so compare how far the gradients agree with those of half the photos.
    let whole = of("whole", &["batch_size=18", "frozen_norm=true"]);
    let halves = of(
        "halves",
        &["batch_size=9", "frozen_norm=true", "accumulate_steps=2"],
    );
    let apart = of("apart", &["batch_size=9", "frozen_norm=true"]);
    let steps = [&whole, &halves, &apart].map(|c| c.progress.steps);
    assert_eq!(steps, [1, 1, 2]);
    let (whole, halves) = (first_moments(&whole), first_moments(&halves));
    let dot: f64 = whole
        .iter()
        .zip(&halves)
        .map(|(a, b)| f64::from(a * b))
        .sum();
    let cosine = dot / (norm(&whole) * norm(&halves));
    let ratio = norm(&halves) / norm(&whole);
    assert!(
        cosine > 0.8 && (0.5..2.0).contains(&ratio),
        "{cosine} {ratio}"
    );
}

#[test]
fn every_step_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let settings = [
        "stages=[{epochs=2,height=32,width=64}]",
        "accumulate_steps=2",
    ];
    let folder = dir.path().join("run");
    trained(&data, &folder, &settings, Some(1));
    let checkpoint = trained(&data, &folder, &settings, None);
    let steps = lines(&folder, "steps.jsonl");
    // Three batches of six photos are a step of two batches and one of one.
    let numbers: Vec<_> = steps.iter().map(|s| s["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let number = |step: &serde_json::Value, key: &str| step[key].as_f64().unwrap();
    let optimiser = &checkpoint.recipe.optimiser;
    for (i, step) in steps.iter().enumerate() {
        let factor = optimiser.schedule(1, 4).lr_factor(i as u64);
        for (key, peak) in [
            ("backbone_lr", optimiser.backbone_lr),
            ("head_lr", optimiser.head_lr),
            ("loss_lr", optimiser.loss_lr),
        ] {
            assert!((number(step, key) - peak * factor).abs() < 1e-12, "{step}");
        }
        assert_eq!(step["epoch"], 1 + i / 2);
        assert!(number(step, "gradient_norm") > 0.0 && number(step, "seconds") > 0.0);
    }
    let epoch = &lines(&folder, "metrics.jsonl")[1];
    let loss = (2.0 * number(&steps[2], "loss") + number(&steps[3], "loss")) / 3.0;
    assert!((number(epoch, "loss") - loss).abs() < 1e-9);
    let trained: Vec<f32> = checkpoint
        .tensors
        .iter()
        .filter(|(name, _)| {
            checkpoint
                .tensors
                .contains_key(&format!("optimiser.first.{name}"))
        })
        .flat_map(|(_, values)| values.data.clone())
        .collect();
    let parameters = number(&steps[3], "parameter_norm");
    assert!((parameters / norm(&trained) - 1.0).abs() < 1e-5);
    // One event file per session, each with its version, start, two steps and an epoch.
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("events.out.tfevents."))
        .collect();
    files.sort();
    assert_eq!(files.len(), 2);
    for file in files {
        let bytes = std::fs::read(file).unwrap();
        let (mut at, mut records) = (0, vec![]);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            records.push(String::from_utf8_lossy(&bytes[at + 12..][..length]).into_owned());
            at += length + 16;
        }
        assert_eq!(records.len(), 5);
        assert!(records[0].ends_with("brain.Event:2"));
        assert!(records[2].contains("train/loss") && records[3].contains("train/gradient_norm"));
        assert!(records[4].contains("epoch/loss"));
    }
}

#[test]
fn validation_runs_at_the_size_of_the_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 30, 3);
    let settings = [
        "stages=[{epochs=1,height=32,width=32},{epochs=1,height=32,width=96}]",
        "validation_identities=24",
        "head.dimension=8",
    ];
    let folder = dir.path().join("run");
    let mut at_other_sizes = vec![];
    for (epoch, width) in [(1, 32), (2, 96)] {
        let mut checkpoint = trained(&data, &folder, &settings, Some(epoch));
        let found = lines(&folder, "metrics.jsonl")[epoch - 1]["validation_map_at_5"].as_f64();
        let mut at = |width: u32| {
            checkpoint.recipe.stages[1].width = width;
            validated(&data, &checkpoint, false)
        };
        assert!((found.unwrap() - at(width)).abs() < 1e-9, "epoch {epoch}");
        at_other_sizes.push((at(32) - at(96)).abs());
    }
    assert!(
        at_other_sizes[0] > 1e-9,
        "sizes make no difference: the test shows nothing"
    );
}
