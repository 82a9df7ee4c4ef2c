//! The ground truth that `flukewatch synth-sea` writes beside a video.

use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::Sighting;
use serde::Deserialize;
use std::path::Path;

/// A whale that is hidden for longer than this many seconds starts another surfacing.
const MAX_HIDDEN: f64 = 1.0;
/// The least intersection over union of a box with the fluke that it shows.
const MIN_OVERLAP: f64 = 0.3;

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

/// One appearance of a whale's fluke.
#[derive(Debug)]
pub(crate) struct Surfacing {
    /// The whale's name.
    pub whale: String,
    /// Time in seconds of the video, and the fluke's box, for each frame.
    pub places: Vec<(f64, PixelBox)>,
}

impl Surfacing {
    /// The largest width of the fluke, in pixels.
    pub(crate) fn width(&self) -> u32 {
        let widths = self.places.iter().map(|(_, b)| b.width());
        widths.max().unwrap_or(0)
    }

    fn ends(&self) -> f64 {
        self.places.last().map_or(f64::NEG_INFINITY, |(t, _)| *t)
    }
}

/// All surfacings of a video in order, and its length in frames and seconds.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub surfacings: Vec<Surfacing>,
    pub frames: u32,
    pub seconds: f64,
}

impl Truth {
    /// Reads the ground truth of `film`.
    pub(crate) fn beside(film: &Path) -> Self {
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
                    .find(|s| s.whale == fluke.whale && line.time - s.ends() <= MAX_HIDDEN);
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

    /// The index of the surfacing that a sighting that began at `began` shows: the one that most of
    /// its boxes overlap; `None` if they overlap none.
    pub(crate) fn of(&self, sighting: &Sighting, began: f64, rate: f64) -> Option<usize> {
        let places = &sighting.footage.as_ref()?.boxes;
        let on = |surfacing: &Surfacing| {
            let here = places.iter().filter(|place| {
                let time = began + f64::from(place.after) / 1000.0;
                let mut near = surfacing.places.iter();
                near.any(|(t, region)| {
                    (t - time).abs() < 0.6 / rate && region.overlap(&place.region) >= MIN_OVERLAP
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
