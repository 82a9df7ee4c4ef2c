//! Reading and checking recipes.

use super::*;

fn set(overrides: &[&str]) -> Result<Recipe, RecipeError> {
    Recipe::read(
        None,
        None,
        &overrides
            .iter()
            .map(|s| (*s).to_owned())
            .collect::<Vec<_>>(),
    )
}

#[test]
fn what_is_left_out_keeps_its_default() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    std::fs::write(&path, "batch = 64\n[head]\ndimension = 128\n").unwrap();
    let recipe = Recipe::read(
        None,
        Some(&path),
        &["head.dropout=0.5".into(), "backbone=resnet18".into()],
    )
    .unwrap();
    assert_eq!(
        (recipe.batch, recipe.head.dimension, recipe.head.dropout),
        (64, 128, 0.5)
    );
    assert_eq!((recipe.backbone, recipe.seed), (Backbone::Resnet18, 1));
}

#[test]
fn another_kind_brings_its_own_settings() {
    let recipe = set(&[
        "sampler={kind=\"pk\", photos_per_whale=4}",
        "loss={kind=\"margin\", alpha=0.2, beta=1.2, learn_beta=true}",
    ])
    .unwrap();
    assert_eq!(
        recipe.sampler,
        SamplerChoice::Pk {
            photos_per_whale: 4
        }
    );
    assert!(set(&["loss={kind=\"margin\", alpha=0.2, beta=1.2, learn_beta=true}"]).is_err());
}

#[test]
fn unknown_keys_and_odd_sizes_are_refused() {
    assert!(set(&["bach=3"]).unwrap_err().to_string().contains("bach"));
    assert!(
        set(&["stages=[{epochs=1, height=100, width=192}]"])
            .unwrap_err()
            .to_string()
            .contains("multiples of 32")
    );
    assert!(
        set(&["batch"])
            .unwrap_err()
            .to_string()
            .contains("key=value")
    );
}

#[test]
fn stages_follow_each_other() {
    let recipe = Recipe::default();
    assert_eq!(
        (
            recipe.epochs(),
            recipe.stage(11).height,
            recipe.stage(12).height
        ),
        (20, 96, 128)
    );
}

#[test]
fn every_preset_reads_and_says_what_it_is_for() {
    for preset in preset::ALL {
        let recipe = Recipe::read(Some(preset.name), None, &[]).unwrap();
        assert_ne!(recipe.epochs(), 0);
        assert!(preset.about().len() > 20, "{}", preset.name);
    }
    let error = Recipe::read(Some("papr"), None, &[])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("'papr'") && error.contains("paper-dnc"),
        "{error}"
    );
}

#[test]
fn the_command_line_wins_over_the_file_and_the_file_over_the_preset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    std::fs::write(&path, "batch = 24\n[divide]\nevery = 3\n").unwrap();
    let overrides = ["batch=40".to_owned()];
    let recipe = Recipe::read(Some("paper-dnc"), Some(&path), &overrides).unwrap();
    assert_eq!(
        (recipe.batch, recipe.divide.every, recipe.divide.learners),
        (40, 3, 4)
    );
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let refused = |settings: &[&str], word: &str| {
        let error = set(settings).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    refused(&["divide.learners=3"], "divide.learners");
    refused(&["patience=2"], "validation_whales");
    refused(&["rounded_epochs=99"], "rounded_epochs");
    refused(&["average={kind=\"ema\", decay=1.0}"], "average.decay");
    refused(&["average={kind=\"swa\", epochs=50}"], "average.epochs");
    refused(&["workers=0"], "workers");
}

#[test]
fn nothing_frozen_has_a_word() {
    assert_eq!(set(&["frozen_blocks=none"]).unwrap().frozen_blocks, None);
    assert_eq!(set(&["frozen_blocks=0"]).unwrap().frozen_blocks, Some(0));
    let error = set(&["frozen_blocks=some"]).unwrap_err().to_string();
    assert!(error.contains("or \"none\""), "{error}");
    let recipe = set(&["frozen_blocks=none"]).unwrap();
    let json = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
}
