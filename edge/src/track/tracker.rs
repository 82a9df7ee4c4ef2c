//! Tracks as they begin, go on and end.

use super::assign::assign;
use super::motion::{Motion, covered};
use crate::time::Moment;
use flukewatch_common::detection::Detection;

/// How many flukes are followed at once; beyond that, new ones are passed over.
pub const MAX_TRACKS: usize = 16;
/// How many boxes of a frame count; the best by score.
pub(super) const MAX_BOXES: usize = 32;
/// From this share of the smaller box on, a box that lies on a followed fluke is a part of it and no fluke of its own.
const PART: f64 = 0.5;
/// What goes on needs only this share of the score that a beginning needs.
const LESS: f32 = 0.5;

/// When a track begins and ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrackRules {
    /// The score from which a box may begin a track.
    pub threshold: f32,
    /// The score from which a single box is enough.
    pub sure: f32,
    /// Otherwise so many boxes are needed..
    pub hits: u32,
    /// ..in so many frames, at most 32..
    pub of_frames: u32,
    /// ..and so long after the first one, in milliseconds: of many frames a second, several show the same wave.
    pub lasts: i64,
    /// What a detector finds counts from this width on, as a share of the frame's. Films alone: a still is there because it shows a fluke.
    pub narrowest: f32,
    /// Without a box for so long a track ends, in milliseconds.
    pub gap: i64,
}

impl Default for TrackRules {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            sure: 0.95,
            hits: 3,
            of_frames: 5,
            lasts: 300,
            narrowest: 0.0,
            gap: 2000,
        }
    }
}

/// A fluke that is followed.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// Counts the tracks of a [`Tracker`].
    pub id: u64,
    /// Whether it was seen often enough to be a fluke.
    pub confirmed: bool,
    /// Its box in the frame that came last, where it has one.
    pub seen: Option<Detection>,
    motion: Motion,
    /// The box that was seen last.
    last: Detection,
    /// When that was.
    when: Moment,
    /// When the first one was seen.
    began: Moment,
    /// Whether it was seen, a bit a frame, the last frame lowest.
    history: u32,
    /// Frames since it began.
    frames: u32,
}

/// Follows the flukes before one camera.
#[derive(Debug)]
pub struct Tracker {
    rules: TrackRules,
    tracks: Vec<Tracked>,
    boxes: Vec<Detection>,
    /// When the last frame was.
    now: Option<Moment>,
    next: u64,
}

impl Tracker {
    /// Nothing is followed yet.
    pub fn new(rules: TrackRules) -> Self {
        Self {
            rules,
            tracks: Vec::with_capacity(MAX_TRACKS),
            boxes: Vec::with_capacity(MAX_BOXES),
            now: None,
            next: 0,
        }
    }

    /// What is followed, in the order in which it began.
    pub fn tracks(&self) -> &[Tracked] {
        &self.tracks
    }

    /// Whether the track `id` goes on.
    pub fn follows(&self, id: u64) -> bool {
        self.tracks.iter().any(|t| t.id == id)
    }

    /// Time has come to `now`: ends the tracks whose gap is over. Moments that jump, forwards or backwards, end them too.
    pub fn pass(&mut self, now: Moment) {
        let gap = self.rules.gap;
        self.tracks
            .retain(|t| now.millis_since(t.when).saturating_abs() < gap);
    }

    /// All tracks end.
    pub fn finish(&mut self) {
        self.tracks.clear();
    }

    /// A frame taken at `now` shows `found`. Call [`Tracker::pass`] first.
    pub fn step(&mut self, found: &[Detection], now: Moment) {
        self.predict(now);
        self.choose(found);
        let mut costs = [[None; MAX_BOXES]; MAX_TRACKS];
        for (row, track) in costs.iter_mut().zip(&self.tracks) {
            for (cost, found) in row.iter_mut().zip(&self.boxes) {
                *cost = track.motion.cost(found.region);
            }
        }
        let chosen = assign(&costs, self.tracks.len(), self.boxes.len());
        let mut taken = [false; MAX_BOXES];
        for (track, chosen) in self.tracks.iter_mut().zip(chosen) {
            let chosen = chosen.and_then(|c| Some((self.boxes.get(c)?, taken.get_mut(c)?)));
            if let Some((found, taken)) = chosen {
                *taken = true;
                track.motion.update(found.region);
                track.see(*found, now);
            }
        }
        for (number, taken) in taken.into_iter().enumerate() {
            if let Some(found) = self.boxes.get(number).copied().filter(|_| !taken) {
                self.begin(found, now);
            }
        }
        let TrackRules {
            hits,
            of_frames,
            lasts,
            sure,
            ..
        } = self.rules;
        self.tracks.retain_mut(|track| {
            let window = u32::MAX >> (32 - of_frames.clamp(1, 32));
            let seen = (track.history & window).count_ones();
            let often = seen >= hits;
            let long = track.when.millis_since(track.began) >= lasts;
            track.confirmed |= often && long || track.seen.is_some_and(|s| s.score >= sure);
            track.confirmed || often || track.frames < of_frames
        });
    }

    /// A frame taken at `now` shows one thing and cannot show another: it is what was followed before, wherever it is now.
    pub fn step_only(&mut self, found: Detection, now: Moment) {
        self.predict(now);
        self.tracks.truncate(1);
        match self.tracks.first_mut() {
            Some(track) => {
                track.motion = Motion::new(found.region);
                track.see(found, now);
            }
            None => self.begin(found, now),
        }
        for track in &mut self.tracks {
            track.confirmed = true;
        }
    }

    /// Moves all tracks on to `now`.
    fn predict(&mut self, now: Moment) {
        let passed = self.now.map_or(0.0, |then| now.since(then).as_secs_f64());
        self.now = Some(now);
        for track in &mut self.tracks {
            track.motion.predict(passed);
            track.seen = None;
            track.miss();
        }
    }

    /// Keeps those of `found` that count, best first.
    fn choose(&mut self, found: &[Detection]) {
        let least = self.rules.threshold * LESS;
        self.boxes.clear();
        for detection in found
            .iter()
            .filter(|d| d.score >= least && d.region.area() > 0)
        {
            let at = self.boxes.partition_point(|d| d.score >= detection.score);
            if self.boxes.len() == MAX_BOXES {
                if at == MAX_BOXES {
                    continue;
                }
                self.boxes.pop();
            }
            self.boxes.insert(at, *detection);
        }
    }

    /// A box that no track expects begins one, unless it lies on a fluke that is followed: then it is a part of it, or, where nothing
    /// else was seen of that, the fluke itself, which unfolded or came out of the spray at once.
    fn begin(&mut self, found: Detection, now: Moment) {
        let part = |t: &&mut Tracked| covered(t.last.region, found.region) >= PART;
        if let Some(track) = self.tracks.iter_mut().find(part) {
            if track.seen.is_none() {
                track.motion = Motion::new(found.region);
                track.see(found, now);
            }
            return;
        }
        if found.score < self.rules.threshold || self.tracks.len() == MAX_TRACKS {
            return;
        }
        self.tracks.push(Tracked {
            id: self.next,
            confirmed: false,
            seen: Some(found),
            motion: Motion::new(found.region),
            last: found,
            when: now,
            began: now,
            history: 1,
            frames: 1,
        });
        self.next += 1;
    }
}

impl Tracked {
    /// Another frame came, and has shown nothing of it yet.
    fn miss(&mut self) {
        self.history <<= 1;
        self.frames = self.frames.saturating_add(1);
    }

    /// The frame shows it.
    fn see(&mut self, found: Detection, now: Moment) {
        self.history |= 1;
        self.seen = Some(found);
        self.last = found;
        self.when = now;
    }
}
