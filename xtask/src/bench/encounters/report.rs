//! The result of the boat on a video, as a table.

use crate::bench::verdict;
use serde::Deserialize;
use std::fmt::Write;

/// Lower bounds of the rows' fluke widths, in pixels of the video.
const WIDTHS: [u32; 3] = [64, 128, 256];
/// Targets: minimum fraction of encounters found, and maximum difference between the fractions of
/// correct decisions in videos and on stills.
const FOUND: f64 = 0.95;
const BESIDE_STILLS: f64 = 0.03;
/// Target: maximum number of false sightings per hour.
const STRAYS: f64 = 1.0;

/// The output of the program `encounters`.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    seconds: f64,
    took: f64,
    surfacings: Vec<Surfacing>,
    strays: Vec<serde_json::Value>,
    returns: Returns,
}

#[derive(Debug, Deserialize)]
struct Surfacing {
    width: u32,
    enrolled: bool,
    sightings: u32,
    /// `None` if the encounter was not found.
    right: Option<bool>,
    named_another: Option<bool>,
    still_right: Option<bool>,
    /// The same with the photo reduced to the width of the fluke in the video.
    small_still_right: Option<bool>,
}

/// Number of sightings that continue another.
#[derive(Debug, Deserialize)]
struct Returns {
    right: u32,
    wrong: u32,
}

/// Fractions over some appearances.
struct Row {
    count: usize,
    found: f64,
    split: f64,
    right: f64,
    another: f64,
    still: f64,
    small_still: f64,
}

impl Row {
    fn of<'a>(surfacings: impl Iterator<Item = &'a Surfacing>) -> Self {
        let all: Vec<&Surfacing> = surfacings.collect();
        let seen: Vec<&Surfacing> = all.iter().copied().filter(|s| s.right.is_some()).collect();
        let share = |among: &[&Surfacing], which: fn(&Surfacing) -> bool| {
            among.iter().filter(|s| which(s)).count() as f64 / among.len() as f64
        };
        Self {
            count: all.len(),
            found: share(&all, |s| s.sightings > 0),
            split: share(&seen, |s| s.sightings > 1),
            right: share(&seen, |s| s.right == Some(true)),
            another: share(&seen, |s| s.named_another == Some(true)),
            still: share(&seen, |s| s.still_right == Some(true)),
            small_still: share(&seen, |s| s.small_still_right == Some(true)),
        }
    }

    fn line(&self, name: &str) -> String {
        let Self {
            count,
            found,
            split,
            right,
            another,
            still,
            small_still,
        } = self;
        format!(
            "{name:<26}{count:>7}{found:>8.3}{split:>8.3}{right:>8.3}{still:>8.3}{small_still:>9.3}{another:>9.3}\n"
        )
    }
}

impl Report {
    /// By width, by enrolment, and in total.
    pub(super) fn table(&self, name: &str) -> String {
        let all = &self.surfacings;
        let mut text = format!(
            "{name}: {:.0} s of video, {:.0} ms per second of video\n{:<26}{:>7}{:>8}{:>8}{:>8}{:>8}{:>9}{:>9}\n",
            self.seconds,
            1000.0 * self.took / self.seconds.max(1.0),
            "fluke width, pixels",
            "shown",
            "found",
            "split",
            "right",
            "stills",
            "as large",
            "another"
        );
        for (number, &from) in WIDTHS.iter().enumerate() {
            let to = WIDTHS.get(number + 1).copied().unwrap_or(u32::MAX);
            let of = all.iter().filter(|s| (from..to).contains(&s.width));
            let upper = if to == u32::MAX {
                String::new()
            } else {
                to.to_string()
            };
            text += &Row::of(of).line(&format!("{from} to {upper}"));
        }
        let small = || all.iter().filter(|s| s.width < WIDTHS[0]);
        if small().count() > 0 {
            text += &Row::of(small()).line(&format!("less than {} (not counted)", WIDTHS[0]));
        }
        let counted = || all.iter().filter(|s| s.width >= WIDTHS[0]);
        text += &Row::of(counted().filter(|s| s.enrolled)).line("of the catalogue");
        text += &Row::of(counted().filter(|s| !s.enrolled)).line("new");
        let row = Row::of(counted());
        text += &row.line("all");
        let off = (row.right - row.still).abs();
        let _ = writeln!(
            text,
            "found {:.3} (at least {FOUND}: {}); right minus stills {:+.3} (within {BESIDE_STILLS}, or better: {}), minus stills as large \
             {:+.3}; {} false sightings; returns: {} right, {} wrong",
            row.found,
            verdict(row.found >= FOUND),
            row.right - row.still,
            verdict(row.right >= row.still || off <= BESIDE_STILLS),
            row.right - row.small_still,
            self.strays.len(),
            self.returns.right,
            self.returns.wrong
        );
        text
    }

    /// False sightings per hour, of a video without flukes.
    pub(super) fn strays_an_hour(&self, name: &str) -> String {
        let an_hour = self.strays.len() as f64 * 3600.0 / self.seconds.max(1.0);
        let met = verdict(an_hour <= STRAYS);
        format!(
            "{name}, {:.0} s: {} false sightings, {an_hour:.2} per hour (at most {STRAYS}: {met})",
            self.seconds,
            self.strays.len()
        )
    }
}
