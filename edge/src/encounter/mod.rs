//! Encounters: what one fluke shows from its rising to its dive, of which the best few crops are kept.
//!
//! Each track of the flukes before a camera is an encounter of its own, so that two whales side by side are two. Memory is bounded by the
//! number of tracks, crops and places kept.

mod crops;
mod open;
mod places;

pub use crops::Crop;

use crate::pixels::Pixels;
use crate::quality::{Assessor, at_most};
use crate::time::Moment;
use crate::track::{TrackRules, Tracker};
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::{FrameSize, Place};
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use open::Open;

/// One encounter that is over, or a part of one that gets too long.
#[derive(Clone, Debug)]
pub struct Encounter {
    /// The fluke's track, counted by camera; parts of one encounter bear the same.
    pub track: u64,
    /// When the first frame with the fluke was taken.
    pub started: Moment,
    /// When the last one was.
    pub ended: Moment,
    /// Frames with the fluke.
    pub frames: u32,
    /// The best crops, best first; none where no frame could be decoded.
    pub crops: Vec<Crop>,
    /// Where the fluke was, first and last included.
    pub places: Vec<Place>,
    /// The size of the frames.
    pub frame: FrameSize,
    /// The detector's best score; `None` where none looked.
    pub detector: Option<f32>,
}

/// Which frames belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Those of a film: an encounter ends after a gap without its fluke, or when it gets too long.
    Film {
        /// The gap, in milliseconds.
        gap: i64,
        /// The longest encounter, in milliseconds.
        longest: i64,
    },
    /// Each frame stands for itself: every fluke in it is an encounter.
    Stills,
}

/// What is known of the flukes in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    /// A detector found these.
    Detected(&'a [Detection]),
    /// Somebody who knows says that they are here.
    Told(&'a [PixelBox]),
    /// Nobody looked: the whole frame counts as one fluke.
    Whole,
}

/// How often a fluke's crops are judged, in microseconds: more seldom than frames come, for most show the same.
const JUDGED_EVERY: i64 = 60_000;
/// How sharp a crop may be beside the sharpest that was seen of a fluke, for a crop whose pixels are not there yet.
const SHARPER: f32 = 1.3;

/// Groups the frames of one camera into encounters.
#[derive(Debug)]
pub struct Encounters {
    grouping: Grouping,
    best_crops: usize,
    margin: f32,
    tracker: Tracker,
    /// The least width of what a detector finds, as a share of the frame's.
    narrowest: f32,
    open: Vec<Open>,
    assessor: Assessor,
    told: Vec<Detection>,
    spare: Option<Vec<u8>>,
    now: Moment,
    frame: FrameSize,
}

/// The side of what a model looks at, where nobody says: that of 160 x 320 pixels.
const USUAL_SIDE: f32 = 226.0;

impl Encounters {
    /// Keeps `best_crops` (at least one) of each encounter, cut with `margin`, a share of the box's sides, around the box.
    pub fn new(grouping: Grouping, best_crops: usize, margin: f32) -> Self {
        Self {
            grouping,
            best_crops: best_crops.max(1),
            margin,
            tracker: Tracker::new(fitting(TrackRules::default(), grouping)),
            narrowest: 0.0,
            open: vec![],
            assessor: Assessor::new(USUAL_SIDE),
            told: vec![],
            spare: None,
            now: Moment::default(),
            frame: FrameSize::default(),
        }
    }

    /// Follows flukes by `rules`, but for the gap, which is the grouping's.
    #[must_use]
    pub fn with_tracks(self, rules: TrackRules) -> Self {
        let rules = fitting(rules, self.grouping);
        Self {
            narrowest: rules.narrowest,
            tracker: Tracker::new(rules),
            ..self
        }
    }

    /// Judges crops for a model that looks at `height` x `width` pixels.
    #[must_use]
    pub fn for_model(self, height: u32, width: u32) -> Self {
        let side = (f64::from(height) * f64::from(width)).sqrt() as f32;
        Self {
            assessor: Assessor::new(side),
            ..self
        }
    }

    /// Time has come to `now`: the encounters that this ends. A source whose moments jump, forwards or backwards, ends them too.
    pub fn pass(&mut self, now: Moment) -> Vec<Encounter> {
        if self.grouping == Grouping::Stills {
            return vec![];
        }
        self.tracker.pass(now);
        self.over()
    }

    /// A frame of `frame` pixels, taken at `taken`, shows `found`. Call [`Encounters::pass`] first, and [`Encounters::keep`] next where
    /// [`Encounters::wants_pixels`]; then [`Encounters::complete`].
    pub fn look(&mut self, found: Found<'_>, frame: FrameSize, taken: Moment) {
        (self.now, self.frame) = (taken, frame);
        if self.grouping == Grouping::Stills {
            self.tracker.finish();
            self.open.clear();
        }
        let FrameSize { width, height } = frame;
        let sure = |region| Detection { region, score: 1.0 };
        let detected = matches!(found, Found::Detected(_));
        match found {
            Found::Whole => {
                let whole = sure(PixelBox::whole(width, height));
                self.tracker.step_only(whole, taken);
            }
            Found::Told(boxes) => {
                let inside = boxes.iter().filter_map(|b| b.within(width, height));
                self.told.clear();
                self.told.extend(inside.map(sure));
                self.tracker.step(&self.told, taken);
            }
            Found::Detected(boxes) => {
                let narrowest = self.narrowest * width as f32;
                let inside = boxes.iter().filter_map(|d| {
                    let region = d.region.within(width, height)?;
                    let wide = region.width() as f32 >= narrowest;
                    wide.then_some(Detection { region, ..*d })
                });
                self.told.clear();
                self.told.extend(inside);
                self.tracker.step(&self.told, taken);
                // A still is there because it shows a fluke.
                if self.grouping == Grouping::Stills && self.tracker.tracks().is_empty() {
                    let whole = sure(PixelBox::whole(width, height));
                    self.tracker.step_only(whole, taken);
                }
            }
        }
        let tracker = &self.tracker;
        // What was taken for a fluke and was none.
        self.open
            .retain(|o| o.confirmed || tracker.follows(o.track));
        for track in tracker.tracks() {
            let Some(seen) = track.seen else { continue };
            let at = self.open.iter().position(|o| o.track == track.id);
            let open = match at.and_then(|at| self.open.get_mut(at)) {
                Some(open) => {
                    open.see(seen.region, frame, taken);
                    open
                }
                None => {
                    let open = Open::new(track.id, seen.region, frame, taken, self.best_crops);
                    self.open.push(open);
                    let Some(open) = self.open.last_mut() else {
                        continue;
                    };
                    open
                }
            };
            open.confirmed |= track.confirmed;
            if detected {
                open.detector = Some(open.detector.unwrap_or(0.0).max(seen.score).min(1.0));
            }
        }
    }

    /// Whether the frame that was last looked at may hold a crop worth keeping.
    pub fn wants_pixels(&self) -> bool {
        let side = self.assessor.input_side();
        self.open.iter().any(|o| o.wants(self.now, side))
    }

    /// Judges the crops of the frame that was last looked at, whose pixels are `photo`, and keeps the best.
    pub fn keep(&mut self, photo: Pixels<'_>) {
        let side = self.assessor.input_side();
        for open in self.open.iter_mut().filter(|o| o.wants(self.now, side)) {
            let margin = self.margin;
            open.judge(photo, &mut self.assessor, margin, &mut self.spare);
        }
    }

    /// The encounters that the frame completes which was last looked at: those of stills, and those that get too long.
    pub fn complete(&mut self) -> Vec<Encounter> {
        match self.grouping {
            Grouping::Stills => {
                self.tracker.finish();
                self.over()
            }
            Grouping::Film { longest, .. } => take(&mut self.open, |o| o.lasted() >= longest),
        }
    }

    /// All of [`Encounters::look`], [`Encounters::keep`] and [`Encounters::complete`] at once.
    pub fn see(&mut self, photo: &RgbImage, found: Found<'_>, taken: Moment) -> Vec<Encounter> {
        let (width, height) = photo.dimensions();
        self.look(found, FrameSize { width, height }, taken);
        self.keep(Pixels::of(photo));
        self.complete()
    }

    /// There are no more frames: the encounters that were going on.
    pub fn finish(&mut self) -> Vec<Encounter> {
        self.tracker.finish();
        self.over()
    }

    /// The encounters whose tracks are over.
    fn over(&mut self) -> Vec<Encounter> {
        let Self { open, tracker, .. } = self;
        let mut over = take(open, |o| !tracker.follows(o.track));
        open.retain(|o| tracker.follows(o.track));
        over.sort_by_key(|e| (e.started, e.track));
        over
    }
}

/// Takes out the encounters that are flukes and for which `which` holds.
fn take(open: &mut Vec<Open>, which: impl Fn(&Open) -> bool) -> Vec<Encounter> {
    let over = open.extract_if(.., |o| o.confirmed && which(o));
    over.map(Open::close).collect()
}

/// `rules` with the gap of `grouping`. On a still every box that may begin a track is a fluke, since no other frame will tell.
fn fitting(rules: TrackRules, grouping: Grouping) -> TrackRules {
    match grouping {
        Grouping::Film { gap, .. } => TrackRules { gap, ..rules },
        Grouping::Stills => TrackRules {
            sure: 0.0,
            narrowest: 0.0,
            ..rules
        },
    }
}

/// Whether a box may still make a crop worth keeping: see [`at_most`].
fn promise(region: PixelBox, side: f32, sharpest: f32) -> f32 {
    at_most(region, side) * (sharpest * SHARPER).min(1.0)
}

#[cfg(test)]
mod tests;
