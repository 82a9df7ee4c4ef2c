//! The conformance suite that every engine must pass.

use super::agreement::agreement;
use super::tensorrt::fake::FakeShim;
use super::tensorrt::{PlanOptions, SHIM_FOLDER, TensorRt, TensorRtConfig};
use super::tract::{TractEngine, TractForm};
use super::{Engine, EngineError};
use crate::samples::onnx::{DIMENSION, bytes, float_model, quantised_model, value};
use ndarray::Array3;
use std::path::PathBuf;
use std::sync::Arc;
use tract_onnx::pb::ModelProto;

pub(super) const INPUT: [usize; 3] = [2, 8, 12];
/// Macros that make the fake compute the tiny models.
pub(super) const TINY: [(&str, &str); 4] = [
    ("FAKE_TINY", "1"),
    ("FAKE_C", "2"),
    ("FAKE_H", "8"),
    ("FAKE_W", "12"),
];

/// A different picture for each number.
pub(super) fn picture(number: usize) -> Array3<f32> {
    Array3::from_shape_fn(INPUT, |(c, y, x)| {
        ((c * 53 + y * (17 + number) + x * 29 + number * 7) % 41) as f32 / 20.0 - 1.0
    })
}

/// Loads a model into the engine under test.
type Load<'a> = dyn FnMut(&[u8]) -> Result<Box<dyn Engine>, String> + 'a;

/// Runs the suite. `name` is the start of the engine's name, `cosine` the lowest accepted cosine
/// with tract in floats.
fn conforms(load: &mut Load, model: &ModelProto, name: &str, cosine: f32) {
    let mut engine = load(&bytes(model)).unwrap();
    is_named(&*engine, name);
    assert_eq!(
        (engine.input_shape(), engine.dimension()),
        (INPUT, DIMENSION)
    );
    is_deterministic_and_finite(&mut *engine);
    rejects_other_shapes(&mut *engine);
    reads_any_order_of_memory(&mut *engine);
    agrees_with_tract(&mut *engine, cosine);
    moves_between_threads(engine);
    rejects_invalid_models(load, model);
}

fn is_named(engine: &dyn Engine, name: &str) {
    let said = engine.name();
    assert!(
        said.starts_with(name),
        "'{said}' does not start with '{name}'"
    );
    // The name is part of every sighting.
    assert!(
        said.len() <= 100 && !said.contains(char::is_control),
        "{said}"
    );
}

fn is_deterministic_and_finite(engine: &mut dyn Engine) {
    let first = engine.run(picture(0).view()).unwrap();
    assert_eq!(first.len(), DIMENSION);
    for number in 0..4 {
        let numbers = engine.run(picture(number).view()).unwrap();
        assert!(numbers.iter().all(|v| v.is_finite()), "{numbers:?}");
    }
    // No state of other images remains.
    assert_eq!(engine.run(picture(0).view()).unwrap(), first);
    for extreme in [0.0, -1e4, 1e4] {
        let flat = Array3::from_elem(INPUT, extreme);
        let numbers = engine.run(flat.view()).unwrap();
        assert!(
            numbers.iter().all(|v| v.is_finite()),
            "{extreme}: {numbers:?}"
        );
    }
}

fn rejects_other_shapes(engine: &mut dyn Engine) {
    let before = engine.run(picture(1).view()).unwrap();
    for other in [(2, 12, 8), (1, 8, 12), (2, 8, 0), (3, 8, 12)] {
        let error = engine.run(Array3::zeros(other).view()).unwrap_err();
        let expected = EngineError::Shape {
            expected: INPUT,
            got: other.into(),
        };
        assert_eq!(error, expected);
    }
    assert_eq!(engine.run(picture(1).view()).unwrap(), before);
}

fn reads_any_order_of_memory(engine: &mut dyn Engine) {
    let stored = picture(2)
        .permuted_axes([1, 2, 0])
        .as_standard_layout()
        .into_owned();
    assert_eq!(
        engine.run(stored.view().permuted_axes([2, 0, 1])).unwrap(),
        engine.run(picture(2).view()).unwrap()
    );
}

fn agrees_with_tract(engine: &mut dyn Engine, cosine: f32) {
    let mut tract = TractEngine::load(&bytes(&float_model(INPUT)), TractForm::Dequantised).unwrap();
    let pictures: Vec<_> = (0..6).map(picture).collect();
    let found = agreement(engine, &mut tract, &pictures).unwrap();
    assert!(found.lowest >= cosine, "{}: {found:?}", engine.name());
    let mut lengths = [0.0f32; 2];
    for picture in &pictures {
        for (length, engine) in lengths.iter_mut().zip([&mut *engine, &mut tract]) {
            let numbers = engine.run(picture.view()).unwrap();
            *length += numbers.iter().map(|v| v * v).sum::<f32>();
        }
    }
    let ratio = lengths[0] / lengths[1];
    assert!(
        (0.8..1.25).contains(&ratio),
        "{}: lengths {lengths:?}",
        engine.name()
    );
}

fn moves_between_threads(mut engine: Box<dyn Engine>) {
    let here = engine.run(picture(3).view()).unwrap();
    let there = std::thread::spawn(move || engine.run(picture(3).view()).unwrap());
    assert_eq!(there.join().unwrap(), here);
}

fn rejects_invalid_models(load: &mut Load, model: &ModelProto) {
    let whole = bytes(model);
    let mut rejects = |what: &str, model: &[u8]| {
        assert!(load(model).is_err(), "{what} is accepted as a model");
    };
    rejects("nothing", b"");
    rejects("text", b"not a model at all");
    rejects("half a file", &whole[..whole.len() / 2]);
    let mut changed = |what: &str, change: &dyn Fn(&mut ModelProto)| {
        let mut model = model.clone();
        change(&mut model);
        rejects(what, &bytes(&model));
    };
    changed("a model without a graph", &|m| m.graph = None);
    changed("a model of open batch size", &|m| {
        if let Some(graph) = &mut m.graph {
            graph.input = vec![value("image", &[-1, 2, 8, 12])];
        }
    });
    changed("a model with a second output that is not a map", &|m| {
        if let Some(graph) = &mut m.graph {
            graph.output.push(value("flat", &[1, 4]));
        }
    });
}

fn tract(form: TractForm) -> impl FnMut(&[u8]) -> Result<Box<dyn Engine>, String> {
    move |model| match TractEngine::load(model, form) {
        Ok(engine) => Ok(Box::new(engine)),
        Err(e) => Err(e.to_string()),
    }
}

fn tensorrt(place: TensorRtConfig) -> impl FnMut(&[u8]) -> Result<Box<dyn Engine>, String> {
    move |model| {
        let started = TensorRt::start(&place, Arc::new(|_, _| {})).map_err(|e| e.to_string())?;
        match started.load(model, &|| true) {
            Ok(engine) => Ok(Box::new(engine)),
            Err(e) => Err(e.to_string()),
        }
    }
}

pub(super) fn place(fake: &FakeShim) -> TensorRtConfig {
    TensorRtConfig {
        shims: fake.shims(),
        plans: fake.plans(),
        options: PlanOptions::default(),
    }
}

#[test]
fn tract_in_floats_conforms() {
    let mut load = tract(TractForm::Dequantised);
    conforms(&mut load, &float_model(INPUT), "tract 0.23.9 f32", 0.99999);
}

#[test]
fn tract_with_int8_weights_conforms() {
    let mut load = tract(TractForm::Dequantised);
    let model = quantised_model(INPUT);
    conforms(&mut load, &model, "tract 0.23.9 int8 weights in f32", 0.999);
}

#[test]
fn tract_with_all_quantisation_conforms() {
    let mut load = tract(TractForm::AsIs);
    // The quantisation step of the pooled values, 6/127, is coarse for so few values.
    conforms(
        &mut load,
        &quantised_model(INPUT),
        "tract 0.23.9 int8 Q/DQ",
        0.97,
    );
}

#[test]
fn the_fake_tensorrt_conforms() {
    let fake = FakeShim::new(&TINY);
    let name = |numbers| format!("TensorRT 10.3.0.72 {numbers} on Fake Orin");
    let mut load = tensorrt(place(&fake));
    conforms(&mut load, &float_model(INPUT), &name("f32"), 0.9999);
    conforms(&mut load, &quantised_model(INPUT), &name("int8"), 0.995);
    assert_eq!(
        fake.builds(),
        2,
        "one plan per model; none for the rejected ones"
    );
}

#[test]
fn the_tensorrt_of_this_machine_conforms() {
    let plans = tempfile::tempdir().unwrap();
    let built = format!("../../target/shims/{}", std::env::consts::ARCH);
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(built);
    let mut reasons = vec![];
    for shims in [built, PathBuf::from(SHIM_FOLDER)] {
        let place = TensorRtConfig {
            shims,
            plans: plans.path().join("plans"),
            options: PlanOptions::default(),
        };
        match TensorRt::start(&place, Arc::new(|_, _| {})) {
            Err(e) => reasons.push(e.to_string()),
            Ok(started) => {
                println!("{}", started.installation());
                drop(started);
                let mut load = tensorrt(place);
                conforms(&mut load, &float_model(INPUT), "TensorRT ", 0.999);
                conforms(&mut load, &quantised_model(INPUT), "TensorRT ", 0.97);
                return;
            }
        }
    }
    println!("skipped: {}", reasons.join("; "));
}
