//! The protocol of a contender in `cargo xtask bench infer`, one line of JSON each: first its name
//! and load time; for each number `n` that it reads, the least and median milliseconds of `n` runs;
//! and at the end of its input its peak memory.

use serde_json::json;
use std::time::Instant;

/// Runs the protocol for a model whose loading began at `started`.
pub(crate) fn take(name: &str, started: Instant, mut run: impl FnMut()) {
    println!(
        "{}",
        json!({ "name": name, "load_ms": milliseconds(started) })
    );
    for line in std::io::stdin().lines() {
        let runs: usize = line.expect("a line").trim().parse().expect("a number");
        let mut times: Vec<f64> = (0..runs)
            .map(|_| {
                let started = Instant::now();
                run();
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

/// The peak memory of this process in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("VmHWM") * 1024
}
