//! How a contender of `cargo xtask bench infer` answers: what it is called and how long it took to load; for each number that it reads the
//! milliseconds of so many runs, least and median; and at the end of its input the most memory that it held: a line of JSON each.

use serde_json::json;
use std::time::Instant;

/// Answers for a model that has been loading since `started`.
pub fn take(name: &str, started: Instant, mut run: impl FnMut()) {
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

/// The most memory that this process ever held.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.expect("VmHWM") * 1024
}
