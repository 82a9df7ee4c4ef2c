//! Training and export on small synthetic pictures (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod stripes;

use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use flukewatch_network::head::Head;
use flukewatch_network::weights::{Values, Weights};
use flukewatch_network::{Backbone, Network, Pooling, Role};
use flukewatch_onnx::export::{float_model, int8_model};
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::job::Outcome;
use flukewatch_train::embedding::network::{EmbeddingPart, NetworkOptions, TorchNetwork};
use flukewatch_train::embedding::run::run;
use flukewatch_train::trainer::error::TrainError;
use ndarray::Array3;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use stripes::{job, stripes};
use tch::Tensor;

const MARGIN: [&str; 2] = [
    "sampler={kind=\"pk\",photos_per_identity=3}",
    "loss={kind=\"margin\",alpha=0.2,beta=1.2,learn_beta=true}",
];

/// Divided, averaged, with quantisation-aware training at the end: every kind of state in a
/// checkpoint.
const DIVIDED: [&str; 5] = [
    "stages=[{epochs=4,height=32,width=64}]",
    "divide={learners=4,cluster_every_n_epochs=1,whole_epochs=2,single_epochs=1}",
    "average={kind=\"ema\",decay=0.9}",
    "qat_epochs=2",
    "workers=2",
];

/// Slices trained on mixed batches, identities kept together.
const MIXED: [&str; 2] = [
    "stages=[{epochs=3,height=32,width=64}]",
    "divide={learners=4,cluster_every_n_epochs=1,whole_epochs=1,batches=\"mixed\",cluster_unit=\"identity\"}",
];

/// Two batches per step, the last step of an epoch has one; gradients are clipped, and the learners of a
/// step differ.
const ACCUMULATED: [&str; 4] = [
    "stages=[{epochs=4,height=32,width=64}]",
    "accumulate_steps=2",
    "optimiser.max_grad_norm=0.5",
    "divide={learners=2,cluster_every_n_epochs=1,whole_epochs=1}",
];

#[test]
fn a_resumed_run_equals_an_uninterrupted_one() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    for (name, overrides) in [
        ("plain", &[][..]),
        ("margin", &MARGIN),
        ("divided", &DIVIDED),
        ("mixed", &MIXED),
        ("accumulated", &ACCUMULATED),
    ] {
        let at = |part: &str| dir.path().join(format!("{name}-{part}"));
        let whole = run(&job(data.clone(), &at("whole"), overrides)).unwrap();
        // Cut after every step: at the end of an epoch and in the middle of one alike.
        let cut = at("cut");
        let mut cuts = 0;
        let resumed = loop {
            let last = EmbeddingCheckpoint::read(&cut.join("checkpoint.safetensors"))
                .map_or(0, |c| c.progress.steps);
            let mut job = job(data.clone(), &cut, overrides);
            job.stop = Box::new(move |steps| steps > last);
            match run(&job).unwrap() {
                Outcome::Interrupted(_) => cuts += 1,
                outcome => break outcome,
            }
            assert!(cuts < 100, "the run does not end");
        };
        assert!(cuts >= 5, "{name}: only {cuts} interruptions");
        let (whole, resumed) = (
            EmbeddingCheckpoint::read(whole.checkpoint()).unwrap(),
            EmbeddingCheckpoint::read(resumed.checkpoint()).unwrap(),
        );
        assert_eq!(whole.progress.epochs, resumed.progress.epochs);
        assert_eq!(whole.progress.steps, resumed.progress.steps);
        assert!(
            whole.tensors.keys().eq(resumed.tensors.keys()),
            "{name}: different tensors"
        );
        for (tensor, values) in &whole.tensors {
            assert!(
                resumed.tensors[tensor] == *values,
                "{name}: {tensor} differs"
            );
        }
    }
}

#[test]
fn a_run_can_be_resumed_after_an_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let whole = run(&job(data.clone(), &dir.path().join("whole"), &[])).unwrap();
    let mut cut = job(data, &dir.path().join("cut"), &[]);
    cut.until_epoch = Some(1);
    run(&cut).unwrap();
    cut.until_epoch = None;
    let resumed = run(&cut).unwrap();
    let tensors = |o: &Outcome| EmbeddingCheckpoint::read(o.checkpoint()).unwrap().tensors;
    assert!(tensors(&whole) == tensors(&resumed));
}

/// The slices that each step of a run with four learners updated.
fn updated(divide: &str) -> Vec<Vec<usize>> {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 8, 4);
    let folder = dir.path().join("run");
    let settings = [
        "stages=[{epochs=2,height=32,width=64}]",
        divide,
        "optimiser.weight_decay=0.1",
    ];
    let mut before: Option<EmbeddingCheckpoint> = None;
    let mut updated = vec![];
    loop {
        let last = before.as_ref().map_or(0, |c| c.progress.steps);
        let mut job = job(data.clone(), &folder, &settings);
        job.stop = Box::new(move |steps| steps > last);
        let outcome = run(&job).unwrap();
        let after = EmbeddingCheckpoint::read(outcome.checkpoint()).unwrap();
        if let Some(before) = &before {
            if after.progress.steps == before.progress.steps {
                break;
            }
            // Everything with a slice's number: its rows of the last layer, its loss, and their
            // moments and counters.
            let moved = |k: usize| {
                let rows = 16 / 4 * (1280 + 1);
                let of_slice = |c: &EmbeddingCheckpoint| -> Vec<f32> {
                    let weight = &c.tensors["embedding.linear.weight"].data;
                    let bias = &c.tensors["embedding.linear.bias"].data;
                    let mut all = weight[k * 4 * 1280..(k + 1) * 4 * 1280].to_vec();
                    all.extend(&bias[k * 4..(k + 1) * 4]);
                    assert_eq!(all.len(), rows);
                    for (name, values) in &c.tensors {
                        let own = [
                            format!("weight.{k}"),
                            format!("bias.{k}"),
                            format!("loss.{k}.centres"),
                        ];
                        if own.iter().any(|end| name.ends_with(end)) {
                            all.extend(&values.data);
                        }
                    }
                    all
                };
                let (a, b) = (of_slice(before), of_slice(&after));
                assert!(a.len() > 3 * rows, "moments and centres are missing");
                a != b
            };
            updated.push((0..4).filter(|&k| moved(k)).collect());
        }
        before = Some(after);
        if outcome != Outcome::Interrupted(outcome.checkpoint().to_owned()) {
            break;
        }
    }
    updated
}

#[test]
fn a_learners_step_updates_its_slice_and_no_other() {
    let updated = updated("divide={learners=4,cluster_every_n_epochs=1}");
    assert!(updated.iter().all(|m| m.len() == 1), "{updated:?}");
    assert!(updated.iter().any(|m| *m != updated[0]), "{updated:?}");
}

#[test]
fn a_mixed_batch_updates_the_slices_of_its_photos() {
    let updated = updated(
        "divide={learners=4,cluster_every_n_epochs=1,batches=\"mixed\",cluster_unit=\"identity\"}",
    );
    assert!(updated.iter().all(|m| !m.is_empty()), "{updated:?}");
    assert!(updated.iter().any(|m| m.len() > 1), "{updated:?}");
    assert!(updated.iter().any(|m| m.len() < 4), "{updated:?}");
}

#[test]
fn clusters_keep_a_history() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    run(&job(stripes(dir.path(), 8, 4), &folder, &DIVIDED)).unwrap();
    let history = std::fs::read_to_string(folder.join("clusters.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = history
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "one line per clustering");
    for line in &lines {
        let sizes = line["sizes"].as_array().unwrap();
        assert_eq!(sizes.len(), 4);
        assert_eq!(sizes.iter().map(|s| s.as_u64().unwrap()).sum::<u64>(), 32);
    }
    assert!(lines[0]["moved"].is_null() && lines[1]["moved"].as_f64().unwrap() <= 1.0);
}

#[test]
fn every_kind_of_training_ends_with_finite_weights() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let ways: [&[&str]; 6] = [
        &["average={kind=\"swa\",epochs=2}"],
        &["frozen_norm=true"],
        &["precision=\"bf16\""],
        &["frozen_blocks=none", "head.pooling=\"gem\"", "qat_epochs=1"],
        &["divide={learners=2,cluster_by=\"features\"}"],
        &["colour=\"rgb\"", "fit=\"letterbox\"", "backbone=resnet18"],
    ];
    for (i, way) in ways.iter().enumerate() {
        let outcome = run(&job(data.clone(), &dir.path().join(i.to_string()), way)).unwrap();
        let tensors = EmbeddingCheckpoint::read(outcome.checkpoint())
            .unwrap()
            .for_export()
            .tensors;
        assert!(
            tensors
                .values()
                .all(|v| v.data.iter().all(|x| x.is_finite())),
            "{way:?}"
        );
        assert!(
            tensors.keys().all(|n| !n.starts_with("average.")),
            "{way:?}"
        );
    }
}

#[test]
fn frozen_statistics_stay_and_averages_differ_from_the_last_weights() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 3);
    let tensors = |name: &str, way: &[&str]| {
        let outcome = run(&job(data.clone(), &dir.path().join(name), way)).unwrap();
        EmbeddingCheckpoint::read(outcome.checkpoint())
            .unwrap()
            .tensors
    };
    let frozen = tensors("frozen", &["frozen_norm=true"]);
    let free = tensors("free", &[]);
    let statistics = "_blocks.9._bn1.running_mean";
    assert!(frozen[statistics].data.iter().all(|v| *v == 0.0));
    assert!(free[statistics].data.iter().any(|v| *v != 0.0));
    let averaged = tensors("ema", &["average={kind=\"ema\",decay=0.9}"]);
    let name = "embedding.linear.weight";
    assert_ne!(averaged[name], averaged[&format!("average.{name}")]);
}

#[test]
fn it_stops_early_and_keeps_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run");
    let settings = [
        "stages=[{epochs=30,height=32,width=64}]",
        "validation_identities=3",
        "patience=2",
        // No step changes the weights, so that the second epoch is not better than the first.
        "optimiser={backbone_lr=0.0,head_lr=0.0,loss_lr=0.0}",
        "frozen_norm=true",
        "frozen_blocks=16",
    ];
    let outcome = run(&job(stripes(dir.path(), 9, 3), &folder, &settings)).unwrap();
    assert_eq!(
        outcome,
        Outcome::StoppedEarly(folder.join("best.safetensors"))
    );
    let best = EmbeddingCheckpoint::read(outcome.checkpoint()).unwrap();
    let last = EmbeddingCheckpoint::read(&folder.join("checkpoint.safetensors")).unwrap();
    let (at, stopped) = (best.progress.epochs, last.progress.epochs);
    assert_eq!(stopped, at + 2, "{at} {stopped}");
    assert_eq!(
        EmbeddingCheckpoint::find(&folder),
        folder.join("best.safetensors")
    );
}

#[test]
fn a_loss_that_is_not_finite_names_the_batch() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["optimiser.head_lr=1e38", "optimiser.warm_up_fraction=0.0"];
    let error = run(&job(
        stripes(dir.path(), 6, 3),
        &dir.path().join("run"),
        &settings,
    ))
    .unwrap_err();
    let TrainError::NotFinite { photos, step, .. } = &error else {
        panic!("{error}")
    };
    assert!(*step >= 2 && photos.len() == 6, "{error}");
    assert!(photos.iter().all(|p| p.ends_with(".png")));
}

#[test]
fn a_run_is_resumed_only_with_its_own_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 4, 3);
    run(&job(data.clone(), &dir.path().join("run"), &[])).unwrap();
    let error = run(&job(data, &dir.path().join("run"), &["seed=5"])).unwrap_err();
    assert!(
        matches!(&error, TrainError::RecipeMismatch { reason, .. } if reason == "seed was 4"),
        "{error}"
    );
}

#[test]
fn it_learns_to_distinguish_stripes() {
    let dir = tempfile::tempdir().unwrap();
    let data = stripes(dir.path(), 6, 4);
    let settings = [
        "stages=[{epochs=12,height=32,width=64}]",
        "backbone=resnet18",
        "frozen_blocks=0",
        "mirror_as_new_identity=false",
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
fn too_few_whales_or_pairs_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let error = run(&job(stripes(dir.path(), 1, 3), &dir.path().join("a"), &[])).unwrap_err();
    assert!(matches!(error, TrainError::TooFewPhotos(_)), "{error}");
    let single = stripes(dir.path(), 5, 1);
    let error = run(&job(single.clone(), &dir.path().join("b"), &MARGIN))
        .unwrap_err()
        .to_string();
    assert!(error.contains("sampler.kind = \"shuffled\""), "{error}");
    run(&job(single, &dir.path().join("c"), &["batch_size=5"])).unwrap();
}

/// Weights with statistics other than the initial ones, so that folding is tested.
fn random_weights(network: &Network) -> Weights {
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
        (Backbone::EfficientnetLite1, Pooling::Gem),
        (Backbone::EfficientnetLite2, Pooling::Gem),
        (Backbone::MobilenetV3Large, Pooling::Gem),
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
        let weights = random_weights(&network);
        let torch = TorchNetwork::new(network.clone(), &weights, NetworkOptions::default());
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let photos: Vec<Array3<f32>> = (0..4)
            .map(|_| Array3::from_shape_fn((1, 64, 96), |_| rng.random_range(-1.0..1.0f32)))
            .collect();
        let float = float_model(&network, &weights, 64, 96).unwrap();
        let int8 = int8_model(&network, &weights, 64, 96, &photos).unwrap();
        // Squeeze-and-excitation, more than a third of MobileNetV3-Large without its classifier,
        // stays in float.
        let share = match backbone {
            Backbone::MobilenetV3Large => 0.66,
            // Most of its few blocks stay in float.
            Backbone::Tiny => 0.6,
            _ => 0.33,
        };
        assert!(
            (int8.len() as f64) < share * float.len() as f64,
            "{backbone}: {} of {} bytes",
            int8.len(),
            float.len()
        );
        let mut plain = TractEngine::load(&float, TractForm::Dequantised).unwrap();
        let mut stripped = TractEngine::load(&int8, TractForm::Dequantised).unwrap();
        let mut quantised = TractEngine::load(&int8, TractForm::AsIs).unwrap();
        for photo in &photos {
            let numbers: Vec<f32> = photo.iter().copied().collect();
            let image = Tensor::from_slice(&numbers).reshape([1, 1, 64, 96]);
            let expected: Vec<f32> = tch::no_grad(|| torch.embed(&image, EmbeddingPart::Whole))
                .flatten(0, 1)
                .try_into()
                .unwrap();
            let f32_cosine = cosine(&plain.run(photo.view()).unwrap(), &expected);
            assert!(f32_cosine > 0.99999, "{backbone} {pooling:?}: {f32_cosine}");
            // Random weights quantise badly; for the trained model tolerances on photos are
            // tighter. Hard-swish and gates propagate more of the error than ReLU6.
            let least = match backbone {
                Backbone::MobilenetV3Large => 0.9,
                _ => 0.97,
            };
            for engine in [&mut stripped, &mut quantised] {
                let c = cosine(&engine.run(photo.view()).unwrap(), &expected);
                assert!(c > least, "{backbone} {pooling:?}, {}: {c}", engine.name());
            }
        }
    }
}

#[test]
fn a_divided_embedding_is_exported_slice_by_slice() {
    let head = Head {
        pooling: Pooling::Average,
        dropout: 0.0,
        dimension: 64,
    };
    let network = Network::new(Backbone::EfficientnetLite0, 1, &head).in_slices(4);
    let weights = random_weights(&network);
    let options = NetworkOptions {
        learners: 4,
        ..NetworkOptions::default()
    };
    let torch = TorchNetwork::new(network.clone(), &weights, options);
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let photo = Array3::from_shape_fn((1, 32, 64), |_| rng.random_range(-1.0..1.0f32));
    let model = float_model(&network, &weights, 32, 64).unwrap();
    let got = TractEngine::load(&model, TractForm::Dequantised)
        .unwrap()
        .run(photo.view())
        .unwrap();
    let numbers: Vec<f32> = photo.iter().copied().collect();
    let image = Tensor::from_slice(&numbers).reshape([1, 1, 32, 64]);
    let of = |part| -> Vec<f32> {
        tch::no_grad(|| torch.embed(&image, part))
            .flatten(0, 1)
            .try_into()
            .unwrap()
    };
    assert!(cosine(&got, &of(EmbeddingPart::Slices)) > 0.99999);
    for slice in got.chunks(16) {
        let length = slice.iter().map(|v| v * v).sum::<f32>();
        assert!((length - 0.25).abs() < 1e-4, "{length}");
    }
    // A learner's own embedding is its slice, at length 1.
    let own = of(EmbeddingPart::Learner(2));
    assert!(
        own.iter()
            .zip(&got[32..48])
            .all(|(a, b)| (a - 2.0 * b).abs() < 1e-3)
    );
}
