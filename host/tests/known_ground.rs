//! Known ground (feature `train`): every loss must teach a small network, within seconds, to tell drawings apart of made-up
//! characters that it never saw. A loss that is wrong, or a loop that does not hand it on, does not get there.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_host::dataset::{Dataset, LabelledPhoto};
use flukewatch_host::network::Network;
use flukewatch_host::network::weights::Weights;
use flukewatch_host::synth::characters::Characters;
use flukewatch_host::train::checkpoint::Checkpoint;
use flukewatch_host::train::forward::TorchNetwork;
use flukewatch_host::train::recipe::Recipe;
use flukewatch_host::train::run::{Job, run};
use flukewatch_host::train::{loader, validation};
use ndarray::Array3;
use std::path::Path;
use std::sync::LazyLock;
use tch::Device;

const SET: Characters = Characters {
    seed: 7,
    count: 200,
    drawings: 20..=20,
};
/// So many of the characters are learned, from so many drawings of each.
const LEARNED: (usize, usize) = (160, 12);
/// What the nearest pixels must not reach, or the ground would show nothing: as they are, and with brightness and contrast evened.
const PIXELS_AT_MOST: (f64, f64) = (0.4, 0.7);
/// What every loss must reach.
const AT_LEAST: f64 = 0.9;

/// For losses over pairs.
const PAIRS: &str = r#"sampler={kind="pk",photos_per_whale=4}"#;

/// A test for each line: a name, and settings over `recipes/known-ground.toml`.
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
    margin: [PAIRS, r#"loss={kind="margin",alpha=0.2,beta=1.2,learn_beta=true}"#];
}

/// Drawings to learn from, and drawings to be told apart afterwards.
struct Ground {
    learned: Dataset,
    /// Of learned characters, as many as are not learned.
    unseen_drawings: Dataset,
    unseen_characters: Dataset,
    /// Holds the files.
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
    /// Among drawings that were not learned from, of characters that were.
    unseen_drawings: f64,
    /// Among drawings of characters that were not learned from at all.
    unseen_characters: f64,
}

fn recipe(overrides: &[&str]) -> Recipe {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/known-ground.toml");
    let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
    Recipe::read(Some(&path), &overrides).unwrap()
}

/// Trains from scratch and tells what the network then finds.
fn reaches(name: &str, overrides: &[&str]) -> Found {
    let run_folder = tempfile::tempdir().unwrap();
    let checkpoint = run(&Job {
        recipe: recipe(overrides),
        dataset: GROUND.learned.clone(),
        weights: None,
        folder: run_folder.path().to_owned(),
        force_cpu: true,
        until_epoch: None,
        quiet: true,
    })
    .unwrap();
    let network = trained(&checkpoint);
    let recall = |dataset: &Dataset| {
        let preparation = recipe(overrides).preparation();
        let (drawings, characters) = prepared(dataset, overrides);
        let drawings: Vec<_> = drawings.iter().collect();
        validation::retrieve(&network, &drawings, &characters, &preparation)
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
    let checkpoint = Checkpoint::read(checkpoint).unwrap();
    let recipe = &checkpoint.recipe;
    let network = Network::new(recipe.backbone, 1, &recipe.head);
    TorchNetwork::new(network, &checkpoint.tensors, None, Device::Cpu, 0)
}

/// Drawings `[32, 32, 1] u8` as the network sees them, each with its character.
fn prepared(dataset: &Dataset, overrides: &[&str]) -> (Vec<Array3<u8>>, Vec<String>) {
    let photos: Vec<&LabelledPhoto> = dataset.photos.iter().collect();
    let drawings = loader::cache(&photos, &recipe(overrides).preparation(), || ()).unwrap();
    let characters = photos.iter().map(|p| p.whale.clone().unwrap()).collect();
    (drawings, characters)
}

/// R@1, leave one out, of what lies nearest by the numbers of `describe`.
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
        "{evened}: drawings of a character are not alike"
    );
}

/// The embedding must come from learning: the same network does not reach it untrained.
#[test]
fn a_network_that_never_learned_does_not_reach_it() {
    tch::set_num_threads(1);
    let recipe = recipe(&[]);
    let network = Network::new(recipe.backbone, 1, &recipe.head);
    let network = TorchNetwork::new(network, &Weights::new(), None, Device::Cpu, 1);
    let (drawings, characters) = prepared(&GROUND.unseen_characters, &[]);
    let drawings: Vec<_> = drawings.iter().collect();
    let found = validation::retrieve(&network, &drawings, &characters, &recipe.preparation());
    let found = found.unwrap().recall_at_1;
    eprintln!("not trained: {found}");
    assert!(found < PIXELS_AT_MOST.0, "{found}");
}
