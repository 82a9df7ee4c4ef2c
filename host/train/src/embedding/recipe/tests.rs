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
    std::fs::write(&path, "batch_size = 64\n[head]\ndimension = 128\n").unwrap();
    let recipe = Recipe::read(
        None,
        Some(&path),
        &["head.dropout=0.5".into(), "backbone=resnet18".into()],
    )
    .unwrap();
    assert_eq!(
        (
            recipe.batch_size,
            recipe.head.dimension,
            recipe.head.dropout
        ),
        (64, 128, 0.5)
    );
    assert_eq!((recipe.backbone, recipe.seed), (Backbone::Resnet18, 1));
}

#[test]
fn another_kind_has_its_own_settings() {
    let recipe = set(&[
        "sampler={kind=\"pk\", photos_per_identity=4}",
        "loss={kind=\"margin\", alpha=0.2, beta=1.2, learn_beta=true}",
    ])
    .unwrap();
    assert_eq!(
        recipe.sampler,
        SamplerSettings::Pk {
            photos_per_identity: 4
        }
    );
    assert!(set(&["loss={kind=\"margin\", alpha=0.2, beta=1.2, learn_beta=true}"]).is_err());
}

#[test]
fn unknown_keys_and_invalid_sizes_are_rejected() {
    assert!(set(&["bach=3"]).unwrap_err().to_string().contains("bach"));
    assert!(
        set(&["stages=[{epochs=1, height=100, width=192}]"])
            .unwrap_err()
            .to_string()
            .contains("multiples of 32")
    );
    assert!(
        set(&["batch_size"])
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
fn every_preset_is_valid_and_states_its_purpose() {
    for preset in preset::ALL {
        let recipe = Recipe::read(Some(preset.name), None, &[]).unwrap();
        assert_ne!(recipe.epochs(), 0);
        assert!(preset.purpose().len() > 20, "{}", preset.name);
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
    std::fs::write(
        &path,
        "batch_size = 24\n[divide]\ncluster_every_n_epochs = 3\n",
    )
    .unwrap();
    let overrides = ["batch_size=40".to_owned()];
    let recipe = Recipe::read(Some("paper-dnc"), Some(&path), &overrides).unwrap();
    assert_eq!(
        (
            recipe.batch_size,
            recipe.divide.cluster_every_n_epochs,
            recipe.divide.learners
        ),
        (40, 3, 4)
    );
}

#[test]
fn contradicting_settings_are_rejected() {
    let rejected = |settings: &[&str], word: &str| {
        let error = set(settings).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    rejected(&["divide.learners=3"], "divide.learners");
    rejected(&["patience=2"], "validation_identities");
    rejected(&["qat_epochs=99"], "qat_epochs");
    rejected(&["average={kind=\"ema\", decay=1.0}"], "average.decay");
    rejected(&["average={kind=\"swa\", epochs=50}"], "average.epochs");
    rejected(&["workers=0"], "workers");
}

#[test]
fn nothing_frozen_is_written_as_none() {
    assert_eq!(set(&["frozen_blocks=none"]).unwrap().frozen_blocks, None);
    assert_eq!(set(&["frozen_blocks=0"]).unwrap().frozen_blocks, Some(0));
    let error = set(&["frozen_blocks=some"]).unwrap_err().to_string();
    assert!(error.contains("or \"none\""), "{error}");
    let recipe = set(&["frozen_blocks=none"]).unwrap();
    let json = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), recipe);
}
