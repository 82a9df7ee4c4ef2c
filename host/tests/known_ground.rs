//! End-to-end training on an easy data set (feature `train`): with every loss, a small network must
//! learn within seconds to distinguish unseen drawings of synthetic characters. A wrong loss, or a
//! loop that does not apply it, fails.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_dataset::{Dataset, LabelledPhoto};
use flukewatch_network::Network;
use flukewatch_network::weights::Weights;
use flukewatch_synth::characters::Characters;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::job::{Job, Provenance};
use flukewatch_train::embedding::network::{EmbeddingPart, NetworkOptions, TorchNetwork};
use flukewatch_train::embedding::recipe::Recipe;
use flukewatch_train::embedding::run::run;
use flukewatch_train::embedding::{batches, validation};
use flukewatch_train::trainer::device_choice::DeviceChoice;
use ndarray::Array3;
use std::path::Path;
use std::sync::LazyLock;

const SET: Characters = Characters {
    seed: 7,
    count: 200,
    drawings: 20..=20,
};
/// Number of characters in training, and of drawings of each.
const LEARNED: (usize, usize) = (160, 12);
/// Upper limits of R@1 by pixel distance, so that the task is not trivial: raw, and with normalised
/// brightness and contrast.
const PIXELS_AT_MOST: (f64, f64) = (0.4, 0.7);
/// Minimum R@1 with every loss.
const AT_LEAST: f64 = 0.9;

/// Sampler for losses over pairs.
const PAIRS: &str = r#"sampler={kind="pk",photos_per_identity=4}"#;

/// Schedule for losses that need more time.
const LONGER: &str = "stages=[{epochs=16,height=32,width=32}]";

/// Four learners for half of the time, then the whole embedding; with the longer schedule.
const DIVIDED: &str = "divide={learners=4,cluster_every_n_epochs=2,whole_epochs=8,single_epochs=2}";

/// One test per line: a name, and settings over `recipes/known-ground.toml`.
macro_rules! reaches {
    ($($name:ident: $settings:expr;)*) => {
        $(#[test]
        fn $name() {
            let found = reaches(stringify!($name), &$settings);
            assert!(found.unseen_characters > AT_LEAST && found.unseen_drawings > AT_LEAST, "{found:?}");
        })*
    };
}

reaches! {
    arcface: [];
    arcface_with_sub_centres: [r#"loss={kind="arcface",scale=16.0,margin=0.2,sub_centres=2}"#];
    softmax: [r#"loss={kind="softmax"}"#];
    proxy_nca: [r#"loss={kind="proxy-nca"}"#];
    proxy_anchor: [r#"loss={kind="proxy-anchor"}"#];
    margin: [PAIRS, r#"loss={kind="margin",alpha=0.2,beta=1.2,learn_beta=true}"#];
    triplet: [PAIRS, LONGER, r#"loss={kind="triplet"}"#];
    multi_similarity: [PAIRS, r#"loss={kind="multi-similarity"}"#];
    n_pair: [PAIRS, r#"loss={kind="n-pair"}"#];
    arcface_divided: [LONGER, DIVIDED];
    margin_divided: [PAIRS, LONGER, r#"loss={kind="margin"}"#, DIVIDED];
}

/// Drawings to train on, and drawings to test on.
struct Ground {
    learned: Dataset,
    /// Drawings of trained characters, as many characters as in `unseen_characters`.
    unseen_drawings: Dataset,
    unseen_characters: Dataset,
    /// Keeps the files until the tests end.
    _folder: tempfile::TempDir,
}

static GROUND: LazyLock<Ground> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    SET.write(&set).unwrap();
    let all = Dataset::open(&set, None).unwrap();
    let chosen = |choose: fn(usize, usize) -> bool| Dataset {
        photos: all
            .by_whale()
            .values()
            .enumerate()
            .flat_map(|(character, drawings)| {
                let chosen = drawings.iter().enumerate();
                chosen.filter(move |(drawing, _)| choose(character, *drawing))
            })
            .map(|(_, &at)| all.photos[at].clone())
            .collect(),
        ..Dataset::default()
    };
    Ground {
        learned: chosen(|character, drawing| character < LEARNED.0 && drawing < LEARNED.1),
        unseen_drawings: chosen(|character, drawing| {
            character < (SET.count as usize - LEARNED.0) && drawing >= LEARNED.1
        }),
        unseen_characters: chosen(|character, drawing| {
            character >= LEARNED.0 && drawing >= LEARNED.1
        }),
        _folder: folder,
    }
});

/// R@1, leave one out.
#[derive(Debug)]
struct Found {
    /// Among unseen drawings of trained characters.
    unseen_drawings: f64,
    /// Among drawings of unseen characters.
    unseen_characters: f64,
}

fn recipe(overrides: &[&str]) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/known-ground.toml");
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    Recipe::read(None, Some(&path), &overrides).unwrap()
}

/// Trains from scratch and measures the network's retrieval.
fn reaches(name: &str, overrides: &[&str]) -> Found {
    let run_folder = tempfile::tempdir().unwrap();
    let outcome = run(&Job {
        recipe: recipe(overrides),
        dataset: GROUND.learned.clone(),
        validation: None,
        weights: None,
        folder: run_folder.path().to_owned(),
        device: DeviceChoice::Cpu,
        crops: None,
        until_epoch: None,
        stop: Box::new(|_| false),
        quiet: true,
        provenance: Provenance {
            clock: std::sync::Arc::new(ManualClock::new(Timestamp(0))),
            revision: Some("a revision".into()),
        },
    })
    .unwrap();
    let network = trained(outcome.checkpoint());
    let recall = |dataset: &Dataset| {
        let preparation = recipe(overrides).preparation();
        let (drawings, characters) = prepared(dataset, overrides);
        let drawings: Vec<_> = drawings.iter().collect();
        validation::retrieve(
            &network,
            EmbeddingPart::Whole,
            &drawings,
            &characters,
            &preparation,
        )
        .unwrap()
        .recall_at_1
    };
    let found = Found {
        unseen_drawings: recall(&GROUND.unseen_drawings),
        unseen_characters: recall(&GROUND.unseen_characters),
    };
    eprintln!("{name}: {found:?}");
    found
}

fn trained(checkpoint: &Path) -> TorchNetwork {
    let checkpoint = EmbeddingCheckpoint::read(checkpoint).unwrap();
    let recipe = &checkpoint.recipe;
    let network = Network::new(recipe.backbone, 1, &recipe.head);
    TorchNetwork::new(network, &checkpoint.tensors, NetworkOptions::default())
}

/// Drawings `[32, 32, 1] u8` as the network gets them, each with its character.
fn prepared(dataset: &Dataset, overrides: &[&str]) -> (Vec<Array3<u8>>, Vec<String>) {
    let photos: Vec<&LabelledPhoto> = dataset.photos.iter().collect();
    let drawings = batches::decode(&photos, &recipe(overrides).preparation(), || ()).unwrap();
    let characters = photos.iter().map(|p| p.whale.clone().unwrap()).collect();
    (drawings, characters)
}

/// R@1, leave one out, by the nearest neighbour of the vectors that `describe` returns.
fn nearest(dataset: &Dataset, describe: fn(&[f32]) -> Vec<f32>) -> f64 {
    let (drawings, characters) = prepared(dataset, &[]);
    let described: Vec<Vec<f32>> = drawings
        .iter()
        .map(|d| describe(&d.iter().map(|&v| f32::from(v)).collect::<Vec<_>>()))
        .collect();
    let distance = |a: usize, b: usize| -> f32 {
        let pairs = described[a].iter().zip(&described[b]);
        pairs.map(|(x, y)| (x - y).powi(2)).sum()
    };
    let right = (0..described.len()).filter(|&query| {
        let others = (0..described.len()).filter(|&other| other != query);
        let found = others.min_by(|&a, &b| distance(query, a).total_cmp(&distance(query, b)));
        found.is_some_and(|found| characters[found] == characters[query])
    });
    right.count() as f64 / described.len() as f64
}

#[test]
fn pixels_do_not_reach_it() {
    let plain = nearest(&GROUND.unseen_characters, <[f32]>::to_vec);
    let evened = nearest(&GROUND.unseen_characters, |pixels| {
        let mean = pixels.iter().sum::<f32>() / pixels.len() as f32;
        let deviations = pixels.iter().map(|v| (v - mean).powi(2));
        let spread = deviations.sum::<f32>().sqrt();
        pixels.iter().map(|v| (v - mean) / spread).collect()
    });
    eprintln!("pixels: {plain}, evened {evened}");
    assert!(
        plain < PIXELS_AT_MOST.0 && evened < PIXELS_AT_MOST.1,
        "{plain}, evened {evened}"
    );
    assert!(
        evened > 0.2,
        "{evened}: drawings of a character are too different"
    );
}

/// The result must come from training: the untrained network does not reach it.
#[test]
fn an_untrained_network_does_not_reach_it() {
    tch::set_num_threads(1);
    let recipe = recipe(&[]);
    let network = Network::new(recipe.backbone, 1, &recipe.head);
    let network = TorchNetwork::new(network, &Weights::new(), NetworkOptions::default());
    let (drawings, characters) = prepared(&GROUND.unseen_characters, &[]);
    let drawings: Vec<_> = drawings.iter().collect();
    let found = validation::retrieve(
        &network,
        EmbeddingPart::Whole,
        &drawings,
        &characters,
        &recipe.preparation(),
    );
    let found = found.unwrap().recall_at_1;
    eprintln!("untrained: {found}");
    assert!(found < PIXELS_AT_MOST.0, "{found}");
}
