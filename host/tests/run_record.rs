//! Stored splits: what a run records, when it is resumed, and what export uses (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::{Bundle, Precision};
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::sha256::sha256_hex;
use flukewatch_dataset::Dataset;
use flukewatch_export::embedding::{ExportSettings, export};
use flukewatch_synth::characters::Characters;
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use flukewatch_train::embedding::job::{Job, Outcome, Provenance};
use flukewatch_train::embedding::recipe::Recipe;
use flukewatch_train::embedding::run::run;
use flukewatch_train::embedding::run_record::{RunRecord, recipe_sha256};
use flukewatch_train::embedding::split::{SplitError, SplitSource, join_splits};
use flukewatch_train::trainer::device_choice::DeviceChoice;
use flukewatch_train::trainer::error::TrainError;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder with drawn characters in `photos/`, the table `photos.csv`, and runs.
struct Case {
    folder: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let set = Characters {
            seed: 5,
            count: 20,
            drawings: 4..=4,
        };
        set.write(&folder.path().join("photos")).unwrap();
        let photos = Dataset::open(&folder.path().join("photos"), None)
            .unwrap()
            .photos;
        let lines: Vec<String> = photos
            .iter()
            .map(|p| format!("{},{}", p.name, p.whale.as_ref().unwrap()))
            .collect();
        let case = Self {
            folder,
            clock: Arc::new(ManualClock::new(Timestamp(0))),
        };
        case.write_table("image,identity", &lines);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_table(&self, header: &str, lines: &[String]) {
        let text = format!("{header}\n{}\n", lines.join("\n"));
        fs::write(self.path("photos.csv"), text).unwrap();
    }

    /// The lines of the table without its header.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("photos.csv")).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    fn dataset(&self) -> Dataset {
        Dataset::open(&self.path("photos.csv"), None).unwrap()
    }

    fn recipe(&self, overrides: &[&str]) -> Recipe {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/known-ground.toml");
        let short = [
            "stages=[{epochs=2,height=32,width=32}]",
            "validation_identities=8",
        ];
        let overrides: Vec<String> = short.iter().chain(overrides).map(|s| (*s).into()).collect();
        Recipe::read(None, Some(&path), &overrides).unwrap()
    }

    fn train(&self, until_epoch: Option<usize>, overrides: &[&str]) -> Result<Outcome, TrainError> {
        run(&Job {
            recipe: self.recipe(overrides),
            dataset: self.dataset(),
            validation: None,
            weights: None,
            folder: self.path("run"),
            device: DeviceChoice::Cpu,
            crops: None,
            until_epoch,
            stop: Box::new(|_| false),
            quiet: true,
            provenance: Provenance {
                clock: self.clock.clone(),
                revision: Some("0123abcd".into()),
            },
        })
    }

    fn record(&self) -> RunRecord {
        RunRecord::read(&self.path("run")).unwrap().unwrap()
    }

    fn export(&self, record: Option<&RunRecord>) -> Bundle {
        let checkpoint = EmbeddingCheckpoint::read(&self.path("run/checkpoint.safetensors"));
        let settings = ExportSettings {
            name: "test".into(),
            precision: Precision::F32,
            plain: true,
            card: None,
        };
        export(
            &checkpoint.unwrap().for_export(),
            record,
            &self.dataset(),
            &settings,
        )
        .unwrap()
    }
}

#[test]
fn a_run_records_its_split_and_its_sessions() {
    let case = Case::new();
    case.train(Some(1), &[]).unwrap();
    let table = fs::read(case.path("photos.csv")).unwrap();
    let first = case.record();
    assert_eq!(first.table.sha256, sha256_hex(&table));
    assert_eq!((first.table.photos, first.table.whales), (80, 20));
    assert_eq!(
        (first.seed, first.validation_photos()),
        (case.recipe(&[]).seed, 32)
    );
    let whales = |identities: &[_]| -> BTreeSet<String> {
        identities
            .iter()
            .map(|i: &flukewatch_train::embedding::run_record::IdentityRecord| i.whale.clone())
            .collect()
    };
    let (train, validation) = (whales(&first.split.train), whales(&first.split.validation));
    assert!(train.is_disjoint(&validation));
    assert_eq!((train.len(), validation.len()), (12, 8));
    let [session] = &first.sessions[..] else {
        panic!("{:?}", first.sessions);
    };
    assert_eq!(session.started, "1970-01-01T00:00:00.000Z");
    assert_eq!(session.ended.as_deref(), Some("1970-01-01T00:00:00.000Z"));
    assert_eq!(session.revision.as_deref(), Some("0123abcd"));
    assert_eq!(session.recipe_sha256, recipe_sha256(&case.recipe(&[])));
    assert!(!session.libraries["flukewatch"].is_empty());
    assert!(session.device.contains("CPU"), "{session:?}");

    case.clock.advance(60_000);
    case.train(None, &[]).unwrap();
    let second = case.record();
    assert_eq!((&second.split, &second.table), (&first.split, &first.table));
    assert_eq!(second.sessions[0], first.sessions[0]);
    assert_eq!(second.sessions[1].started, "1970-01-01T00:01:00.000Z");
}

/// The reason why a run is not resumed.
fn mismatch(outcome: Result<Outcome, TrainError>) -> String {
    match outcome {
        Err(TrainError::TableMismatch { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_is_resumed_only_with_its_table() {
    let case = Case::new();
    case.train(Some(1), &[]).unwrap();
    let checkpoint = fs::read(case.path("run/checkpoint.safetensors")).unwrap();
    let (lines, record) = (case.lines(), case.record());
    let resumed_with = |header: &str, lines: &[String]| {
        case.write_table(header, lines);
        mismatch(case.train(None, &[]))
    };

    // As many whales, one under another name: until now everybody's centre got another name.
    let whale = case.dataset().photos[0].whale.clone().unwrap();
    let renamed: Vec<String> = lines
        .iter()
        .map(|line| line.replace(&format!(",{whale}"), ",Renamed"))
        .collect();
    let reason = resumed_with("image,identity", &renamed);
    assert!(
        reason.contains(&format!("1 whales are missing (e.g. {whale})")),
        "{reason}"
    );
    assert!(
        reason.contains("1 whales are new (e.g. Renamed)"),
        "{reason}"
    );

    let mut sorted = lines.clone();
    sorted.reverse();
    let reason = resumed_with("image,identity", &sorted);
    assert!(
        reason.contains("the photos are in another order"),
        "{reason}"
    );

    let more: Vec<String> = lines.iter().map(|line| format!("{line},x")).collect();
    let reason = resumed_with("image,identity,comment", &more);
    assert!(reason.starts_with("the table's SHA-256 was "), "{reason}");

    // A setting that would draw another split is a difference of the recipe, not of the table.
    case.write_table("image,identity", &lines);
    let error = case.train(None, &["validation_identities=3"]).unwrap_err();
    assert!(
        matches!(error, TrainError::RecipeMismatch { .. }),
        "{error}"
    );

    // Nothing was changed by any of these.
    assert_eq!(case.record(), record);
    assert_eq!(
        fs::read(case.path("run/checkpoint.safetensors")).unwrap(),
        checkpoint
    );
    case.train(None, &[]).unwrap();

    fs::remove_file(case.path("run/run.json")).unwrap();
    let error = case.train(None, &[]).unwrap_err();
    assert!(matches!(error, TrainError::NoRecord { .. }), "{error}");
}

#[test]
fn export_uses_the_stored_split() {
    let case = Case::new();
    case.train(None, &[]).unwrap();
    let record = case.record();
    let bundle = case.export(Some(&record));
    assert_eq!(
        bundle.decision.fitted_on,
        "8 held-out identities of training"
    );

    // With one whale more, the seed would draw other whales, most of them trained on.
    let photo = case.path("photos/More");
    fs::create_dir(&photo).unwrap();
    let mut lines = case.lines();
    for i in 0..2u8 {
        let picture = image::RgbImage::from_pixel(32, 32, image::Rgb([100 + i, 9, 200]));
        picture.save(photo.join(format!("{i}.png"))).unwrap();
        lines.insert(0, format!("More/{i}.png,0-More"));
    }
    case.write_table("image,identity", &lines);
    assert_eq!(case.export(Some(&record)).decision, bundle.decision);
    assert_eq!(case.export(None).decision, DecisionRule::unfitted());
}

#[test]
fn a_table_s_splits_are_used() {
    let case = Case::new();
    let whales: BTreeSet<String> = case
        .dataset()
        .by_whale()
        .into_keys()
        .map(str::to_owned)
        .collect();
    let validation: BTreeSet<String> = whales.iter().take(3).cloned().collect();
    let job = |validation: &BTreeSet<String>| Job {
        recipe: case.recipe(&[]),
        dataset: case.dataset(),
        validation: Some(validation.clone()),
        weights: None,
        folder: case.path("run"),
        device: DeviceChoice::Cpu,
        crops: None,
        until_epoch: Some(1),
        stop: Box::new(|_| false),
        quiet: true,
        provenance: Provenance {
            clock: case.clock.clone(),
            revision: None,
        },
    };
    run(&job(&validation)).unwrap();
    let record = case.record();
    assert_eq!(record.split.source, SplitSource::Column);
    let stored: BTreeSet<String> = record
        .split
        .validation
        .iter()
        .map(|i| i.whale.clone())
        .collect();
    assert_eq!(stored, validation);
    assert_eq!(record.split.train.len(), 17);
}

#[test]
fn whales_and_pictures_are_in_one_split() {
    let case = Case::new();
    let all = case.dataset();
    let of = |from: usize, to: usize| Dataset {
        photos: all.photos[from..to].to_vec(),
        ..Dataset::default()
    };
    let mut train = of(0, 40);
    let whales = join_splits(&mut train, &of(40, 80)).unwrap();
    assert_eq!((whales.len(), train.photos.len()), (10, 80));

    let error = join_splits(&mut of(0, 42), &of(40, 80)).unwrap_err();
    assert!(
        matches!(error, SplitError::SameWhale { count: 1, .. }),
        "{error}"
    );
    let mut copied = of(40, 80);
    copied.photos[5].path.clone_from(&all.photos[7].path);
    let error = join_splits(&mut of(0, 40), &copied).unwrap_err();
    assert!(matches!(error, SplitError::SamePicture { .. }), "{error}");
    let mut unnamed = of(40, 80);
    for photo in &mut unnamed.photos {
        photo.whale = None;
    }
    let error = join_splits(&mut of(0, 40), &unnamed).unwrap_err();
    assert!(matches!(error, SplitError::NoValidation), "{error}");
}
