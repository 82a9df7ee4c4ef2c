//! Compares the sightings on shore with the truth.

use super::sighting::{Sighting, Verdict};
use super::truth::{Encounter, Sequence};
use anyhow::ensure;
use std::fmt;

/// An encounter with its sightings, or a sighting without an encounter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    camera: String,
    encounter: Option<Encounter>,
    said: String,
    /// Whether the boat's decision is right.
    pub(super) right: bool,
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (frames, whale) = match &self.encounter {
            Some(e) => {
                let kind = if e.enrolled { "enrolled" } else { "new" };
                (
                    format!("{}-{}", e.first, e.last),
                    format!("{} ({kind})", e.whale),
                )
            }
            None => ("-".to_owned(), "nothing".to_owned()),
        };
        let outcome = if self.right { "right" } else { "WRONG" };
        write!(
            f,
            "{outcome}  {}  frames {frames:<8}  {whale:<20}  the boat: {}",
            self.camera, self.said
        )
    }
}

/// A time interval in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: f64,
    to: f64,
}

impl Span {
    /// Intersection over union of two intervals, 0 to 1.
    fn agreement(self, other: Self) -> f64 {
        let common = self.to.min(other.to) - self.from.max(other.from);
        let all = self.to.max(other.to) - self.from.min(other.from);
        if common < 0.0 || all <= 0.0 {
            0.0
        } else {
            common / all
        }
    }

    fn later(self, by: f64) -> Self {
        Self {
            from: self.from + by,
            to: self.to + by,
        }
    }
}

/// Judges each encounter of each sequence, in order, and then the sightings without an encounter.
///
/// # Errors
/// If a sighting's camera is not a sequence.
pub(super) fn judge(sequences: &[Sequence], sightings: &[Sighting]) -> anyhow::Result<Vec<Judged>> {
    for sighting in sightings {
        ensure!(
            sequences.iter().any(|s| s.name == sighting.camera),
            "sighting {} is from camera '{}', which is not a sequence",
            sighting.id,
            sighting.camera
        );
    }
    Ok(sequences
        .iter()
        .flat_map(|sequence| {
            let seen: Vec<&Sighting> = sightings
                .iter()
                .filter(|s| s.camera == sequence.name)
                .collect();
            judge_sequence(sequence, &seen)
        })
        .collect())
}

fn judge_sequence(sequence: &Sequence, seen: &[&Sighting]) -> Vec<Judged> {
    let encounters = &sequence.truth.encounters;
    // A frame lasts until the next one, so that an encounter of one frame has a duration.
    let frame = 1000.0 / sequence.truth.frames_per_second;
    let shown: Vec<Span> = encounters
        .iter()
        .map(|e| Span {
            from: f64::from(e.first) * frame,
            to: (f64::from(e.last) + 1.0) * frame,
        })
        .collect();
    let reported: Vec<Span> = seen
        .iter()
        .map(|s| Span {
            from: s.started.as_millisecond() as f64,
            to: s.ended.as_millisecond() as f64 + frame,
        })
        .collect();
    let places = place(&reported, &shown);

    let judged = |encounter: Option<&Encounter>, said: String, right| Judged {
        camera: sequence.name.clone(),
        encounter: encounter.cloned(),
        said,
        right,
    };
    let at = |place: Option<usize>| {
        let both = seen.iter().zip(&places);
        both.filter(move |(_, p)| **p == place).map(|(s, _)| *s)
    };
    let report = encounters.iter().enumerate().map(|(i, encounter)| {
        let here: Vec<&Sighting> = at(Some(i)).collect();
        match here.as_slice() {
            [] => judged(Some(encounter), "no sighting".to_owned(), false),
            [one] => judged(Some(encounter), one.to_string(), is_true(one, encounter)),
            several => {
                let all: Vec<String> = several.iter().map(ToString::to_string).collect();
                judged(
                    Some(encounter),
                    format!("{} sightings: {}", all.len(), all.join(", ")),
                    false,
                )
            }
        }
    });
    let strays = at(None).map(|s| judged(None, s.to_string(), false));
    report.chain(strays).collect()
}

fn is_true(sighting: &Sighting, encounter: &Encounter) -> bool {
    match sighting.verdict {
        Verdict::Known => {
            encounter.enrolled && sighting.whale.as_deref() == Some(encounter.whale.as_str())
        }
        Verdict::New => !encounter.enrolled,
        Verdict::Review | Verdict::Unidentified => false,
    }
}

/// The encounter of each sighting; `None` for a sighting without an encounter.
///
/// The boat uses clock times, the truth frame numbers, and the time of the first frame is unknown.
/// It is chosen so that sightings and encounters overlap most.
fn place(reported: &[Span], shown: &[Span]) -> Vec<Option<usize>> {
    let best_for = |span: Span| {
        let scores = shown.iter().map(move |e| span.agreement(*e)).enumerate();
        scores.fold((None, 0.0), |best, (i, score)| {
            if score > best.1 {
                (Some(i), score)
            } else {
                best
            }
        })
    };
    let shifts = reported
        .iter()
        .flat_map(|r| shown.iter().map(move |e| e.from - r.from));
    let agreement =
        |shift: f64| -> f64 { reported.iter().map(|r| best_for(r.later(shift)).1).sum() };
    let best = shifts
        .map(|shift| (shift, agreement(shift)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let shift = best.map_or(0.0, |(shift, _)| shift);
    reported
        .iter()
        .map(|r| best_for(r.later(shift)).0)
        .collect()
}

#[cfg(test)]
mod tests;
