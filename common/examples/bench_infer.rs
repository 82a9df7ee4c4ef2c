//! Our side of `cargo xtask bench infer`: a model in tract, as the boat runs it.
//!
//! ```sh
//! cargo run --release --example bench_infer -- floats MODEL.onnx OUT.onnx    # the model without its quantisation
//! cargo run --release --example bench_infer -- serve MODEL.onnx stripped 1    # or as-is; on so many threads
//! ```
//!
//! `serve` prints what it loaded and in how many milliseconds, then for each number that it reads the milliseconds of so many runs,
//! least and median, and at the end of its input the most memory that it held: a line of JSON each.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::engine::Engine;
use flukewatch_common::engine::strip::in_floats;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use ndarray::Array3;
use serde_json::json;
use std::time::Instant;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["floats", model, out] => {
            std::fs::write(out, in_floats(&std::fs::read(model).unwrap()).unwrap()).unwrap();
        }
        ["serve", model, "stripped", threads] => serve(model, TractForm::Stripped, threads),
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
    let load_ms = milliseconds(started);
    println!("{}", json!({ "name": engine.name(), "load_ms": load_ms }));
    let [c, h, w] = engine.input_shape();
    let image = Array3::from_shape_fn((c, h, w), |(c, y, x)| {
        ((c * 7 + y * 3 + x) as f32 * 0.37).sin()
    });
    for line in std::io::stdin().lines() {
        let runs: usize = line.unwrap().trim().parse().unwrap();
        let mut times: Vec<f64> = (0..runs)
            .map(|_| {
                let started = Instant::now();
                std::hint::black_box(engine.run(image.view()).unwrap());
                milliseconds(started)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({ "least_ms": times[0], "median_ms": times[times.len() / 2] })
        );
    }
    println!("{}", json!({ "peak_bytes": peak_bytes() }));
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The most memory that this process ever held.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
