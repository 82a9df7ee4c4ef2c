use super::*;
use crate::engine::agreement::EmbeddingsAgree;
use crate::engine::conformance::place;
use crate::engine::tensorrt::fake::FakeShim;
use crate::samples::onnx::{bytes, float_model};
use crate::samples::preparation;
use ndarray::Array3;
use std::time::{Duration, Instant};

const TINY: [(&str, &str); 4] = [
    ("FAKE_TINY", "1"),
    ("FAKE_C", "1"),
    ("FAKE_H", "16"),
    ("FAKE_W", "32"),
];
const LIMIT: Duration = Duration::from_secs(30);

fn model(name: &'static str) -> EngineModel {
    EngineModel {
        name,
        onnx: bytes(&float_model([1, 16, 32])).into(),
        agreement: Arc::new(EmbeddingsAgree {
            preparation: preparation(16, 32),
        }),
    }
}

fn setup(choice: EngineChoice, fake: &FakeShim) -> EngineSetup {
    EngineSetup {
        choice,
        threads: 2,
        tensorrt: place(fake),
        queue: PlanQueue::default(),
        log: Arc::new(|_, _| {}),
    }
}

fn opened(choice: EngineChoice, fake: &FakeShim) -> Result<OpenedEngine, OpenError> {
    open(&model("model"), &setup(choice, fake))
}

fn fake(macros: &[(&str, &str)]) -> FakeShim {
    FakeShim::new(&[&TINY[..], macros].concat())
}

fn image() -> Array3<f32> {
    Array3::from_shape_fn((1, 16, 32), |(_, y, x)| (y * x % 17) as f32 / 17.0)
}

/// Runs images until the accelerator's preparation ends; returns its state.
fn settled(opened: &mut OpenedEngine) -> Accelerator {
    let began = Instant::now();
    loop {
        opened.engine.run(image().view()).unwrap();
        match opened.status.accelerator() {
            Accelerator::Preparing | Accelerator::Ready => {
                assert!(began.elapsed() < LIMIT, "{}", opened.status.accelerator());
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

#[test]
fn names_round_trip() {
    for choice in [
        EngineChoice::Auto,
        EngineChoice::Tract,
        EngineChoice::TensorRt,
    ] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
        let json = format!("\"{choice}\"");
        assert_eq!(serde_json::from_str::<EngineChoice>(&json).unwrap(), choice);
    }
    let error = "cuda".parse::<EngineChoice>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown engine 'cuda'; expected auto, tract or tensorrt"
    );
}

#[test]
fn auto_switches_to_tensorrt_once_it_agrees() {
    let fake = fake(&[]);
    let mut opened = opened(EngineChoice::Auto, &fake).unwrap();
    assert!(opened.engine.name().starts_with("tract "));
    assert_eq!(settled(&mut opened), Accelerator::Active);
    assert_eq!(opened.engine.name(), "TensorRT 10.3.0.72 f32 on Fake Orin");
    assert_eq!(opened.status.active(), opened.engine.name());
}

#[test]
fn auto_runs_on_tract_while_a_plan_is_built() {
    let fake = fake(&[("FAKE_GATE", "")]);
    let mut opened = opened(EngineChoice::Auto, &fake).unwrap();
    let began = Instant::now();
    while fake.builds() == 0 {
        opened.engine.run(image().view()).unwrap();
        assert!(began.elapsed() < LIMIT);
    }
    assert!(opened.status.active().starts_with("tract "));
    assert_eq!(opened.status.accelerator(), Accelerator::Preparing);
    std::fs::write(fake.gate(), "").unwrap();
    assert_eq!(settled(&mut opened), Accelerator::Active);
}

#[test]
fn plans_are_built_one_after_the_other() {
    let fake = fake(&[("FAKE_GATE", "")]);
    let setup = setup(EngineChoice::Auto, &fake);
    let mut first = open(&model("first"), &setup).unwrap();
    let mut other = model("second");
    // Another plan, from the same model with another description.
    other.onnx = {
        let mut onnx = float_model([1, 16, 32]);
        onnx.producer_name = "another".into();
        bytes(&onnx).into()
    };
    let mut second = open(&other, &setup).unwrap();
    let began = Instant::now();
    while fake.builds() == 0 {
        assert!(began.elapsed() < LIMIT);
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(fake.builds(), 1, "the second does not wait for the first");
    assert_eq!(second.status.accelerator(), Accelerator::Preparing);
    std::fs::write(fake.gate(), "").unwrap();
    assert_eq!(settled(&mut first), Accelerator::Active);
    assert_eq!(settled(&mut second), Accelerator::Active);
    assert_eq!(fake.builds(), 2);
}

#[test]
fn a_model_that_is_closed_lets_the_next_one_build() {
    let fake = fake(&[("FAKE_GATE", "")]);
    let setup = setup(EngineChoice::Auto, &fake);
    let first = open(&model("first"), &setup).unwrap();
    let mut second = open(&model("second"), &setup).unwrap();
    while fake.builds() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(first);
    std::fs::write(fake.gate(), "").unwrap();
    assert_eq!(settled(&mut second), Accelerator::Active);
}

#[test]
fn auto_stays_with_tract_if_tensorrt_fails() {
    for (macros, why) in [
        (("FAKE_OPEN", "FLUKEWATCH_TRT_NO_DRIVER"), "not to open"),
        (("FAKE_BUILD", "FLUKEWATCH_TRT_NOT_BUILT"), "not to build"),
        (
            ("FAKE_LOAD_BUILT", "FLUKEWATCH_TRT_NOT_LOADED"),
            "not to load",
        ),
        (
            ("FAKE_NUMBER", "(i % 2 ? v : -v)"),
            "TensorRT and tract disagree",
        ),
        // Only the trial at load and the drawn flukes succeed.
        (("FAKE_RUNS", "9"), "configured to fail"),
    ] {
        let fake = fake(&[macros]);
        let mut opened = opened(EngineChoice::Auto, &fake).unwrap();
        let mut accelerator = settled(&mut opened);
        if accelerator == Accelerator::Active {
            opened.engine.run(image().view()).unwrap();
            accelerator = opened.status.accelerator();
        }
        assert!(accelerator.to_string().contains(why), "{accelerator}");
        assert!(opened.status.active().starts_with("tract "));
        assert!(opened.engine.name().starts_with("tract "));
    }
}

#[test]
fn tensorrt_runs_or_is_an_error() {
    let works = fake(&[]);
    let opened_now = opened(EngineChoice::TensorRt, &works).unwrap();
    assert_eq!(opened_now.status.accelerator(), Accelerator::Active);
    assert!(opened_now.engine.name().starts_with("TensorRT "));
    for macros in [
        ("FAKE_OPEN", "FLUKEWATCH_TRT_NO_DEVICE"),
        ("FAKE_BUILD", "FLUKEWATCH_TRT_NOT_PARSED"),
        ("FAKE_NUMBER", "(i % 2 ? v : -v)"),
        ("FAKE_NUMBER", "v - v"),
    ] {
        let Err(error) = opened(EngineChoice::TensorRt, &fake(&[macros])) else {
            panic!("{macros:?} started");
        };
        let error = error.to_string();
        assert!(
            error.starts_with("the engine 'tensorrt' is required and cannot start: "),
            "{error}"
        );
    }
    // A GPU that fails later fails on every image.
    let mut fails = opened(EngineChoice::TensorRt, &fake(&[("FAKE_RUNS", "9")])).unwrap();
    for _ in 0..2 {
        let error = fails.engine.run(image().view()).unwrap_err();
        assert!(matches!(error, EngineError::Run(_)), "{error}");
    }
}

#[test]
fn tract_or_no_shims_gives_tract_alone() {
    let fake = fake(&[]);
    let chosen = opened(EngineChoice::Tract, &fake).unwrap();
    assert_eq!(chosen.status.accelerator(), Accelerator::Disabled);
    assert!(chosen.status.active().starts_with("tract "));
    std::fs::remove_dir_all(fake.shims()).unwrap();
    let without = opened(EngineChoice::Auto, &fake).unwrap();
    assert!(without.status.active().starts_with("tract "));
    let accelerator = without.status.accelerator().to_string();
    assert!(
        accelerator.contains("no shim for TensorRT"),
        "{accelerator}"
    );
    assert!(
        !fake.plans().exists(),
        "no folder of plans is created without shims"
    );
}
