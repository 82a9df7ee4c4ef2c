//! What a film shows in truth, as `flukewatch synth-sea` writes it beside the film.

use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::Sighting;
use serde::Deserialize;
use std::path::Path;

/// The same whale after this many seconds without it is another surfacing.
const APART: f64 = 1.0;
/// A box that overlaps a fluke by so much is about it, as intersection over union.
const ABOUT: f64 = 0.3;

#[derive(Deserialize)]
struct Line {
    time: f64,
    flukes: Vec<Fluke>,
}

#[derive(Deserialize)]
struct Fluke {
    whale: String,
    #[serde(rename = "box")]
    region: PixelBox,
}

/// One time that a whale shows its fluke.
#[derive(Debug)]
pub struct Surfacing {
    /// Whose.
    pub whale: String,
    /// Where and when, in seconds of the film.
    pub places: Vec<(f64, PixelBox)>,
}

impl Surfacing {
    /// Pixels across at its widest.
    pub fn width(&self) -> u32 {
        let widths = self.places.iter().map(|(_, b)| b.width());
        widths.max().unwrap_or(0)
    }

    fn ends(&self) -> f64 {
        self.places.last().map_or(f64::NEG_INFINITY, |(t, _)| *t)
    }
}

/// All that a film shows, in order, and how many frames and seconds it has.
#[derive(Debug, Default)]
pub struct Truth {
    pub surfacings: Vec<Surfacing>,
    pub frames: u32,
    pub seconds: f64,
}

impl Truth {
    /// The truth beside `film`.
    pub fn beside(film: &Path) -> Self {
        let text = std::fs::read_to_string(film.with_extension("truth.jsonl")).unwrap();
        let mut truth = Self::default();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            truth.frames += 1;
            truth.seconds = line.time;
            for fluke in line.flukes {
                let goes_on = truth
                    .surfacings
                    .iter_mut()
                    .rev()
                    .find(|s| s.whale == fluke.whale && line.time - s.ends() <= APART);
                let place = (line.time, fluke.region);
                match goes_on {
                    Some(surfacing) => surfacing.places.push(place),
                    None => truth.surfacings.push(Surfacing {
                        whale: fluke.whale,
                        places: vec![place],
                    }),
                }
            }
        }
        truth
    }

    /// Which surfacing a sighting that began at `began` shows: the one that most of its places lie on; `None` where they lie on none.
    pub fn of(&self, sighting: &Sighting, began: f64, rate: f64) -> Option<usize> {
        let places = &sighting.footage.as_ref()?.boxes;
        let on = |surfacing: &Surfacing| {
            let here = places.iter().filter(|place| {
                let time = began + f64::from(place.after) / 1000.0;
                let mut near = surfacing.places.iter();
                near.any(|(t, region)| {
                    (t - time).abs() < 0.6 / rate && region.overlap(&place.region) >= ABOUT
                })
            });
            here.count()
        };
        let counts = self.surfacings.iter().map(on).enumerate();
        let best = counts.max_by_key(|(number, count)| (*count, usize::MAX - number));
        best.filter(|(_, count)| *count > 0)
            .map(|(number, _)| number)
    }
}
