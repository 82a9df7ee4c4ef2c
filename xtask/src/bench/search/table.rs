//! The measurements at one size, as a table.

use crate::bench::median;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Target: at least as fast as the fastest peer.
const SPEED_TARGET: f64 = 1.0;

/// The output of the peers' program; our own search is the first.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Printed {
    searches: Vec<Search>,
    queries: u32,
    kernel: String,
    mapped: bool,
    versions: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Search {
    name: String,
    /// One value per query and round.
    milliseconds: Vec<f64>,
    /// Queries with the same best photo as a float search.
    same: u32,
}

impl Search {
    fn median(&self) -> f64 {
        median(self.milliseconds.clone())
    }

    fn least(&self) -> f64 {
        self.milliseconds
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
    }
}

impl Printed {
    /// Versions of the compared software.
    pub(super) fn made_of(&self) -> String {
        let place = if self.mapped { "mapped" } else { "in memory" };
        let versions = self.versions.iter();
        let versions: Vec<String> = versions.map(|(what, v)| format!("{what} {v}")).collect();
        format!(
            "Flukewatch: {}, catalogue {place}; peers: {}",
            self.kernel,
            versions.join(", ")
        )
    }
}

/// The measurements at one size.
pub(super) struct Size {
    /// Number of embeddings.
    pub(super) photos: u32,
    /// Output of the peers' program.
    pub(super) printed: Printed,
}

impl Size {
    /// The fastest peer's time divided by ours.
    pub(super) fn ratio(&self) -> f64 {
        let mut times = self.printed.searches.iter().map(Search::median);
        let ours = times.next().unwrap_or(f64::NAN);
        times.fold(f64::INFINITY, f64::min) / ours
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Printed {
            searches, queries, ..
        } = &self.printed;
        let ours = searches.first().map_or(f64::NAN, Search::median);
        writeln!(
            f,
            "{:<22} {:>10} {:>10} {:>10}  same best photo as in floats",
            format!("{} embeddings", self.photos),
            "median ms",
            "least ms",
            "over ours"
        )?;
        for search in searches {
            writeln!(
                f,
                "{:<22} {:>10.2} {:>10.2} {:>10.2}  {} of {queries}",
                search.name,
                search.median(),
                search.least(),
                search.median() / ours,
                search.same
            )?;
        }
        let ratio = self.ratio();
        let verdict = if ratio >= SPEED_TARGET {
            "met"
        } else {
            "missed"
        };
        writeln!(
            f,
            "fastest peer over ours {ratio:.2}, at least {SPEED_TARGET:.2}: {verdict}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_that_of_the_fastest_peer() {
        let printed = r#"{"searches": [
            {"name": "Flukewatch", "milliseconds": [2.0, 9.0, 1.0], "same": 15},
            {"name": "faiss", "milliseconds": [3.0, 3.0, 8.0], "same": 14},
            {"name": "usearch", "milliseconds": [7.0, 5.0, 6.0], "same": 15}],
            "queries": 15, "kernel": "AVX2", "mapped": true, "versions": {"faiss-cpu": "1.15.1"}}"#;
        let size = Size {
            photos: 10_000,
            printed: serde_json::from_str(printed).unwrap(),
        };
        assert_eq!(size.ratio(), 1.5);
        let table = size.to_string();
        assert!(
            table.contains("14 of 15") && table.contains("1.50, at least 1.00: met"),
            "{table}"
        );
        assert_eq!(
            size.printed.made_of(),
            "Flukewatch: AVX2, catalogue mapped; peers: faiss-cpu 1.15.1"
        );
    }
}
