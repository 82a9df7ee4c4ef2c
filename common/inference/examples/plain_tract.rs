//! Unmodified tract, without the kernels that Flukewatch adds: a peer of `cargo xtask bench infer`.
//!
//! Nothing of Flukewatch is linked, so none of its kernels are used.
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

mod turns;

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
    turns::take("unmodified tract", started, || {
        std::hint::black_box(state.run(tvec![image.clone()]).unwrap());
    });
}
