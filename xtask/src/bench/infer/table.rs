//! The measurements as a Markdown table.

use crate::bench::median;
use serde::Deserialize;
use std::fmt::Write as _;

/// The model as on the boat.
pub(super) const OURS: &str = "Flukewatch, int8 weights in floats: the boat";
/// The reference of all ratios.
pub(super) const PEER: &str = "ONNX Runtime, f32";

/// The figures of a contender.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Measured {
    what: String,
    threads: u32,
    /// Name of the contender.
    name: String,
    load_ms: f64,
    /// One value per turn.
    least_ms: Vec<f64>,
    median_ms: Vec<f64>,
    peak_bytes: u64,
}

impl Measured {
    fn milliseconds(&self) -> f64 {
        median(self.median_ms.clone())
    }
}

/// The time of [`OURS`] divided by that of [`PEER`], with the fewest threads.
pub(super) fn ratio(all: &[Measured]) -> f64 {
    let Some(least) = all.iter().map(|m| m.threads).min() else {
        return f64::NAN;
    };
    over_peer(
        all,
        all.iter().find(|m| m.what == OURS && m.threads == least),
    )
}

/// A contender's time divided by that of [`PEER`] with as many threads.
fn over_peer(all: &[Measured], one: Option<&Measured>) -> f64 {
    let peer = |threads| all.iter().find(|m| m.what == PEER && m.threads == threads);
    match one.and_then(|one| Some((one, peer(one.threads)?))) {
        Some((one, peer)) => one.milliseconds() / peer.milliseconds(),
        None => f64::NAN,
    }
}

/// One row per contender.
pub(super) fn markdown(all: &[Measured]) -> String {
    let mut text = String::from(
        "| contender | threads | ms per run | least | over ONNX Runtime f32 | loading, ms | most memory, MB |\n|---|---|---|---|---|---|---|\n",
    );
    for one in all {
        let least = one.least_ms.iter().copied().fold(f64::INFINITY, f64::min);
        let _ = writeln!(
            text,
            "| {} ({}) | {} | {:.2} | {least:.2} | {:.2} | {:.0} | {:.0} |",
            one.what,
            one.name,
            one.threads,
            one.milliseconds(),
            over_peer(all, Some(one)),
            one.load_ms,
            one.peak_bytes as f64 / 1e6
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(what: &str, threads: u32, median_ms: &[f64]) -> Measured {
        Measured {
            what: what.into(),
            threads,
            name: "it".into(),
            load_ms: 100.4,
            least_ms: vec![median_ms[0] - 1.0, median_ms[0]],
            median_ms: median_ms.to_vec(),
            peak_bytes: 81_600_000,
        }
    }

    #[test]
    fn each_is_compared_with_the_peer_with_as_many_threads() {
        let all = [
            measured(PEER, 2, &[5.0]),
            measured(OURS, 2, &[6.0]),
            measured(PEER, 1, &[8.0, 10.0, 30.0]),
            measured(OURS, 1, &[13.0, 14.0, 13.0]),
        ];
        assert_eq!(ratio(&all), 1.3);
        let text = markdown(&all);
        assert!(
            text.contains(&format!(
                "| {OURS} (it) | 2 | 6.00 | 5.00 | 1.20 | 100 | 82 |"
            )),
            "{text}"
        );
        assert!(
            text.contains(&format!(
                "| {OURS} (it) | 1 | 13.00 | 12.00 | 1.30 | 100 | 82 |"
            )),
            "{text}"
        );
        assert!(ratio(&all[..1]).is_nan());
    }
}
