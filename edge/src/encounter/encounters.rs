//! Groups the frames of one camera into encounters.

use super::open_encounter::{CropContext, Encounter, OpenEncounter};
use crate::pixels::Pixels;
use crate::quality::Assessor;
use crate::time::MonotonicTimestamp;
use crate::track::{TrackRules, Tracker};
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;

/// Which frames belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// A video: an encounter ends after a gap without its fluke, or when it gets too long.
    Video {
        /// The gap, in milliseconds.
        gap: i64,
        /// The longest encounter, in milliseconds.
        longest: i64,
    },
    /// Stills: every fluke in each of them is an encounter.
    Stills,
}

/// What is known of the flukes in a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FlukeBoxes<'a> {
    /// Detections of a detector.
    Detected(&'a [Detection]),
    /// Boxes given by the source.
    Given(&'a [PixelBox]),
    /// Unknown: the whole frame counts as one fluke.
    WholeFrame,
}

impl FlukeBoxes<'_> {
    /// Whether there is a fluke.
    pub fn is_some(&self) -> bool {
        match self {
            Self::Detected(detections) => !detections.is_empty(),
            Self::Given(boxes) => !boxes.is_empty(),
            Self::WholeFrame => true,
        }
    }
}

/// The side of a model's input when none is set: that of 160 x 320 pixels.
const DEFAULT_INPUT_SIDE: f32 = 226.0;

/// Groups the frames of one camera into encounters.
#[derive(Debug)]
pub struct Encounters {
    grouping: Grouping,
    best_crops: usize,
    tracker: Tracker,
    min_width_fraction: f32,
    open: Vec<OpenEncounter>,
    crops: CropContext,
    /// The detections of the frame.
    detections: Vec<Detection>,
}

impl Encounters {
    /// Keeps `best_crops` (at least one) of each encounter, with `padding` around the box, a fraction of
    /// its sides.
    pub fn new(grouping: Grouping, best_crops: usize, padding: f32) -> Self {
        Self {
            grouping,
            best_crops: best_crops.max(1),
            tracker: Tracker::new(adapt(TrackRules::default(), grouping)),
            min_width_fraction: 0.0,
            open: vec![],
            crops: CropContext {
                padding,
                assessor: Assessor::new(DEFAULT_INPUT_SIDE),
                spare: None,
            },
            detections: vec![],
        }
    }

    /// Tracks flukes by `rules`, except for the gap, which is the grouping's.
    #[must_use]
    pub fn with_tracks(self, rules: TrackRules) -> Self {
        let rules = adapt(rules, self.grouping);
        Self {
            min_width_fraction: rules.min_width_fraction,
            tracker: Tracker::new(rules),
            ..self
        }
    }

    /// Assesses crops for a model with an input of `height` x `width` pixels.
    #[must_use]
    pub fn for_model(mut self, height: u32, width: u32) -> Self {
        let side = (f64::from(height) * f64::from(width)).sqrt() as f32;
        self.crops.assessor = Assessor::new(side);
        self
    }

    /// The encounters that end by `now` without a frame. A jump of time, forwards or backwards, ends
    /// encounters too.
    pub fn expire(&mut self, now: MonotonicTimestamp) -> Vec<Encounter> {
        if self.grouping == Grouping::Stills {
            return vec![];
        }
        self.tracker.expire(now);
        self.take_ended()
    }

    /// Takes a frame of size `frame`, taken at `taken`, with its flukes. The result keeps crops and
    /// returns the encounters that end.
    pub fn observe(
        &mut self,
        flukes: FlukeBoxes<'_>,
        frame: FrameSize,
        taken: MonotonicTimestamp,
    ) -> ObservedFrame<'_> {
        let expired = self.expire(taken);
        if self.grouping == Grouping::Stills {
            self.tracker.end_all();
            self.open.clear();
        }
        self.track(flukes, frame, taken);
        let detected = matches!(flukes, FlukeBoxes::Detected(_));
        self.update_open(detected, frame, taken);
        ObservedFrame {
            encounters: self,
            taken,
            expired,
        }
    }

    fn track(&mut self, flukes: FlukeBoxes<'_>, frame: FrameSize, taken: MonotonicTimestamp) {
        let FrameSize { width, height } = frame;
        let certain = |region| Detection { region, score: 1.0 };
        let whole = certain(PixelBox::whole(width, height));
        self.detections.clear();
        match flukes {
            FlukeBoxes::WholeFrame => self.tracker.update_single(whole, taken),
            FlukeBoxes::Given(boxes) => {
                let inside = boxes.iter().filter_map(|b| b.within(width, height));
                self.detections.extend(inside.map(certain));
                self.tracker.update(&self.detections, taken);
            }
            FlukeBoxes::Detected(detections) => {
                let min_width = self.min_width_fraction * width as f32;
                let inside = detections.iter().filter_map(|d| {
                    let region = d.region.within(width, height)?;
                    let wide_enough = region.width() as f32 >= min_width;
                    wide_enough.then_some(Detection { region, ..*d })
                });
                self.detections.extend(inside);
                self.tracker.update(&self.detections, taken);
                // A still was taken because it shows a fluke.
                if self.grouping == Grouping::Stills && self.tracker.tracks().is_empty() {
                    self.tracker.update_single(whole, taken);
                }
            }
        }
    }

    /// Updates the open encounters from the tracks.
    fn update_open(&mut self, detected: bool, frame: FrameSize, taken: MonotonicTimestamp) {
        let tracker = &self.tracker;
        // Drop false alarms.
        self.open
            .retain(|o| o.confirmed || tracker.contains(o.track));
        for track in tracker.tracks() {
            let Some(detection) = track.detection else {
                continue;
            };
            let at = self.open.iter().position(|o| o.track == track.id);
            let open = match at.and_then(|at| self.open.get_mut(at)) {
                Some(open) => {
                    open.see(detection.region, frame, taken);
                    open
                }
                None => self.open.push_mut(OpenEncounter::new(
                    track.id,
                    detection.region,
                    frame,
                    taken,
                    self.best_crops,
                )),
            };
            open.confirmed |= track.confirmed;
            if detected {
                let best = open.detector.unwrap_or(0.0).max(detection.score);
                open.detector = Some(best.min(1.0));
            }
        }
    }

    /// Takes a whole frame at once: [`Encounters::observe`] with its crops.
    pub fn observe_image(
        &mut self,
        image: &RgbImage,
        flukes: FlukeBoxes<'_>,
        taken: MonotonicTimestamp,
    ) -> Vec<Encounter> {
        let (width, height) = image.dimensions();
        let mut observed = self.observe(flukes, FrameSize { width, height }, taken);
        observed.keep_crops(Pixels::of(image));
        observed.complete()
    }

    /// Whether a fluke is in view: an open encounter is confirmed.
    pub fn is_active(&self) -> bool {
        self.open.iter().any(|open| open.confirmed)
    }

    /// Ends all open encounters and returns the confirmed ones.
    pub fn finish(&mut self) -> Vec<Encounter> {
        self.tracker.end_all();
        self.take_ended()
    }

    /// Takes the encounters whose tracks have ended.
    fn take_ended(&mut self) -> Vec<Encounter> {
        let Self { open, tracker, .. } = self;
        let mut ended = take(open, |o| !tracker.contains(o.track));
        open.retain(|o| tracker.contains(o.track));
        ended.sort_by_key(|e| (e.started, e.track));
        ended
    }
}

/// A frame that was added to the encounters of its camera.
#[derive(Debug)]
#[must_use = "`complete` returns the encounters that end"]
pub struct ObservedFrame<'a> {
    encounters: &'a mut Encounters,
    taken: MonotonicTimestamp,
    expired: Vec<Encounter>,
}

impl ObservedFrame<'_> {
    /// Whether the frame may have a crop worth keeping.
    pub fn wants_pixels(&self) -> bool {
        let Encounters { open, crops, .. } = &*self.encounters;
        let side = crops.assessor.input_side();
        open.iter().any(|o| o.wants(self.taken, side))
    }

    /// Assesses the crops of the frame with these pixels, and keeps the best.
    pub fn keep_crops(&mut self, pixels: Pixels<'_>) {
        let Encounters { open, crops, .. } = &mut *self.encounters;
        let side = crops.assessor.input_side();
        for open in open.iter_mut().filter(|o| o.wants(self.taken, side)) {
            open.assess(pixels, crops);
        }
    }

    /// The encounters that end before or with this frame: those that expired, those of stills, and
    /// those that get too long.
    pub fn complete(self) -> Vec<Encounter> {
        let encounters = self.encounters;
        let completed = match encounters.grouping {
            Grouping::Stills => encounters.finish(),
            Grouping::Video { longest, .. } => {
                take(&mut encounters.open, |o| o.duration() >= longest)
            }
        };
        let mut ended = self.expired;
        ended.extend(completed);
        ended
    }
}

/// Takes the confirmed encounters that satisfy `which`.
fn take(open: &mut Vec<OpenEncounter>, which: impl Fn(&OpenEncounter) -> bool) -> Vec<Encounter> {
    let ended = open.extract_if(.., |o| o.confirmed && which(o));
    ended.map(OpenEncounter::close).collect()
}

/// `rules` with the gap of `grouping`. On a still every detection that may start a track is confirmed,
/// since no other frame will.
fn adapt(rules: TrackRules, grouping: Grouping) -> TrackRules {
    match grouping {
        Grouping::Video { gap, .. } => TrackRules { gap, ..rules },
        Grouping::Stills => TrackRules {
            confirm_score: 0.0,
            min_width_fraction: 0.0,
            ..rules
        },
    }
}
