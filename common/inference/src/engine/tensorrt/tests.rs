use super::fake::FakeShim;
use super::*;
use crate::engine::conformance::{INPUT, TINY, picture, place};
use crate::samples::onnx::{bytes, quantised_model};
use std::sync::{Arc, Mutex};

/// What was told, each line with how much it matters.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(LogLevel, String)>>>);

impl Heard {
    fn teller(&self) -> LogSink {
        let lines = self.0.clone();
        Arc::new(move |level, line| lines.lock().unwrap().push((level, line.to_owned())))
    }

    fn has(&self, level: LogLevel, text: &str) -> bool {
        let lines = self.0.lock().unwrap();
        lines
            .iter()
            .any(|(l, line)| *l == level && line.contains(text))
    }
}

fn fake(macros: &[(&str, &str)]) -> FakeShim {
    FakeShim::new(&[&TINY[..], macros].concat())
}

fn model() -> Vec<u8> {
    bytes(&quantised_model(INPUT))
}

fn start(fake: &FakeShim) -> Result<TensorRt, TensorRtError> {
    TensorRt::start(&place(fake), Arc::new(|_, _| {}))
}

fn load(fake: &FakeShim) -> Result<TensorRtEngine, TensorRtError> {
    start(fake)?.load(&model(), &|| true)
}

fn refusal<T>(result: Result<T, TensorRtError>) -> TensorRtError {
    match result {
        Ok(_) => panic!("it started"),
        Err(e) => e,
    }
}

fn plan_files(fake: &FakeShim) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fake.plans()).unwrap();
    entries.map(|e| e.unwrap().path()).collect()
}

#[test]
fn what_was_started_is_told() {
    let fake = fake(&[]);
    let heard = Heard::default();
    let started = TensorRt::start(&place(&fake), heard.teller()).unwrap();
    let Installation {
        version,
        headers,
        gpu,
        compute,
        driver,
        memory_bytes,
        shim,
    } = started.installation().clone();
    assert_eq!(
        [&*version, &*headers, &*gpu, &*compute, &*driver],
        ["10.3.0.72", "10.16.0.72", "Fake Orin", "8.7", "12.6"]
    );
    assert_eq!(memory_bytes, 8_000_000_000);
    assert_eq!(shim, fake.shims().join("libflukewatch_trt10.so"));
    drop(started);
    assert!(heard.has(LogLevel::Detail, "TensorRT: the fake is open"));
    assert!(heard.has(LogLevel::Warning, "TensorRT: the fake is closed"));
    assert!(heard.has(
        LogLevel::Info,
        "TensorRT 10.3.0.72 on Fake Orin (compute 8.7), driver of CUDA 12.6"
    ));
}

#[test]
fn a_plan_is_built_once() {
    let fake = fake(&[]);
    let first = load(&fake).unwrap().run(picture(0).view()).unwrap();
    let again = load(&fake).unwrap().run(picture(0).view()).unwrap();
    assert_eq!(first, again);
    assert_eq!(fake.builds(), 1);
    let mut other = place(&fake);
    other.options.fp16 = true;
    let started = TensorRt::start(&other, Arc::new(|_, _| {})).unwrap();
    started.load(&model(), &|| true).unwrap();
    assert_eq!(fake.builds(), 2, "other options are another plan");
    assert_eq!(plan_files(&fake).len(), 2);
}

#[test]
fn another_tensorrt_builds_another_plan() {
    let before = fake(&[]);
    load(&before).unwrap();
    let updated = fake(&[("FAKE_LIBRARY_BUILD", "73")]);
    let mut same_plans = place(&updated);
    same_plans.plans = before.plans();
    let started = TensorRt::start(&same_plans, Arc::new(|_, _| {})).unwrap();
    let engine = started.load(&model(), &|| true).unwrap();
    assert!(engine.name().contains("10.3.0.73"), "{}", engine.name());
    assert_eq!((before.builds(), updated.builds()), (1, 1));
    assert_eq!(plan_files(&before).len(), 2);
}

#[test]
fn a_damaged_plan_is_deleted_and_built_anew() {
    let fake = fake(&[]);
    load(&fake).unwrap();
    let file = plan_files(&fake).remove(0);
    let mut damaged = std::fs::read(&file).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let heard = Heard::default();
    let started = TensorRt::start(&place(&fake), heard.teller()).unwrap();
    started.load(&model(), &|| true).unwrap();
    assert!(heard.has(LogLevel::Warning, "is damaged: its checksum"));
    assert_eq!(fake.builds(), 2);
    load(&fake).unwrap();
    assert_eq!(fake.builds(), 2, "the new one is whole");
}

#[test]
fn a_plan_that_tensorrt_refuses_is_built_anew_once() {
    let works = fake(&[]);
    load(&works).unwrap();
    let kept = plan_files(&works).remove(0);
    // The same plan, and a TensorRT that takes only what it built itself.
    let refuses = fake(&[("FAKE_LOAD_KEPT", "FLUKEWATCH_TRT_NOT_LOADED")]);
    let plans = PlanCache::open(&refuses.plans()).unwrap();
    std::fs::copy(&kept, refuses.plans().join(kept.file_name().unwrap())).unwrap();
    drop(plans);
    let heard = Heard::default();
    let started = TensorRt::start(&place(&refuses), heard.teller()).unwrap();
    started.load(&model(), &|| true).unwrap();
    assert!(heard.has(LogLevel::Warning, "this fake was told not to load"));
    assert_eq!(refuses.builds(), 1);

    let never = fake(&[
        ("FAKE_LOAD_KEPT", "FLUKEWATCH_TRT_NOT_LOADED"),
        ("FAKE_LOAD_BUILT", "FLUKEWATCH_TRT_NOT_LOADED"),
    ]);
    let error = refusal(load(&never));
    assert!(matches!(error, TensorRtError::NotLoaded(_)), "{error}");
    assert_eq!(never.builds(), 1, "once, not for ever");
    assert_eq!(
        plan_files(&never).len(),
        0,
        "what does not load is not kept"
    );
}

#[test]
fn plans_that_others_could_write_are_not_loaded() {
    use std::os::unix::fs::PermissionsExt;
    let fake = fake(&[]);
    load(&fake).unwrap();
    let file = plan_files(&fake).remove(0);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = refusal(load(&fake)).to_string();
    assert!(error.contains("is not safe to load plans from"), "{error}");
    std::fs::set_permissions(fake.plans(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = refusal(start(&fake)).to_string();
    assert!(error.contains("is not safe to load plans from"), "{error}");
    assert_eq!(fake.builds(), 1);
}

#[test]
fn what_is_missing_is_told() {
    for (status, expected) in [
        ("FLUKEWATCH_TRT_NO_DRIVER", NotStarted::Driver),
        ("FLUKEWATCH_TRT_NO_DEVICE", NotStarted::Device),
        ("FLUKEWATCH_TRT_NO_LIBRARY", NotStarted::Library),
        ("FLUKEWATCH_TRT_OTHER_MAJOR", NotStarted::Version),
        ("99", NotStarted::Other),
    ] {
        let fake = fake(&[("FAKE_OPEN", status)]);
        match refusal(start(&fake)) {
            TensorRtError::NotStarted { shim, reason, why } => {
                assert_eq!(reason, expected);
                assert_eq!(shim, fake.shims().join(shim_file(10)));
                assert_eq!(why, "this fake was told not to open", "on one line");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_first_shim_that_finds_its_tensorrt_serves() {
    for (open, serves) in [
        ("FLUKEWATCH_TRT_OK", "11.3.0.72"),
        ("FLUKEWATCH_TRT_NO_LIBRARY", "10.3.0.72"),
    ] {
        let fake = fake(&[]);
        let newest = [("FAKE_MAJOR", "11"), ("FAKE_OPEN", open)];
        fake.compile(11, &[&TINY[..], &newest].concat());
        assert_eq!(start(&fake).unwrap().installation().version, serves);
    }
}

#[test]
fn each_shim_that_does_not_start_says_why() {
    let fake = fake(&[("FAKE_OPEN", "FLUKEWATCH_TRT_NO_LIBRARY")]);
    fake.compile(
        8,
        &[
            ("FAKE_MAJOR", "8"),
            ("FAKE_OPEN", "FLUKEWATCH_TRT_OTHER_MAJOR"),
        ],
    );
    std::fs::write(fake.shims().join(shim_file(11)), "no library").unwrap();
    let error = refusal(start(&fake));
    assert!(
        matches!(&error, TensorRtError::NoneStarts(all) if all.len() == 3),
        "{error}"
    );
    let error = error.to_string();
    for major in MAJORS {
        assert!(error.contains(&shim_file(major)), "{error}");
    }
}

#[test]
fn a_shim_of_another_interface_or_name_is_refused() {
    let other = fake(&[("FAKE_ABI", "7")]);
    let error = refusal(start(&other));
    assert!(
        matches!(error, TensorRtError::OtherAbi { got: 7, .. }),
        "{error}"
    );
    let other = fake(&[("FAKE_MAJOR", "8")]);
    let error = refusal(start(&other)).to_string();
    assert!(
        error.contains("is a shim for TensorRT 8, not 10"),
        "{error}"
    );
    let none = tempfile::tempdir().unwrap();
    let mut nowhere = place(&other);
    nowhere.shims = none.path().to_owned();
    let error = refusal(TensorRt::start(&nowhere, Arc::new(|_, _| {})));
    assert!(matches!(error, TensorRtError::NoShim { .. }), "{error}");
    assert!(error.to_string().contains("cargo xtask shim"), "{error}");
}

#[test]
fn a_model_that_tensorrt_refuses_is_told() {
    let error = refusal(load(&fake(&[("FAKE_BUILD", "FLUKEWATCH_TRT_NOT_PARSED")])));
    assert!(matches!(error, TensorRtError::NotParsed(_)), "{error}");
    assert!(error.to_string().contains("flukewatch inspect"), "{error}");
    let error = refusal(load(&fake(&[("FAKE_BUILD", "FLUKEWATCH_TRT_NOT_BUILT")])));
    assert!(matches!(error, TensorRtError::NotBuilt(_)), "{error}");
}

#[test]
fn a_build_that_is_not_wanted_any_more_ends() {
    let fake = fake(&[("FAKE_GATE", "")]);
    let error = refusal(start(&fake).unwrap().load(&model(), &|| false));
    assert!(matches!(error, TensorRtError::Stopped), "{error}");
    assert!(plan_files(&fake).is_empty());
}

#[test]
fn a_plan_of_other_images_is_refused() {
    let fake = FakeShim::new(&[("FAKE_TINY", "1")]);
    let error = refusal(load(&fake));
    assert!(matches!(error, TensorRtError::Unsupported(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("it takes images of [1, 1, 8, 16]"),
        "{error}"
    );
}

#[test]
fn a_plan_that_fails_or_gives_no_numbers_is_refused_at_load() {
    let error = refusal(load(&fake(&[("FAKE_RUNS", "0")])));
    assert!(
        error.to_string().contains("this fake was told to fail"),
        "{error}"
    );
    let error = refusal(load(&fake(&[("FAKE_NUMBER", "0.0f / 0.0f * v")])));
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn a_gpu_that_fails_later_is_told_and_the_next_image_may_go() {
    // The first image is the trial at load.
    let mut engine = load(&fake(&[("FAKE_RUNS", "2")])).unwrap();
    engine.run(picture(0).view()).unwrap();
    let error = engine.run(picture(0).view()).unwrap_err();
    assert_eq!(error, EngineError::Run("this fake was told to fail".into()));
}

#[test]
fn the_interface_in_rust_is_the_header() {
    let header = include_str!("../../../shim/flukewatch_trt.h");
    assert!(header.contains(&format!("#define FLUKEWATCH_TRT_ABI {}\n", abi::ABI)));
    for (name, value) in [
        ("OK", abi::OK),
        ("NO_DRIVER", abi::NO_DRIVER),
        ("NO_DEVICE", abi::NO_DEVICE),
        ("NO_LIBRARY", abi::NO_LIBRARY),
        ("OTHER_MAJOR", abi::OTHER_MAJOR),
        ("NOT_PARSED", abi::NOT_PARSED),
        ("NOT_BUILT", abi::NOT_BUILT),
        ("STOPPED", abi::STOPPED),
        ("NOT_LOADED", abi::NOT_LOADED),
        ("UNFIT", abi::UNFIT),
        ("LOG_ERROR", abi::LOG_ERROR),
        ("LOG_WARNING", abi::LOG_WARNING),
    ] {
        let line = format!("FLUKEWATCH_TRT_{name} = {value},");
        assert!(header.contains(&line), "{line}");
    }
}
