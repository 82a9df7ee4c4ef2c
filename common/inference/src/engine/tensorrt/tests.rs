use super::fake::FakeShim;
use super::*;
use crate::engine::conformance::{INPUT, TINY, picture, place};
use crate::samples::onnx::{bytes, passthrough_model, quantised_model, value};
use std::sync::{Arc, Mutex};

/// The log lines with their levels.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<(LogLevel, String)>>>);

impl LogLines {
    fn sink(&self) -> LogSink {
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

fn error_of<T>(result: Result<T, TensorRtError>) -> TensorRtError {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(e) => e,
    }
}

fn plan_files(fake: &FakeShim) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fake.plans()).unwrap();
    entries.map(|e| e.unwrap().path()).collect()
}

#[test]
fn the_installation_is_described_and_logged() {
    let fake = fake(&[]);
    let lines = LogLines::default();
    let started = TensorRt::start(&place(&fake), lines.sink()).unwrap();
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
    assert!(lines.has(LogLevel::Detail, "TensorRT: the fake is open"));
    assert!(lines.has(LogLevel::Warning, "TensorRT: the fake is closed"));
    assert!(lines.has(
        LogLevel::Info,
        "TensorRT 10.3.0.72 on Fake Orin (compute 8.7), driver of CUDA 12.6"
    ));
}

/// Blocks until `done` is true.
fn until(done: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !done() {
        assert!(began.elapsed() < std::time::Duration::from_secs(30));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn the_log_outlives_the_session_and_its_sink_can_be_replaced() {
    const LATE: &str = "TensorRT: the fake still logs";
    let fake = fake(&[("FAKE_LATE_LOG", "")]);
    let first = LogLines::default();
    drop(TensorRt::start(&place(&fake), first.sink()).unwrap());
    // Lines of a thread that outlives the session.
    until(|| first.has(LogLevel::Warning, LATE));
    let second = LogLines::default();
    let started = TensorRt::start(&place(&fake), second.sink()).unwrap();
    until(|| second.has(LogLevel::Warning, LATE));
    // The first sink is freed, and no line goes there any more.
    until(|| Arc::strong_count(&first.0) == 1);
    drop(started);
    until(|| second.has(LogLevel::Warning, "TensorRT: the fake is closed"));
}

#[test]
fn sessions_start_and_end_on_many_threads_while_the_log_is_written() {
    let fake = fake(&[("FAKE_LATE_LOG", "")]);
    load(&fake).unwrap();
    let lines: Vec<LogLines> = (0..8).map(|_| LogLines::default()).collect();
    std::thread::scope(|scope| {
        for lines in &lines {
            let place = place(&fake);
            scope.spawn(move || {
                for _ in 0..20 {
                    let started = TensorRt::start(&place, lines.sink()).unwrap();
                    let mut engine = started.load(&model(), &|| true).unwrap();
                    engine.run(picture(0).view()).unwrap();
                }
            });
        }
    });
    // All but the sink of the last session are freed.
    until(|| lines.iter().filter(|l| Arc::strong_count(&l.0) > 1).count() <= 1);
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
fn a_damaged_plan_is_deleted_and_rebuilt() {
    let fake = fake(&[]);
    load(&fake).unwrap();
    let file = plan_files(&fake).remove(0);
    let mut damaged = std::fs::read(&file).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &damaged).unwrap();
    let lines = LogLines::default();
    let started = TensorRt::start(&place(&fake), lines.sink()).unwrap();
    started.load(&model(), &|| true).unwrap();
    assert!(lines.has(LogLevel::Warning, "is damaged: its checksum"));
    assert_eq!(fake.builds(), 2);
    load(&fake).unwrap();
    assert_eq!(fake.builds(), 2, "the new one is valid");
}

#[test]
fn a_plan_that_tensorrt_rejects_is_rebuilt_once() {
    let works = fake(&[]);
    load(&works).unwrap();
    let kept = plan_files(&works).remove(0);
    // The same plan, and a TensorRT that accepts only plans that it built itself.
    let rejects = fake(&[("FAKE_LOAD_KEPT", "FLUKEWATCH_TRT_NOT_LOADED")]);
    let plans = PlanCache::open(&rejects.plans()).unwrap();
    std::fs::copy(&kept, rejects.plans().join(kept.file_name().unwrap())).unwrap();
    drop(plans);
    let lines = LogLines::default();
    let started = TensorRt::start(&place(&rejects), lines.sink()).unwrap();
    started.load(&model(), &|| true).unwrap();
    assert!(lines.has(LogLevel::Warning, "this fake is configured not to load"));
    assert_eq!(rejects.builds(), 1);

    let never = fake(&[
        ("FAKE_LOAD_KEPT", "FLUKEWATCH_TRT_NOT_LOADED"),
        ("FAKE_LOAD_BUILT", "FLUKEWATCH_TRT_NOT_LOADED"),
    ]);
    let error = error_of(load(&never));
    assert!(matches!(error, TensorRtError::NotLoaded(_)), "{error}");
    assert_eq!(never.builds(), 1, "it is rebuilt only once");
    assert_eq!(
        plan_files(&never).len(),
        0,
        "a plan that cannot be loaded is not cached"
    );
}

#[test]
fn plans_that_others_could_write_are_not_loaded() {
    use std::os::unix::fs::PermissionsExt;
    let fake = fake(&[]);
    load(&fake).unwrap();
    let file = plan_files(&fake).remove(0);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = error_of(load(&fake)).to_string();
    assert!(error.contains("is not safe to load plans from"), "{error}");
    std::fs::set_permissions(fake.plans(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let error = error_of(start(&fake)).to_string();
    assert!(error.contains("is not safe to load plans from"), "{error}");
    assert_eq!(fake.builds(), 1);
}

#[test]
fn the_missing_requirement_is_reported() {
    for (status, expected) in [
        ("FLUKEWATCH_TRT_NO_DRIVER", NotStarted::Driver),
        ("FLUKEWATCH_TRT_NO_DEVICE", NotStarted::Device),
        ("FLUKEWATCH_TRT_NO_LIBRARY", NotStarted::Library),
        ("FLUKEWATCH_TRT_OTHER_MAJOR", NotStarted::Version),
        ("99", NotStarted::Other),
    ] {
        let fake = fake(&[("FAKE_OPEN", status)]);
        match error_of(start(&fake)) {
            TensorRtError::NotStarted { shim, reason, why } => {
                assert_eq!(reason, expected);
                assert_eq!(shim, fake.shims().join(shim_file(10)));
                assert_eq!(why, "this fake is configured not to open", "on one line");
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn the_first_shim_that_finds_its_tensorrt_is_used() {
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
fn each_shim_that_does_not_start_is_reported() {
    let fake = fake(&[("FAKE_OPEN", "FLUKEWATCH_TRT_NO_LIBRARY")]);
    fake.compile(
        8,
        &[
            ("FAKE_MAJOR", "8"),
            ("FAKE_OPEN", "FLUKEWATCH_TRT_OTHER_MAJOR"),
        ],
    );
    std::fs::write(fake.shims().join(shim_file(11)), "no library").unwrap();
    let error = error_of(start(&fake));
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
fn a_shim_of_another_interface_or_name_is_rejected() {
    let other = fake(&[("FAKE_ABI", "7")]);
    let error = error_of(start(&other));
    assert!(
        matches!(error, TensorRtError::OtherAbi { got: 7, .. }),
        "{error}"
    );
    let other = fake(&[("FAKE_MAJOR", "8")]);
    let error = error_of(start(&other)).to_string();
    assert!(
        error.contains("is a shim for TensorRT 8, not 10"),
        "{error}"
    );
    let none = tempfile::tempdir().unwrap();
    let mut nowhere = place(&other);
    nowhere.shims = none.path().to_owned();
    let error = error_of(TensorRt::start(&nowhere, Arc::new(|_, _| {})));
    assert!(matches!(error, TensorRtError::NoShim { .. }), "{error}");
    assert!(error.to_string().contains("cargo xtask shim"), "{error}");
}

#[test]
fn a_model_that_tensorrt_rejects_is_an_error() {
    let error = error_of(load(&fake(&[("FAKE_BUILD", "FLUKEWATCH_TRT_NOT_PARSED")])));
    assert!(matches!(error, TensorRtError::NotParsed(_)), "{error}");
    assert!(error.to_string().contains("flukewatch inspect"), "{error}");
    let error = error_of(load(&fake(&[("FAKE_BUILD", "FLUKEWATCH_TRT_NOT_BUILT")])));
    assert!(matches!(error, TensorRtError::NotBuilt(_)), "{error}");
}

#[test]
fn a_cancelled_build_ends() {
    let fake = fake(&[("FAKE_GATE", "")]);
    let error = error_of(start(&fake).unwrap().load(&model(), &|| false));
    assert!(matches!(error, TensorRtError::Stopped), "{error}");
    assert!(plan_files(&fake).is_empty());
}

#[test]
fn a_plan_of_other_images_is_rejected() {
    let fake = FakeShim::new(&[("FAKE_TINY", "1")]);
    let error = error_of(load(&fake));
    assert!(matches!(error, TensorRtError::Unsupported(_)), "{error}");
    assert!(
        error
            .to_string()
            .contains("it takes images of [1, 1, 8, 16]"),
        "{error}"
    );
}

#[test]
fn a_plan_that_fails_or_is_not_finite_is_rejected_at_load() {
    let error = error_of(load(&fake(&[("FAKE_RUNS", "0")])));
    assert!(
        error
            .to_string()
            .contains("this fake is configured to fail"),
        "{error}"
    );
    let error = error_of(load(&fake(&[("FAKE_NUMBER", "0.0f / 0.0f * v")])));
    assert!(error.to_string().contains("not finite"), "{error}");
}

#[test]
fn a_later_gpu_failure_is_an_error_of_that_image() {
    // The first image is the trial at load.
    let mut engine = load(&fake(&[("FAKE_RUNS", "2")])).unwrap();
    engine.run(picture(0).view()).unwrap();
    let error = engine.run(picture(0).view()).unwrap_err();
    assert_eq!(
        error,
        EngineError::Run("this fake is configured to fail".into())
    );
}

#[test]
fn the_rust_interface_matches_the_header() {
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

/// A model that passes an image of 8 x 16 pixels through, with a second output of `shape`.
fn with_second_output(shape: [i64; 4]) -> Vec<u8> {
    let mut model = passthrough_model(8, 16);
    let graph = model.graph.as_mut().unwrap();
    graph.output.push(value("image", &shape));
    bytes(&model)
}

#[test]
fn the_local_descriptors_are_the_end_of_the_one_output() {
    // The fake passes its 128 numbers through; the last eight are the local descriptors.
    let fake = FakeShim::new(&[]);
    let model = with_second_output([1, 2, 2, 2]);
    let mut engine = start(&fake).unwrap().load(&model, &|| true).unwrap();
    assert_eq!(
        (engine.dimension(), engine.local_shape()),
        (120, Some([2, 2, 2]))
    );
    let image = ndarray::Array3::from_shape_fn((1, 8, 16), |(_, y, x)| (16 * y + x) as f32);
    let outputs = engine.run_with_local(image.view()).unwrap();
    let numbers = |range: std::ops::Range<usize>| range.map(|i| i as f32).collect::<Vec<_>>();
    assert_eq!(outputs.embedding, numbers(0..120));
    assert_eq!(outputs.local, Some(numbers(120..128)));
    assert_eq!(engine.run(image.view()).unwrap(), outputs.embedding);
}

#[test]
fn a_plan_without_room_for_an_embedding_is_rejected() {
    let fake = FakeShim::new(&[]);
    let model = with_second_output([1, 1, 8, 16]);
    let error = error_of(start(&fake).unwrap().load(&model, &|| true));
    assert!(matches!(error, TensorRtError::Unsupported(_)), "{error}");
}
