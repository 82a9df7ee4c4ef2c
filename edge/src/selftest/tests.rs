use super::*;
use crate::sample;
use crate::sample::fake::FakeShim;
use flukewatch_common::golden::golden;

fn bundle() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whales.flukebundle");
    sample::bundle(2).save(&path).unwrap();
    (folder, path)
}

fn section(fake: &FakeShim, choice: EngineChoice) -> EngineSection {
    EngineSection {
        choice,
        shims: fake.shims(),
        plans: fake.plans(),
        ..EngineSection::default()
    }
}

#[test]
fn tract_alone_says_yes() {
    let (_folder, path) = bundle();
    let fake = FakeShim::new(&[]);
    let found = selftest(&path, &section(&fake, EngineChoice::Tract)).unwrap();
    assert!(found.passed, "{found}");
    assert_eq!(found.engine, "tract 0.23.9 f32");
    assert_eq!(found.why_not_tensorrt, None);
    assert_eq!(found.comparisons.len(), 1, "a float model has no rounding");
    assert!(
        found
            .to_string()
            .ends_with("yes: tract 0.23.9 f32 on 8 drawn flukes\n"),
        "{found}"
    );
}

#[test]
fn what_the_model_gave_elsewhere_is_held_against_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whales.flukebundle");
    let fake = FakeShim::new(&[]);
    let whales = sample::bundle(2);
    let right = golden(&whales).unwrap();
    let mut wrong = right.clone();
    let turned = right[3].as_slice().iter().rev().map(|v| -v).collect();
    wrong[3] = Embedding::normalised(turned).unwrap();
    for (golden, passed) in [(right, true), (wrong, false)] {
        let bundle = whales.clone().with_golden(golden).unwrap();
        bundle.save(&path).unwrap();
        let found = selftest(&path, &section(&fake, EngineChoice::Auto)).unwrap();
        assert_eq!(found.passed, passed, "{found}");
        let beside = found.comparisons.iter();
        let beside = beside.filter(|c| c.other.contains("golden"));
        assert_eq!(beside.filter(|c| c.passed == passed).count(), 3, "{found}");
    }
    let few = golden(&whales).unwrap()[..7].to_vec();
    whales.with_golden(few).unwrap().save(&path).unwrap();
    let found = selftest(&path, &section(&fake, EngineChoice::Tract)).unwrap();
    assert!(!found.passed, "{found}");
}

#[test]
fn tensorrt_is_compared_and_its_plan_kept() {
    let (_folder, path) = bundle();
    let fake = FakeShim::new(&[]);
    for choice in [EngineChoice::Auto, EngineChoice::TensorRt] {
        let found = selftest(&path, &section(&fake, choice)).unwrap();
        assert!(found.passed, "{found}");
        assert_eq!(found.engine, "TensorRT 10.3.0.72 f32 on Fake Orin");
        assert_eq!(found.comparisons.len(), 4);
    }
    assert_eq!(fake.builds(), 1);
}

#[test]
fn an_engine_that_cannot_be_trusted_gets_a_no() {
    let (_folder, path) = bundle();
    for wrong in ["(i % 3 ? v : -v)", "v + (run % 2)"] {
        let fake = FakeShim::new(&[("FAKE_NUMBER", wrong)]);
        let found = selftest(&path, &section(&fake, EngineChoice::Auto)).unwrap();
        assert!(!found.passed, "{found}");
        let said = found.to_string();
        assert!(
            said.contains("FAULT TensorRT 10.3.0.72") && said.contains("\nno: TensorRT"),
            "{said}"
        );
    }
}

#[test]
fn tensorrt_that_does_not_start_is_told_or_an_error() {
    let (_folder, path) = bundle();
    let fake = FakeShim::new(&[("FAKE_OPEN", "FLUKEWATCH_TRT_NO_DRIVER")]);
    let found = selftest(&path, &section(&fake, EngineChoice::Auto)).unwrap();
    assert!(found.passed && found.engine.starts_with("tract"), "{found}");
    assert!(found.why_not_tensorrt.unwrap().contains("told not to open"));
    let error = selftest(&path, &section(&fake, EngineChoice::TensorRt)).unwrap_err();
    assert!(matches!(error, SelftestError::Demanded(_)), "{error}");
}
