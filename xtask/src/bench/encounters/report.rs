//! What the boat made of a film, and its table.

use crate::bench::verdict;
use serde::Deserialize;
use std::fmt::Write;

/// From which width on a fluke counts to which row, in pixels of the film's frames.
const WIDTHS: [u32; 3] = [64, 128, 256];
/// What must be reached: encounters found, and how far right decisions may lie from those on stills.
const FOUND: f64 = 0.95;
const BESIDE_STILLS: f64 = 0.03;
/// False sightings an hour at most.
const STRAYS: f64 = 1.0;

/// What the program `encounters` prints.
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
    /// `None` where it was not found.
    right: Option<bool>,
    named_another: Option<bool>,
    still_right: Option<bool>,
    /// The same with the photo no larger than the fluke is in the film.
    small_still_right: Option<bool>,
}

/// Sightings that are said to continue another.
#[derive(Debug, Deserialize)]
struct Returns {
    right: u32,
    wrong: u32,
}

/// Shares over some surfacings.
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
    /// By width, whether enrolled, and all together.
    pub(super) fn table(&self, name: &str) -> String {
        let all = &self.surfacings;
        let mut text = format!(
            "{name}: {:.0} s of film, {:.0} ms a second of it\n{:<26}{:>7}{:>8}{:>8}{:>8}{:>8}{:>9}{:>9}\n",
            self.seconds,
            1000.0 * self.took / self.seconds.max(1.0),
            "flukes, pixels across",
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
            "found {:.3} (at least {FOUND}: {}); right beside stills {:+.3} (within {BESIDE_STILLS}, or better: {}), beside stills as large \
             {:+.3}; {} sightings on no fluke; returns: {} right, {} wrong",
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

    /// False sightings an hour, of a film that shows no fluke.
    pub(super) fn strays_an_hour(&self, name: &str) -> String {
        let an_hour = self.strays.len() as f64 * 3600.0 / self.seconds.max(1.0);
        let met = verdict(an_hour <= STRAYS);
        format!(
            "{name}, {:.0} s: {} sightings on no fluke, {an_hour:.2} an hour (at most {STRAYS}: {met})",
            self.seconds,
            self.strays.len()
        )
    }
}
