//! rten, spoken to as `bench_infer serve` is.

use rten::{Model, RunOptions, ThreadPool};
use rten_tensor::{AsView, NdTensor};
use serde_json::json;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let mut args = std::env::args().skip(1);
    let model = args.next().expect("MODEL THREADS");
    let threads: usize = args.next().and_then(|t| t.parse().ok()).expect("THREADS");
    let started = Instant::now();
    let model = Model::load_file(model).expect("the model loads");
    let load_ms = milliseconds(started);
    println!("{}", json!({ "name": "rten 0.27.0", "load_ms": load_ms }));
    let input = model.input_ids()[0];
    let output = model.output_ids()[0];
    let shape: Vec<usize> = model
        .node_info(input)
        .and_then(|n| n.shape())
        .expect("the input has a shape")
        .iter()
        .map(|d| match d {
            rten::Dimension::Fixed(size) => *size,
            rten::Dimension::Symbolic(name) => panic!("{name} is not fixed"),
        })
        .collect();
    let shape: [usize; 4] = shape.try_into().expect("[1, C, H, W]");
    let count = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    let image = NdTensor::from_data(shape, numbers);
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    let options = RunOptions::default().with_thread_pool(Some(pool));
    for line in std::io::stdin().lines() {
        let runs: usize = line.expect("a line").trim().parse().expect("a number");
        let mut times: Vec<f64> = (0..runs)
            .map(|_| {
                let started = Instant::now();
                let run = model.run(
                    vec![(input, image.view().into())],
                    &[output],
                    Some(options.clone()),
                );
                std::hint::black_box(run.expect("the model runs"));
                milliseconds(started)
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{}",
            json!({ "least_ms": times[0], "median_ms": times[times.len() / 2] })
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = peak.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    println!("{}", json!({ "peak_bytes": kib.expect("VmHWM") * 1024 }));
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
