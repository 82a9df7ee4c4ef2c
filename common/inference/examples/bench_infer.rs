//! Our side of `cargo xtask bench infer`: a model in tract, as the boat runs it.
//!
//! ```sh
//! cargo run --release --example bench_infer -- floats MODEL.onnx OUT.onnx    # the model without its quantisation
//! cargo run --release --example bench_infer -- serve MODEL.onnx stripped 1    # or as-is; on 1 thread
//! ```
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

mod turns;

use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::strip::dequantise;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use ndarray::Array3;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["floats", model, out] => {
            std::fs::write(out, dequantise(&std::fs::read(model).unwrap()).unwrap()).unwrap();
        }
        ["serve", model, "stripped", threads] => serve(model, TractForm::Dequantised, threads),
        ["serve", model, "as-is", threads] => serve(model, TractForm::AsIs, threads),
        _ => panic!("floats MODEL OUT, or serve MODEL stripped|as-is THREADS"),
    }
}

fn serve(model: &str, form: TractForm, threads: &str) {
    let model = std::fs::read(model).unwrap();
    let started = Instant::now();
    let mut engine = TractEngine::load(&model, form)
        .and_then(|e| e.on_threads(threads.parse().unwrap()))
        .unwrap();
    let [c, h, w] = engine.input_shape();
    let image = Array3::from_shape_fn((c, h, w), |(c, y, x)| {
        ((c * 7 + y * 3 + x) as f32 * 0.37).sin()
    });
    let name = engine.name().to_owned();
    turns::take(&name, started, || {
        std::hint::black_box(engine.run(image.view()).unwrap());
    });
}
