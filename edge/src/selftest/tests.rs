use super::*;
use crate::sample;
use crate::sample::fake::FakeShim;
use flukewatch_inference::golden::golden;
use std::path::PathBuf;

fn bundle() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whales.flukebundle");
    sample::bundle(2).save(&path).unwrap();
    (folder, path)
}

fn section(fake: &FakeShim, backend: EngineChoice) -> EngineSection {
    EngineSection {
        backend,
        shims: fake.shims(),
        plans: fake.plans(),
        ..EngineSection::default()
    }
}

#[test]
fn tract_alone_passes() {
    let (_folder, path) = bundle();
    let fake = FakeShim::new(&[]);
    let found = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::Tract),
    )
    .unwrap();
    assert!(found.passed, "{found}");
    assert_eq!(found.engine, "tract 0.23.9 f32");
    assert_eq!(found.tensorrt_error, None);
    assert_eq!(found.comparisons.len(), 1, "a float model has one form");
    assert!(
        found
            .to_string()
            .ends_with("passed: tract 0.23.9 f32 on 8 drawn flukes\n"),
        "{found}"
    );
}

#[test]
fn golden_embeddings_are_compared() {
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
        let found = selftest(
            &path,
            &BundleTrust::Everyone,
            &section(&fake, EngineChoice::Auto),
        )
        .unwrap();
        assert_eq!(found.passed, passed, "{found}");
        let compared = found.comparisons.iter();
        let compared = compared.filter(|c| c.reference.contains("golden"));
        assert_eq!(
            compared.filter(|c| c.passed == passed).count(),
            3,
            "{found}"
        );
    }
    let few = golden(&whales).unwrap()[..7].to_vec();
    whales.with_golden(few).unwrap().save(&path).unwrap();
    let found = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::Tract),
    )
    .unwrap();
    assert!(!found.passed, "{found}");
}

#[test]
fn tensorrt_is_compared_and_its_plan_kept() {
    let (_folder, path) = bundle();
    let fake = FakeShim::new(&[]);
    for backend in [EngineChoice::Auto, EngineChoice::TensorRt] {
        let found = selftest(&path, &BundleTrust::Everyone, &section(&fake, backend)).unwrap();
        assert!(found.passed, "{found}");
        assert_eq!(found.engine, "TensorRT 10.3.0.72 f32 on Fake Orin");
        assert_eq!(found.comparisons.len(), 4);
    }
    assert_eq!(fake.builds(), 1);
}

/// The same with a detector.
fn bundle_with_detector() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whales.flukebundle");
    sample::bundle_with_detector(2).save(&path).unwrap();
    (folder, path)
}

#[test]
fn the_detector_is_compared_in_tensorrt_too() {
    let (_folder, path) = bundle_with_detector();
    let fake = FakeShim::new(&[]);
    let found = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::TensorRt),
    )
    .unwrap();
    assert!(found.passed, "{found}");
    let detector = found.detector.as_ref().unwrap();
    assert_eq!(detector.engine, "TensorRT 10.3.0.72 f32 on Fake Orin");
    assert_eq!(detector.comparisons.len(), 2);
    assert_eq!(fake.built(), "md", "both plans lie in one folder");
    let said = found.to_string();
    let last = "drawn flukes, detector TensorRT 10.3.0.72 f32 on Fake Orin\n";
    assert!(said.ends_with(last), "{said}");
    selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::TensorRt),
    )
    .unwrap();
    assert_eq!(fake.built(), "md", "both are kept");
    let found = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::Tract),
    )
    .unwrap();
    assert_eq!(found.detector.unwrap().engine, "tract 0.23.9 f32");
}

#[test]
fn a_wrong_detector_in_tensorrt_fails() {
    let (_folder, path) = bundle_with_detector();
    let fake = FakeShim::new(&[("FAKE_DETECTOR_NUMBER", "v + 1")]);
    let found = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::Auto),
    )
    .unwrap();
    assert!(!found.passed, "{found}");
    assert!(found.comparisons.iter().all(|c| c.passed), "{found}");
    let said = found.to_string();
    assert!(
        said.contains("ERROR detector, TensorRT 10.3.0.72"),
        "{said}"
    );
}

#[test]
fn a_wrong_engine_fails() {
    let (_folder, path) = bundle();
    for wrong in ["(i % 3 ? v : -v)", "v + (run % 2)"] {
        let fake = FakeShim::new(&[("FAKE_NUMBER", wrong)]);
        let found = selftest(
            &path,
            &BundleTrust::Everyone,
            &section(&fake, EngineChoice::Auto),
        )
        .unwrap();
        assert!(!found.passed, "{found}");
        let said = found.to_string();
        assert!(
            said.contains("ERROR TensorRT 10.3.0.72") && said.contains("\nfailed: TensorRT"),
            "{said}"
        );
    }
}

#[test]
fn tensorrt_that_cannot_start_is_reported_or_an_error() {
    let (_folder, path) = bundle();
    let fake = FakeShim::new(&[("FAKE_OPEN", "FLUKEWATCH_TRT_NO_DRIVER")]);
    let found = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::Auto),
    )
    .unwrap();
    assert!(found.passed && found.engine.starts_with("tract"), "{found}");
    assert!(found.tensorrt_error.unwrap().contains("not to open"));
    let error = selftest(
        &path,
        &BundleTrust::Everyone,
        &section(&fake, EngineChoice::TensorRt),
    )
    .unwrap_err();
    assert!(matches!(error, SelftestError::Required(_)), "{error}");
}
