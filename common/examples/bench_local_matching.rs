//! Measures local matching on one thread: pairs of photos with descriptors of the shipped model's layout, with and without a fine grid,
//! read from the compact form as in a search.
//!
//! ```sh
//! cargo run --release -p flukewatch-common --example bench_local_matching
//! ```
#![allow(clippy::unwrap_used, reason = "a failed step fails the measurement")]

use flukewatch_common::catalogue::{Enrolled, search_kernel};
use flukewatch_common::local_matching::{
    Descriptors, FineWeights, Layout, LocalPhotos, LocalScore, ViewMap,
};
use std::hint::black_box;
use std::time::Instant;

const COARSE: Layout = Layout {
    height: 5,
    width: 10,
    dimension: 128,
    fine: 0,
};
const FINE: Layout = Layout { fine: 64, ..COARSE };
/// The pairs of a round: the target is 3 ms for these, without a fine grid.
const PAIRS: usize = 20;
const ROUNDS: usize = 501;

fn main() {
    let score = LocalScore {
        weight: 1.0,
        intercept: 0.0,
        slope: 0.5,
        typical_norm: 0.1,
        whales: 30,
        photos: 2,
        fine: None,
    };
    let weights = FineWeights {
        coarse_mutual: 0.2,
        best: -1.3,
        mutual: 0.8,
        affine: 1.2,
    };
    let both = LocalScore {
        fine: Some(weights),
        ..score
    };
    measure("one grid", COARSE, &score);
    measure("with a fine grid", FINE, &both);
}

fn measure(name: &str, layout: Layout, score: &LocalScore) {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut drawn = || {
        let values: Vec<f32> = (0..layout.channels(1) * layout.locations())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        let view = ViewMap {
            values: &values,
            mirrored: false,
        };
        Descriptors::of_views(layout, &[view]).unwrap()
    };
    let query = drawn();
    let mut photos = LocalPhotos::new(layout);
    for number in 0..PAIRS {
        let entry = Enrolled {
            whale: format!("W{number}"),
            photo: format!("{number}.jpg"),
            source: "drawn".into(),
            ..Enrolled::default()
        };
        photos.push(&entry, &drawn()).unwrap();
    }
    let mut times: Vec<[f64; 2]> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            let read: Vec<Descriptors> = (0..PAIRS)
                .map(|photo| photos.descriptors(photo).unwrap())
                .collect();
            let reading = started.elapsed().as_secs_f64();
            let similarities = read.iter().map(|photo| score.similarity(&query, photo));
            black_box(similarities.sum::<f32>());
            [reading, started.elapsed().as_secs_f64() - reading]
        })
        .collect();
    let mut median = |at: usize| {
        times.sort_by(|a, b| a[at].total_cmp(&b[at]));
        times[ROUNDS / 2][at] * 1e6
    };
    let (reading, comparing) = (median(0), median(1));
    println!(
        "{name}, {} kernel, {} bytes per photo, {PAIRS} pairs: {reading:.0} us to read and verify, {comparing:.0} us to compare ({:.1} us per pair)",
        search_kernel(),
        Descriptors::bytes(layout),
        comparing / PAIRS as f64
    );
}
