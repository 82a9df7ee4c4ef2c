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
fn the_paper_is_followed_as_its_code_has_it() {
    use crate::embedding::phase::{Phase, phase};
    let recipe = Recipe::read(Some("paper-dnc"), None, &[]).unwrap();
    let count = |of| (0..200).filter(|&e| phase(&recipe, e) == of).count();
    // Slices before epoch 190 * 8 / 19, one loader from epoch 190 on.
    let phases = [Phase::Divided, Phase::WholeByCluster, Phase::Whole];
    assert_eq!(phases.map(count), [80, 110, 10]);
    assert_eq!(recipe.optimiser.rule, OptimiserRule::Adam);
    let schedule = recipe.optimiser.schedule(200, 50);
    assert_eq!(
        [0, 5000, 9999].map(|step| schedule.lr_factor(step)),
        [1.0; 3]
    );
    assert_eq!(recipe.divide.cluster_by, ClusterBy::Features);
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
    let margin = [
        "sampler={kind=\"pk\",photos_per_identity=4}",
        "loss={kind=\"margin\"}",
        "divide={learners=4,batches=\"mixed\"}",
    ];
    rejected(&margin, "divide.batches");
    set(&margin[..2]).unwrap();
    set(&margin[2..]).unwrap();
}

#[test]
fn every_number_is_checked() {
    let invalid = |key: &str, value: &str| {
        let error = set(&[&format!("{key}={value}")]).unwrap_err();
        let RecipeError::Setting { place, setting } = &error else {
            panic!("{key}={value}: {error}");
        };
        assert_eq!(setting.key, key);
        assert_eq!(*place, format!("--set {key}={value}"));
        assert!(!setting.expected.is_empty());
    };
    for key in [
        "backbone_lr",
        "head_lr",
        "loss_lr",
        "weight_decay",
        "max_grad_norm",
        "warm_up_fraction",
    ] {
        for value in ["-1e-9", "nan", "inf"] {
            invalid(&format!("optimiser.{key}"), value);
        }
    }
    for (key, too_large) in [
        ("rotation", "181.0"),
        ("shear", "1.1"),
        ("scale", "1.0"),
        ("shift", "1.1"),
        ("perspective", "0.5"),
        ("contrast", "1.1"),
        ("blur", "1.1"),
        ("noise", "256.0"),
        ("erasing", "1.1"),
        ("flip", "1.1"),
        ("colour", "1.1"),
        ("reduction", "1.1"),
        ("jpeg", "1.1"),
    ] {
        for value in ["-0.01", "nan", "inf", too_large] {
            invalid(&format!("augmentation.{key}"), value);
        }
    }
    for key in ["padding", "save_minutes", "head.dropout"] {
        for value in ["-0.01", "nan", "inf"] {
            invalid(key, value);
        }
    }
    for (key, value) in [
        ("crop_area", "0.0"),
        ("crop_area", "1.1"),
        ("crop_aspect", "0.9"),
        ("crop_aspect", "nan"),
        ("reduced_width", "7"),
        ("flip", "0.5"),
    ] {
        invalid(&format!("augmentation.{key}"), value);
    }
    invalid("optimiser.momentum", "1.0");
    let step = |every: u32, factor: f32| {
        format!("{{kind=\"step\",every_epochs={every},factor={factor:?}}}")
    };
    let refused = |value: String, key: &str| {
        let error = Recipe::read(None, None, &[format!("optimiser.schedule={value}")]).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    };
    refused(step(0, 0.5), "optimiser.schedule.every_epochs");
    refused(step(5, 0.0), "optimiser.schedule.factor");
    refused(step(5, 1.5), "optimiser.schedule.factor");
    invalid("batch_size", "1");
    invalid("accumulate_steps", "0");
    invalid("head.dimension", "4");
    invalid("threads", "5000");
    invalid("divide.n_init", "0");
}

#[test]
fn an_invalid_value_is_named_with_its_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.toml");
    let text = "seed = 2\n[augmentation]\nblur = 0.1\nperspective = 0.5\n";
    std::fs::write(&path, text).unwrap();
    let error = Recipe::read(Some("quick"), Some(&path), &[]).unwrap_err();
    let message = error.to_string();
    let expected = format!(
        "{}:4: augmentation.perspective = 0.5: expected",
        path.display()
    );
    assert!(message.starts_with(&expected), "{message}");
    // The default of one setting may contradict what the preset or the command line sets.
    let of = |preset, set: &str| {
        let error = Recipe::read(preset, None, &[set.to_owned()]).unwrap_err();
        let RecipeError::Setting { place, setting } = error else {
            panic!("{error}");
        };
        (place, setting.key)
    };
    assert_eq!(
        of(None, "loss={kind=\"margin\"}"),
        ("default recipe".into(), "sampler.kind".into())
    );
    let (place, key) = of(Some("paper-dnc"), "batch_size=30");
    assert!(place.starts_with("preset paper-dnc:"), "{place}");
    assert_eq!(key, "sampler.photos_per_identity");
    std::fs::write(
        &path,
        "stages = [{ epochs = 1, height = 33, width = 64 }]\n",
    )
    .unwrap();
    let message = Recipe::read(None, Some(&path), &[])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("r.toml:1: stages.height = 33"),
        "{message}"
    );
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
