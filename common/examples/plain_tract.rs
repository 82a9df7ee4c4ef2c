//! tract as it comes, without what Flukewatch adds to it: a peer of `cargo xtask bench infer`, spoken to as `bench_infer serve` is.
//!
//! Nothing of Flukewatch is linked in here, and so none of its kernels.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use serde_json::json;
use std::time::Instant;
use tract_onnx::prelude::*;

fn main() {
    let model = std::env::args().nth(1).unwrap();
    let started = Instant::now();
    let model = tract_onnx::onnx()
        .model_for_path(model)
        .and_then(|m| m.into_optimized())
        .unwrap();
    let shape = model.input_fact(0).unwrap().shape.as_concrete().unwrap();
    let image: Vec<f32> = (0..shape.iter().product::<usize>())
        .map(|i| (i as f32 * 0.37).sin())
        .collect();
    let image = Tensor::from_shape(shape, &image).unwrap().into_tvalue();
    let mut state = model.into_runnable().unwrap().spawn().unwrap();
    println!(
        "{}",
        json!({ "name": "tract as it comes", "load_ms": milliseconds(started) })
    );
    for line in std::io::stdin().lines() {
        let runs: usize = line.unwrap().trim().parse().unwrap();
        let mut times: Vec<f64> = (0..runs)
            .map(|_| {
                let started = Instant::now();
                std::hint::black_box(state.run(tvec![image.clone()]).unwrap());
                milliseconds(started)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({ "least_ms": times[0], "median_ms": times[times.len() / 2] })
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("{}", json!({ "peak_bytes": kib * 1024 }));
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
