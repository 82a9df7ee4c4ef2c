//! Starts, continues and ends tracks.

use super::assign::{MAX_DETECTIONS, MAX_TRACKS, assign};
use super::motion::{Motion, overlap_of_smaller};
use crate::time::MonotonicTimestamp;
use flukewatch_common::detection::Detection;

/// A detection that overlaps a track by this fraction of the smaller box is a part of its fluke.
const PART_OVERLAP: f64 = 0.5;
/// A track continues with this fraction of the score that starts one.
const CONTINUE_FRACTION: f32 = 0.5;

/// When a track starts, is confirmed and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackRules {
    /// The least score that starts a track.
    pub threshold: f32,
    /// The least score that confirms a track at once.
    pub confirm_score: f32,
    /// The least detections within the last `window` frames that confirm a track.
    pub min_hits: u32,
    /// The window of `min_hits`, in frames; at most 32.
    pub window: u32,
    /// The least age of a confirmed track, in milliseconds: at a high frame rate several frames show the
    /// same wave.
    pub min_age: i64,
    /// The least width of a detection, as a fraction of the frame's. Not applied to stills, which are
    /// taken because they show a fluke.
    pub min_width_fraction: f32,
    /// A track ends after so many milliseconds without a detection.
    pub gap: i64,
}

impl Default for TrackRules {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            confirm_score: 0.95,
            min_hits: 3,
            window: 5,
            min_age: 300,
            min_width_fraction: 0.0,
            gap: 2000,
        }
    }
}

/// A fluke followed over frames.
#[derive(Clone, Copy, Debug)]
pub struct Track {
    /// Unique within a [`Tracker`].
    pub id: u64,
    /// Whether it is confirmed to be a fluke.
    pub confirmed: bool,
    /// Its detection in the last frame, if any.
    pub detection: Option<Detection>,
    motion: Motion,
    last_detection: Detection,
    last_seen: MonotonicTimestamp,
    first_seen: MonotonicTimestamp,
    /// One bit per frame with a detection, the last frame lowest.
    history: u32,
    /// Frames since it started.
    frames: u32,
}

/// Tracks the flukes of one camera.
#[derive(Debug)]
pub struct Tracker {
    rules: TrackRules,
    tracks: Vec<Track>,
    detections: Vec<Detection>,
    /// The time of the last frame.
    now: Option<MonotonicTimestamp>,
    next_id: u64,
}

impl Tracker {
    /// A tracker without tracks.
    pub fn new(rules: TrackRules) -> Self {
        Self {
            rules,
            tracks: Vec::with_capacity(MAX_TRACKS),
            detections: Vec::with_capacity(MAX_DETECTIONS),
            now: None,
            next_id: 0,
        }
    }

    /// The tracks, in the order in which they started.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// Whether the track `id` exists.
    pub fn contains(&self, id: u64) -> bool {
        self.tracks.iter().any(|t| t.id == id)
    }

    /// Ends the tracks without a detection for too long. A jump of time, forwards or backwards, ends
    /// them too.
    pub fn expire(&mut self, now: MonotonicTimestamp) {
        let gap = self.rules.gap;
        self.tracks
            .retain(|t| now.millis_since(t.last_seen).saturating_abs() < gap);
    }

    /// Ends all tracks at once.
    pub fn end_all(&mut self) {
        self.tracks.clear();
    }

    /// Continues, starts and ends tracks with the detections of a frame taken at `now`.
    pub fn update(&mut self, detections: &[Detection], now: MonotonicTimestamp) {
        self.expire(now);
        self.predict(now);
        self.select(detections);
        let mut costs = [[None; MAX_DETECTIONS]; MAX_TRACKS];
        for (row, track) in costs.iter_mut().zip(&self.tracks) {
            for (cost, detection) in row.iter_mut().zip(&self.detections) {
                *cost = track.motion.cost(detection.region);
            }
        }
        let chosen = assign(&costs, self.tracks.len(), self.detections.len());
        let mut taken = [false; MAX_DETECTIONS];
        for (track, chosen) in self.tracks.iter_mut().zip(chosen) {
            let chosen = chosen.and_then(|c| Some((self.detections.get(c)?, taken.get_mut(c)?)));
            if let Some((detection, taken)) = chosen {
                *taken = true;
                track.motion.update(detection.region);
                track.see(*detection, now);
            }
        }
        for (number, taken) in taken.into_iter().enumerate() {
            if let Some(detection) = self.detections.get(number).copied().filter(|_| !taken) {
                self.start(detection, now);
            }
        }
        let TrackRules {
            min_hits,
            window,
            min_age,
            confirm_score,
            ..
        } = self.rules;
        self.tracks.retain_mut(|track| {
            let mask = u32::MAX >> (32 - window.clamp(1, 32));
            let enough_hits = (track.history & mask).count_ones() >= min_hits;
            let old_enough = track.last_seen.millis_since(track.first_seen) >= min_age;
            let certain = track.detection.is_some_and(|d| d.score >= confirm_score);
            track.confirmed |= enough_hits && old_enough || certain;
            track.confirmed || enough_hits || track.frames < window
        });
    }

    /// Continues the one track with the only possible detection, wherever it is.
    pub fn update_single(&mut self, detection: Detection, now: MonotonicTimestamp) {
        self.predict(now);
        self.tracks.truncate(1);
        match self.tracks.first_mut() {
            Some(track) => {
                track.motion = Motion::new(detection.region);
                track.see(detection, now);
            }
            None => self.start(detection, now),
        }
        for track in &mut self.tracks {
            track.confirmed = true;
        }
    }

    /// Predicts the boxes of all tracks at `now`.
    fn predict(&mut self, now: MonotonicTimestamp) {
        let elapsed = self.now.map_or(0.0, |then| now.since(then).as_secs_f64());
        self.now = Some(now);
        for track in &mut self.tracks {
            track.motion.predict(elapsed);
            track.detection = None;
            track.miss();
        }
    }

    /// Selects the relevant detections, best first.
    fn select(&mut self, detections: &[Detection]) {
        let min_score = self.rules.threshold * CONTINUE_FRACTION;
        self.detections.clear();
        for detection in detections
            .iter()
            .filter(|d| d.score >= min_score && d.region.area() > 0)
        {
            let at = self
                .detections
                .partition_point(|d| d.score >= detection.score);
            if self.detections.len() == MAX_DETECTIONS {
                if at == MAX_DETECTIONS {
                    continue;
                }
                self.detections.pop();
            }
            self.detections.insert(at, *detection);
        }
    }

    /// Starts a track with an unassigned detection, unless it overlaps a track: then it is a part of
    /// that fluke, or, if that track has no other detection, the fluke itself, which unfolded or came out
    /// of the spray at once.
    fn start(&mut self, detection: Detection, now: MonotonicTimestamp) {
        let part = |t: &&mut Track| {
            overlap_of_smaller(t.last_detection.region, detection.region) >= PART_OVERLAP
        };
        if let Some(track) = self.tracks.iter_mut().find(part) {
            if track.detection.is_none() {
                track.motion = Motion::new(detection.region);
                track.see(detection, now);
            }
            return;
        }
        if detection.score < self.rules.threshold || self.tracks.len() == MAX_TRACKS {
            return;
        }
        self.tracks.push(Track {
            id: self.next_id,
            confirmed: false,
            detection: Some(detection),
            motion: Motion::new(detection.region),
            last_detection: detection,
            last_seen: now,
            first_seen: now,
            history: 1,
            frames: 1,
        });
        self.next_id += 1;
    }
}

impl Track {
    /// A frame without a detection, so far.
    fn miss(&mut self) {
        self.history <<= 1;
        self.frames = self.frames.saturating_add(1);
    }

    /// The frame has a detection.
    fn see(&mut self, detection: Detection, now: MonotonicTimestamp) {
        self.history |= 1;
        self.detection = Some(detection);
        self.last_detection = detection;
        self.last_seen = now;
    }
}
