//! Comparison of both trainers.

use super::run::Run;
use crate::bench::{median, verdict};
use std::fmt;

/// Target: minimum ratio of our photos per second to the peer's.
const SPEED_TARGET: f64 = 1.3;
/// Target: maximum ratio of our memory to the peer's.
const MEMORY_TARGET: f64 = 0.7;

/// The measurements, round by round.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Comparison {
    ours: Vec<Run>,
    peer: Vec<Run>,
}

impl Comparison {
    /// Compares as many runs of each, one or more.
    pub(super) fn of(ours: Vec<Run>, peer: Vec<Run>) -> Self {
        Self { ours, peer }
    }

    /// Our photos per second divided by the peer's, medians of all rounds.
    pub(super) fn speed_ratio(&self) -> f64 {
        median(speeds(&self.ours)) / median(speeds(&self.peer))
    }

    /// Our peak memory divided by the peer's, medians of all rounds.
    fn memory_ratio(&self) -> f64 {
        median(megabytes(&self.ours)) / median(megabytes(&self.peer))
    }

    /// The last line of the command's output.
    pub(super) fn line(&self) -> String {
        format!("images/s ratio: {:.2}", self.speed_ratio())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.ours.len();
        writeln!(f, "median of {rounds} round(s), minimum to maximum")?;
        writeln!(
            f,
            "{:<16} {:>24} {:>24} {:>7}  target",
            "", "Flukewatch", "PyTorch", "ratio"
        )?;
        let speed = self.speed_ratio();
        writeln!(
            f,
            "{:<16} {:>24} {:>24} {speed:>7.2}  at least {SPEED_TARGET:.2}: {}",
            "images/s",
            spread(speeds(&self.ours), 1),
            spread(speeds(&self.peer), 1),
            verdict(speed >= SPEED_TARGET)
        )?;
        let memory = self.memory_ratio();
        write!(
            f,
            "{:<16} {:>24} {:>24} {memory:>7.2}  at most {MEMORY_TARGET:.2}: {}",
            "peak memory, MB",
            spread(megabytes(&self.ours), 0),
            spread(megabytes(&self.peer), 0),
            verdict(memory <= MEMORY_TARGET)
        )
    }
}

fn speeds(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|r| r.images_per_second).collect()
}

fn megabytes(runs: &[Run]) -> Vec<f64> {
    runs.iter().map(|r| r.peak as f64 / 1e6).collect()
}

/// Formats median and range, e.g. `41.2 (40.0 to 43.5)`.
fn spread(values: Vec<f64>, digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values);
    format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(speeds: &[f64], megabytes: u64) -> Vec<Run> {
        let run = |&images_per_second: &f64| Run {
            images_per_second,
            peak: megabytes * 1_000_000,
        };
        speeds.iter().map(run).collect()
    }

    #[test]
    fn medians_are_compared() {
        let c = Comparison::of(
            runs(&[80.0, 60.0, 61.0], 700),
            runs(&[50.0, 10.0, 51.0], 1000),
        );
        assert_eq!(c.line(), "images/s ratio: 1.22");
        let table = c.to_string();
        assert!(table.contains("61.0 (60.0 to 80.0)"), "{table}");
        assert!(table.contains("1.22  at least 1.30: missed"), "{table}");
        assert!(table.contains("0.70  at most 0.70: met"), "{table}");
    }

    #[test]
    fn a_met_target_is_reported_as_met() {
        let c = Comparison::of(runs(&[65.1], 710), runs(&[50.0], 1000));
        let table = c.to_string();
        assert!(table.contains("1.30  at least 1.30: met"), "{table}");
        assert!(table.contains("0.71  at most 0.70: missed"), "{table}");
    }
}
