mod damage;
mod deliveries;
mod signatures;

use super::*;
use crate::catalogue::Enrolled;
use crate::decision::{Calibrator, Curve, RankingFeatures};
use crate::embedding::Embedding;
use crate::local_matching::{Descriptors, Layout, LocalScore};
use crate::prepare::{Colour, Fit};
use crate::whale_score::WhaleScore;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

fn preparation() -> Preparation {
    Preparation {
        height: 128,
        width: 256,
        colour: Colour::Grey,
        fit: Fit::Letterbox,
        padding: 0.05,
        mean: vec![127.0],
        std: vec![128.0],
    }
}

fn catalogue(dimension: usize) -> Catalogue {
    let mut catalogue = Catalogue::new(dimension);
    let entry = Enrolled {
        whale: "HW-1".into(),
        photo: "a.jpg".into(),
        source: "test".into(),
        ..Enrolled::default()
    };
    catalogue
        .enrol(
            entry,
            &Embedding::normalised((1..=dimension).map(|i| i as f32).collect()).unwrap(),
        )
        .unwrap();
    catalogue
}

fn rule(known_at: f32, new_below: f32) -> DecisionRule {
    DecisionRule::thresholds(known_at, new_below, "test")
}

fn info() -> ModelInfo {
    ModelInfo {
        architecture: "tiny".into(),
        precision: Precision::F32,
        opset: 17,
        trained_on: "test".into(),
    }
}

fn made(
    preparation: Preparation,
    views: Vec<View>,
    catalogue: Catalogue,
    rule: DecisionRule,
) -> Result<Bundle, BundleError> {
    let (name, created) = ("humpback", "2026-11-23T16:20:00.000Z");
    let card = "# Card\nWhat it is.\n".to_owned();
    Bundle::new(NewBundle {
        name,
        created,
        preparation,
        views,
        model_info: info(),
        model: b"a model".to_vec(),
        catalogue,
        decision: rule,
        card,
    })
}

fn bundle() -> Bundle {
    made(
        preparation(),
        vec![View::Plain, View::Mirrored],
        catalogue(8),
        rule(0.6, 0.4),
    )
    .unwrap()
}

/// A bundle saved as folder and as file.
fn saved() -> (TempDir, [PathBuf; 2]) {
    let dir = TempDir::new().unwrap();
    let paths = [
        dir.path().join("whales"),
        dir.path().join("whales.flukebundle"),
    ];
    for path in &paths {
        bundle().save(path).unwrap();
    }
    (dir, paths)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Rewrites the manifest of a bundle in a folder.
fn edit(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = folder.join(MANIFEST_FILE);
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// The error of opening a folder with a changed manifest.
fn open_error(change: impl FnOnce(&mut serde_json::Value)) -> BundleError {
    let (_dir, [folder, _]) = saved();
    edit(&folder, change);
    Bundle::open(&folder).unwrap_err()
}

#[test]
fn folder_and_file_hold_the_same_bundle() {
    let (_dir, paths) = saved();
    for path in &paths {
        let opened = Bundle::open(path).unwrap();
        assert_eq!(opened, bundle());
        assert_eq!(opened.id(), bundle().id());
    }
    assert_eq!(
        names(&paths[0]),
        [
            "CARD.md",
            "catalogue.bin",
            "decision.json",
            "manifest.json",
            "model.onnx"
        ]
    );
    assert_eq!(
        names(paths[0].parent().unwrap()),
        ["whales", "whales.flukebundle"],
        "no temporary files are left"
    );
}

#[test]
fn golden_embeddings_round_trip_and_survive_another_catalogue() {
    let golden = |dimension: usize| {
        let row = (1..=dimension).map(|i| i as f32).collect();
        vec![Embedding::normalised(row).unwrap(); 2]
    };
    let with = bundle().with_golden(golden(8)).unwrap();
    assert_ne!(with.id(), bundle().id());
    let dir = TempDir::new().unwrap();
    for name in ["whales", "whales.flukebundle"] {
        let path = dir.path().join(name);
        with.save(&path).unwrap();
        let opened = Bundle::open(&path).unwrap();
        assert_eq!(opened, with);
        // Other whales, the same model.
        let other = opened.with_catalogue(Catalogue::new(8), rule(0.7, 0.2));
        assert_eq!(other.unwrap().golden, golden(8));
        // Overwritten by a bundle without golden embeddings.
        bundle().save(&path).unwrap();
        assert_eq!(Bundle::open(&path).unwrap().golden, []);
    }
    let error = bundle().with_golden(golden(4)).unwrap_err();
    assert!(error.to_string().contains("dimension 4"), "{error}");
}

#[test]
fn the_id_is_the_hash_of_the_manifest_on_disk() {
    let (_dir, [folder, file]) = saved();
    edit(&folder, |m| {
        m["created"] = "2027-01-01T00:00:00.000Z".into()
    });
    let opened = Bundle::open(&folder).unwrap();
    assert_eq!(
        opened.id(),
        &sha256_hex(&fs::read(folder.join(MANIFEST_FILE)).unwrap())[..12]
    );
    assert_ne!(opened.id(), bundle().id());
    // A manifest formatted by hand keeps its bytes and therefore its id.
    opened.save(&file).unwrap();
    assert_eq!(Bundle::open(&file).unwrap().id(), opened.id());
}

#[test]
fn equal_bundles_are_equal_bytes() {
    let (_dir, [folder, file]) = saved();
    let first = fs::read(&file).unwrap();
    Bundle::open(&folder).unwrap().save(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), first);
    assert!(first.starts_with(b"manifest.json\0"));
}

#[test]
fn the_manifest_reads_as_documented() {
    let manifest: serde_json::Value = serde_json::from_slice(&bundle().manifest_bytes).unwrap();
    assert_eq!(manifest["format"], FORMAT);
    assert_eq!(manifest["views"], serde_json::json!(["plain", "mirrored"]));
    assert_eq!(manifest["dimension"], 8);
    assert_eq!(manifest["model"]["precision"], "f32");
    assert_eq!(manifest["preparation"]["fit"], "letterbox");
    assert_eq!(
        manifest["parts"]["model"],
        serde_json::json!({"file": "model.onnx", "sha256": sha256_hex(b"a model"), "bytes": 7})
    );
}

#[test]
fn other_whales_make_another_bundle() {
    let other = bundle()
        .with_catalogue(Catalogue::new(8), rule(0.7, 0.3))
        .unwrap();
    assert_ne!(other.id(), bundle().id());
    assert_eq!(
        (&other.model, &other.manifest.views),
        (&bundle().model, &bundle().manifest.views)
    );
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("other.flukebundle");
    other.save(&path).unwrap();
    assert_eq!(Bundle::open(&path).unwrap(), other);
    let error = bundle()
        .with_catalogue(Catalogue::new(4), rule(0.7, 0.3))
        .unwrap_err();
    assert!(matches!(error, BundleError::Inconsistent { .. }), "{error}");
}

#[test]
fn a_bundle_changed_without_its_manifest_is_not_saved() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("b");
    let stale = |change: fn(&mut Bundle)| {
        let mut changed = bundle();
        change(&mut changed);
        match changed.save(&path).unwrap_err() {
            BundleError::Stale { part } => part,
            other => panic!("{other}"),
        }
    };
    assert_eq!(stale(|b| b.model.push(0)), "model");
    assert_eq!(stale(|b| b.catalogue = Catalogue::new(8)), "catalogue");
    assert_eq!(stale(|b| b.decision.known_at = 0.9), "decision");
    assert_eq!(stale(|b| b.card.clear()), "card");
    assert_eq!(stale(|b| b.manifest.name = "another".into()), "manifest");
    assert!(!path.exists());
}

#[test]
fn parts_that_contradict_each_other_are_rejected() {
    let why = |result: Result<Bundle, BundleError>| match result.unwrap_err() {
        BundleError::Inconsistent { why, .. } => why,
        other => panic!("{other}"),
    };
    let both = || vec![View::Plain, View::Mirrored];
    let flat = Preparation {
        height: 0,
        ..preparation()
    };
    assert!(why(made(flat, both(), catalogue(8), rule(0.6, 0.4))).contains("height"));
    assert!(why(made(preparation(), vec![], catalogue(8), rule(0.6, 0.4))).contains("views"));
    assert!(
        why(made(
            preparation(),
            vec![View::Plain; 2],
            catalogue(8),
            rule(0.6, 0.4)
        ))
        .contains("views")
    );
    assert!(why(made(preparation(), both(), catalogue(7), rule(0.6, 0.4))).contains("dimension 7"));
    assert!(
        why(made(preparation(), both(), catalogue(8), rule(0.4, 0.6))).contains("decision rule")
    );
    assert!(
        why(made(
            preparation(),
            both(),
            catalogue(8),
            rule(f32::NAN, 0.6)
        ))
        .contains("decision rule")
    );
    let error = open_error(|m| m["dimension"] = 16.into());
    assert!(
        error
            .to_string()
            .contains("embeddings of dimension 8, expected the model's 16"),
        "{error}"
    );
}

#[test]
fn a_bundle_is_replaced_and_a_folder_with_other_files_is_not() {
    let (dir, paths) = saved();
    let other = bundle()
        .with_catalogue(Catalogue::new(8), rule(0.7, 0.3))
        .unwrap();
    for path in &paths {
        other.save(path).unwrap();
        assert_eq!(Bundle::open(path).unwrap(), other);
    }
    assert_eq!(names(dir.path()), ["whales", "whales.flukebundle"]);
    fs::write(paths[0].join("thesis.tex"), b"years of work").unwrap();
    let error = bundle().save(&paths[0]).unwrap_err();
    assert!(
        matches!(&error, BundleError::Occupied { file, .. } if file == "thesis.tex"),
        "{error}"
    );
    assert_eq!(
        Bundle::open(&paths[0]).unwrap(),
        other,
        "and the old bundle is still there"
    );
    assert!(paths[0].join("thesis.tex").exists());
}

#[test]
fn a_failed_write_leaves_the_old_bundle() {
    let (dir, [folder, file]) = saved();
    // A folder where the single file should go, and a file where the folder should.
    let taken = dir.path().join("taken.flukebundle");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(
        bundle().save(&taken),
        Err(BundleError::Write { .. })
    ));
    assert!(bundle().save(&file.join("inside")).is_err());
    assert_eq!(
        names(dir.path()),
        ["taken.flukebundle", "whales", "whales.flukebundle"]
    );
    assert_eq!(Bundle::open(&folder).unwrap(), bundle());
    assert_eq!(Bundle::open(&file).unwrap(), bundle());
}

#[test]
fn missing_parent_folders_are_created() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a/b/c.flukebundle");
    bundle().save(&path).unwrap();
    assert_eq!(Bundle::open(&path).unwrap(), bundle());
}

/// With 2,000 photos of random directions: more than [`crate::catalogue::MMAP_THRESHOLD`].
fn large() -> Bundle {
    let mut catalogue = Catalogue::new(512);
    let mut state = 1u32;
    for photo in 0..2000 {
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 - 8e6
        };
        let entry = Enrolled {
            whale: format!("HW-{}", photo / 4),
            photo: format!("{photo}.jpg"),
            source: "test".into(),
            ..Enrolled::default()
        };
        let row = Embedding::normalised((0..512).map(|_| random()).collect()).unwrap();
        catalogue.enrol(entry, &row).unwrap();
    }
    made(preparation(), vec![View::Plain], catalogue, rule(0.6, 0.4)).unwrap()
}

#[test]
fn a_large_catalogue_is_mapped_from_folder_and_file() {
    let large = large();
    let dir = TempDir::new().unwrap();
    let query = Embedding::normalised(large.catalogue.embedding(77).to_vec()).unwrap();
    for name in ["b", "b.flukebundle"] {
        let path = dir.path().join(name);
        large.save(&path).unwrap();
        let opened = Bundle::open(&path).unwrap();
        assert!(opened.catalogue.is_mapped() && opened == large, "{name}");
        // Replaced while it is in use: the open catalogue still works.
        bundle().save(&path).unwrap();
        assert_eq!(Bundle::open(&path).unwrap(), bundle());
        let found = opened.catalogue.search(&query, 3).unwrap();
        assert_eq!(found, large.catalogue.search(&query, 3).unwrap());
        assert_eq!(found[0].photo, "77.jpg");
        // It can be saved again, from the unlinked file.
        opened.save(&path).unwrap();
        assert_eq!(Bundle::open(&path).unwrap(), large);
    }
}

#[test]
fn a_copied_bundle_may_be_modified_in_place() {
    let large = large();
    let dir = TempDir::new().unwrap();
    let copies = TempDir::new().unwrap();
    for name in ["b", "b.flukebundle"] {
        let path = dir.path().join(name);
        large.save(&path).unwrap();
        let opened = Bundle::open_copied(&path, &BundleTrust::Everyone, copies.path()).unwrap();
        assert!(opened.catalogue.is_mapped() && opened == large, "{name}");
        let file = match path.is_dir() {
            true => path.join("catalogue.bin"),
            false => path,
        };
        fs::write(file, b"short").unwrap();
        assert!(opened == large, "{name}");
    }
    assert_eq!(fs::read_dir(copies.path()).unwrap().count(), 0);
    let path = dir.path().join("c");
    large.save(&path).unwrap();
    let error = Bundle::open_copied(&path, &BundleTrust::Everyone, &dir.path().join("missing"))
        .unwrap_err();
    assert!(
        matches!(&error, BundleError::Copy { part, .. } if part == "catalogue"),
        "{error}"
    );
}

#[test]
fn a_large_catalogue_is_validated_like_a_small_one() {
    let large = large();
    let dir = TempDir::new().unwrap();
    let (folder, file) = (dir.path().join("b"), dir.path().join("b.flukebundle"));
    large.save(&folder).unwrap();
    large.save(&file).unwrap();
    for path in [&folder.join("catalogue.bin"), &file] {
        let whole = fs::read(path).unwrap();
        let opened = if *path == file { &file } else { &folder };
        let mut bytes = whole.clone();
        bytes[whole.len() / 2] ^= 1;
        fs::write(path, &bytes).unwrap();
        let error = Bundle::open(opened).unwrap_err();
        assert!(
            matches!(&error, BundleError::Altered { part, .. } if part == "catalogue"),
            "{error}"
        );
        fs::write(path, &whole[..whole.len() / 2]).unwrap();
        let error = Bundle::open(opened).unwrap_err().to_string();
        let cut =
            error.contains("ends within its catalogue") || error.contains("its catalogue has");
        assert!(cut, "{error}");
    }
}

#[test]
fn the_shipped_bundle_saves_to_the_same_bytes() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/humpback-lite0");
    let opened = Bundle::open(&shipped).unwrap();
    let dir = TempDir::new().unwrap();
    let copy = dir.path().join("copy");
    opened.save(&copy).unwrap();
    assert_eq!(
        fs::read(copy.join("catalogue.bin")).unwrap(),
        fs::read(shipped.join("catalogue.bin")).unwrap()
    );
    assert_eq!(Bundle::open(&copy).unwrap().id(), opened.id());
    let catalogue = opened.catalogue.clone();
    let other = opened.with_catalogue(catalogue, rule(0.6, 0.4)).unwrap();
    other.save(&copy).unwrap();
    assert_eq!(Bundle::open(&copy).unwrap(), other);
}

#[test]
fn a_rule_with_a_calibrator_round_trips_and_can_be_saved_again() {
    let cases: Vec<_> = (0..200)
        .map(|i| {
            let score = (i as f32 * 0.37).fract();
            (
                RankingFeatures {
                    score,
                    top_margin: score / 3.0,
                },
                (i * 7) % 10 < (score * 10.0) as i32,
            )
        })
        .collect();
    for curve in [Curve::Logistic, Curve::Isotonic] {
        let dir = TempDir::new().unwrap();
        let decision = DecisionRule {
            whale_score: WhaleScore::BLEND,
            calibrator: Calibrator::fit(curve, &cases),
            ..rule(0.6, 0.4)
        };
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/humpback-lite0");
        let bundle = Bundle::open(&shipped).unwrap();
        let catalogue = bundle.catalogue.clone();
        let bundle = bundle.with_catalogue(catalogue, decision).unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        bundle.save(&first).unwrap();
        let opened = Bundle::open(&first).unwrap();
        assert_eq!(opened, bundle);
        opened.save(&second).unwrap();
        assert_eq!(Bundle::open(&second).unwrap().id(), bundle.id());
    }
}

#[test]
fn a_training_set_round_trips_and_old_bundles_have_none() {
    let dir = TempDir::new().unwrap();
    let old = bundle();
    assert_eq!(old.training, None);
    let set = TrainingSet::new(&old.model, ["HW-1"], ["aa", "bb"]);
    let with = old.clone().with_training_set(Some(set)).unwrap();
    assert_eq!(with.manifest.parts["training"].file, "training.bin");
    for name in ["whales", "whales.flukebundle"] {
        let path = dir.path().join(name);
        with.save(&path).unwrap();
        let opened = Bundle::open(&path).unwrap();
        assert_eq!(opened, with);
        // Other whales: the same model, and what it was trained on.
        let other = opened
            .with_catalogue(Catalogue::new(8), rule(0.7, 0.2))
            .unwrap();
        assert!(other.training.as_ref().is_some_and(|t| t.has_photo("bb")));
        old.save(&path).unwrap();
        assert_eq!(Bundle::open(&path).unwrap(), old);
    }
    assert!(!dir.path().join("whales/training.bin").exists());

    let folder = dir.path().join("damaged");
    with.save(&folder).unwrap();
    fs::write(folder.join("training.bin"), b"FLUKETRN").unwrap();
    let error = Bundle::open(&folder).unwrap_err().to_string();
    assert!(error.contains("training"), "{error}");
}

fn detector() -> (DetectorInfo, Vec<u8>) {
    let info_of_detector = DetectorInfo {
        preparation: Preparation {
            padding: 0.0,
            ..preparation()
        },
        strides: vec![8, 16],
        threshold: 0.4,
        model: info(),
    };
    (info_of_detector, b"a detector".to_vec())
}

#[test]
fn a_detector_round_trips_and_removing_it_restores_the_bundle() {
    let dir = TempDir::new().unwrap();
    let golden = vec![Embedding::normalised((1..=8).map(|i| i as f32).collect()).unwrap()];
    let without = bundle().with_golden(golden.clone()).unwrap();
    let with = without.clone().with_detector(Some(detector())).unwrap();
    assert_ne!(with.id(), without.id());
    for name in ["whales", "whales.flukebundle"] {
        let path = dir.path().join(name);
        with.save(&path).unwrap();
        let opened = Bundle::open(&path).unwrap();
        assert_eq!(opened, with);
        assert_eq!(opened.detector_part(), Some(detector()));
        // Other whales, another card: the same detector.
        let other = opened
            .with_catalogue(Catalogue::new(8), rule(0.7, 0.2))
            .unwrap();
        let other = other.with_card("Another".into()).unwrap();
        assert_eq!(
            (other.detector_part(), &other.golden),
            (Some(detector()), &golden)
        );
        // Without the detector, it is the original bundle again.
        let again = with.clone().with_detector(None).unwrap();
        assert_eq!(again.id(), without.id());
        // Overwritten by a bundle without a detector.
        bundle().save(&path).unwrap();
        assert_eq!(Bundle::open(&path).unwrap().detector, None);
    }
    let old = serde_json::to_value(&bundle().manifest).unwrap();
    assert!(old.get("detector").is_none());
}

#[test]
fn an_invalid_detector_is_rejected() {
    let rejected = |change: fn(&mut DetectorInfo)| {
        let (mut info, model) = detector();
        change(&mut info);
        bundle()
            .with_detector(Some((info, model)))
            .unwrap_err()
            .to_string()
    };
    assert!(rejected(|d| d.strides = vec![16, 8]).contains("ascending"));
    assert!(rejected(|d| d.strides = vec![0]).contains("strides"));
    assert!(rejected(|d| d.threshold = f32::NAN).contains("threshold"));
    assert!(rejected(|d| d.preparation.fit = Fit::Stretch).contains("letterbox"));
    assert!(rejected(|d| d.preparation.height = 0).contains("height"));
}

#[test]
fn a_detector_and_its_part_belong_together() {
    let with = bundle().with_detector(Some(detector())).unwrap();
    let dir = TempDir::new().unwrap();
    let open_error = |change: fn(&mut serde_json::Value)| {
        let folder = dir.path().join("b");
        with.save(&folder).unwrap();
        edit(&folder, change);
        Bundle::open(&folder).unwrap_err()
    };
    let error = open_error(|m| drop(m.as_object_mut().unwrap().remove("detector")));
    assert!(matches!(&error, BundleError::Manifest { .. }), "{error}");
    let error = open_error(|m| drop(m["parts"].as_object_mut().unwrap().remove("detector")));
    assert!(matches!(&error, BundleError::Manifest { .. }), "{error}");
    let error = open_error(|m| m["parts"]["detector"]["file"] = "../x".into());
    assert!(matches!(&error, BundleError::PartName { .. }), "{error}");
    let error = open_error(|m| m["parts"]["detector"]["file"] = "model.onnx".into());
    assert!(matches!(&error, BundleError::PartName { .. }), "{error}");
    let error = open_error(|m| m["parts"]["detector"]["sha256"] = "0".repeat(64).into());
    assert!(
        matches!(&error, BundleError::Altered { part, .. } if part == "detector"),
        "{error}"
    );
    let error = open_error(|m| m["detector"]["threshold"] = 7.into());
    assert!(error.to_string().contains("threshold"), "{error}");
    let folder = dir.path().join("c");
    with.save(&folder).unwrap();
    fs::remove_file(folder.join("detector.onnx")).unwrap();
    let error = Bundle::open(&folder).unwrap_err();
    assert!(
        matches!(&error, BundleError::MissingPart { part, .. } if part == "detector"),
        "{error}"
    );
}

/// A bundle with the descriptors of its photo.
fn bundle_with_local() -> Bundle {
    let layout = Layout {
        height: 2,
        width: 3,
        dimension: 4,
        fine: 0,
    };
    let info = LocalInfo {
        output: "local".into(),
        layout,
        precision: Precision::Int8,
        score: LocalScore {
            weight: 1.5,
            intercept: 0.1,
            slope: 0.2,
            typical_norm: 0.5,
            whales: 30,
            photos: 2,
            fine: None,
        },
        fitted_on: "test".into(),
    };
    let empty = bundle().with_catalogue(Catalogue::new(8), rule(0.6, 0.4));
    let bundle = empty
        .unwrap()
        .with_local(b"another model".to_vec(), Some(info))
        .unwrap();
    let catalogue = catalogue(8);
    let values: Vec<f32> = (0..24).map(|i| (i % 7) as f32 - 2.0).collect();
    let mut local = LocalPhotos::new(layout);
    let descriptors = Descriptors::quantised(layout, &values).unwrap();
    local.push(&catalogue.entries()[0], &descriptors).unwrap();
    local.set_norms(&[0.25]);
    bundle
        .with_enrolled(catalogue, Some(local), rule(0.6, 0.4))
        .unwrap()
}

#[test]
fn descriptors_are_saved_beside_the_catalogue() {
    let bundle = bundle_with_local();
    assert_eq!(bundle.local_catalogue().unwrap().photos.len(), 1);
    let dir = TempDir::new().unwrap();
    for name in ["whales", "whales.flukebundle"] {
        let path = dir.path().join(name);
        bundle.save(&path).unwrap();
        assert_eq!(Bundle::open(&path).unwrap(), bundle);
        // Saved over itself, as after enrolling more whales.
        bundle.save(&path).unwrap();
    }
    let folder = names(&dir.path().join("whales"));
    assert!(
        folder.contains(&"local.bin".to_owned()) && folder.contains(&"local-index.bin".to_owned())
    );
    // The same photos with another rule keep their descriptors; an empty catalogue has none.
    let other = bundle.clone().with_catalogue(catalogue(8), rule(0.7, 0.2));
    assert_eq!(other.unwrap().local, bundle.local);
    let empty = bundle
        .with_catalogue(Catalogue::new(8), rule(0.7, 0.2))
        .unwrap();
    assert!(empty.local.as_ref().unwrap().is_empty());
    let path = dir.path().join("empty");
    empty.save(&path).unwrap();
    assert_eq!(Bundle::open(&path).unwrap(), empty);
    assert!(!names(&path).contains(&"local.bin".to_owned()));
}

#[test]
fn descriptors_of_other_photos_are_rejected() {
    let mut more = catalogue(8);
    let entry = Enrolled {
        whale: "HW-2".into(),
        photo: "b.jpg".into(),
        source: "test".into(),
        ..Enrolled::default()
    };
    let embedding = Embedding::normalised(vec![1.0; 8]).unwrap();
    more.enrol(entry, &embedding).unwrap();
    let error = bundle_with_local().with_catalogue(more, rule(0.6, 0.4));
    assert!(
        matches!(error, Err(BundleError::Inconsistent { .. })),
        "{error:?}"
    );
    let without = bundle_with_local().with_enrolled(catalogue(8), None, rule(0.6, 0.4));
    assert!(
        matches!(without, Err(BundleError::Inconsistent { .. })),
        "{without:?}"
    );
}

#[test]
fn descriptors_without_their_description_or_index_are_rejected() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("whales");
    for damage in [
        &(|m: &mut serde_json::Value| m["local"] = serde_json::Value::Null)
            as &dyn Fn(&mut serde_json::Value),
        &|m| {
            m["parts"].as_object_mut().unwrap().remove("local_index");
        },
        &|m| m["local"]["layout"]["width"] = 9.into(),
        &|m| m["local"]["score"]["weight"] = (-1.0).into(),
    ] {
        bundle_with_local().save(&path).unwrap();
        edit(&path, damage);
        assert!(Bundle::open(&path).is_err());
    }
}
