//! rten, a contender of `cargo xtask bench infer`.

#[path = "../../../../../../common/inference/examples/turns/mod.rs"]
mod turns;

use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::{AsView, NdTensor};
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1);
    let model = args.next().expect("MODEL THREADS");
    let threads: usize = args.next().and_then(|t| t.parse().ok()).expect("THREADS");
    let started = Instant::now();
    let model = Model::load_file(model).expect("the model can be loaded");
    let input = model.input_ids()[0];
    let output = model.output_ids()[0];
    let shape: Vec<usize> = model
        .node_info(input)
        .and_then(|n| n.shape())
        .expect("the input has a known shape")
        .iter()
        .map(|d| match d {
            rten::Dimension::Fixed(size) => *size,
            rten::Dimension::Symbolic(name) => {
                panic!("dimension {name} is not fixed; export the model with fixed sizes")
            }
        })
        .collect();
    let shape: [usize; 4] = shape.try_into().expect("[1, C, H, W]");
    let count = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    let image = NdTensor::from_data(shape, numbers);
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    let options = RunOptions::default().with_thread_pool(Some(pool));
    turns::take("rten 0.27.0", started, || {
        let inputs = vec![(input, image.view().into())];
        let run = model.run(inputs, &[output], Some(options.clone()));
        std::hint::black_box(run.expect("the model can be run"));
    });
}
