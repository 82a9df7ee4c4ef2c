//! The watch: looks at every frame, reports every encounter and sees each sighting into the outbox.
//!
//! It works on a thread of its own and may block. A sighting counts as safe once the outbox has it. While the outbox takes none
//! (its disk is full), sightings wait in memory, [`MAX_IN_MEMORY`] of them, and are offered again; beyond that the oldest is given
//! up, and the log names it.

use crate::detect::{Detect, DetectError, Reduced};
use crate::encounter::{Encounter, Encounters, Found};
use crate::frame::{Frame, FramePicture, RawPicture};
use crate::gate::Gate;
use crate::health::Counters;
use crate::outbox::Outbox;
use crate::pixels::{Developer, Photo};
use crate::report::{Report, Reporter};
use crate::service::Pulse;
use crate::source::{FrameSource, Next, SourceError};
use crate::stop::Stop;
use crate::time::{Moment, SteadyClock, Timing};
use crate::viewfinder::Viewfinder;
use flukewatch_common::clock::Clock;
use flukewatch_common::decision::Verdict;
use flukewatch_common::detection::Detection;
use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Sightings that wait for room in the outbox, at most.
pub const MAX_IN_MEMORY: usize = 64;
/// An outbox that refused is asked again after this long, in milliseconds.
const RETRY: i64 = 5_000;
/// Once the source is over, the outbox is asked this often, a second apart, before what waits in memory is given up.
const LAST_ATTEMPTS: usize = 30;

/// Why the watch ended before its source did, or lost something.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The outbox never took these.
    #[error(
        "{0} sightings could not be saved, since the outbox did not take them; the log names them"
    )]
    Unsaved(usize),
}

/// Broken frames of live cameras are told once in so many milliseconds: a bad cable gives thirty a second.
const TELL_BROKEN: i64 = 10_000;

/// One of the cameras that are watched.
pub struct Watched {
    encounters: Encounters,
    live: bool,
    /// How its last frame was timed.
    timing: Timing,
    gate: Option<Gate>,
}

impl Watched {
    /// Groups what it sees by `encounters`. Time passes for a `live` camera, too, while it sends nothing.
    pub fn new(encounters: Encounters, live: bool) -> Self {
        Self {
            encounters,
            live,
            timing: Timing::default(),
            gate: None,
        }
    }

    /// Shows a detector only those frames that `gate`, if there is one, lets through.
    #[must_use]
    pub fn gated(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }
}

/// From frames to the outbox.
pub struct Watch {
    source: Box<dyn FrameSource>,
    cameras: Vec<Watched>,
    developer: Developer,
    /// What looks at frames that come without boxes; where there is none, they count as flukes as a whole.
    detector: Option<Box<dyn Detect>>,
    found: Vec<Detection>,
    reduced: Reduced,
    reporter: Reporter,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    steady: Arc<dyn SteadyClock>,
    counters: Arc<Counters>,
    news: Arc<Notify>,
    stop: Stop,
    pulse: Arc<Pulse>,
    viewfinder: Arc<Viewfinder>,
    waiting: VecDeque<Report>,
    refused: Option<Moment>,
    /// When a broken frame of a live camera was last told, and how many came since.
    told_broken: Option<(Moment, u64)>,
}

impl Watch {
    /// Watches `source`, whose frames bear numbers of `cameras`; `news` is told of every sighting that is safe.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of the boat, brought in from outside"
    )]
    pub fn new(
        source: Box<dyn FrameSource>,
        cameras: Vec<Watched>,
        reporter: Reporter,
        outbox: Outbox,
        clock: Arc<dyn Clock>,
        steady: Arc<dyn SteadyClock>,
        counters: Arc<Counters>,
        news: Arc<Notify>,
        stop: Stop,
    ) -> Self {
        Self {
            source,
            cameras,
            developer: Developer::new(reporter.sees_grey()),
            detector: None,
            found: vec![],
            reduced: Reduced::default(),
            reporter,
            outbox,
            clock,
            steady,
            counters,
            news,
            stop,
            pulse: Arc::default(),
            viewfinder: Arc::default(),
            waiting: VecDeque::new(),
            refused: None,
            told_broken: None,
        }
    }

    /// Gives signs of life to `pulse`, and shows what it sees to who looks through `viewfinder`.
    pub fn shown(mut self, pulse: Arc<Pulse>, viewfinder: Arc<Viewfinder>) -> Self {
        self.pulse = pulse;
        self.viewfinder = viewfinder;
        self
    }

    /// Lets `detector`, if there is one, look at frames that come without boxes.
    #[must_use]
    pub fn detecting(self, detector: Option<Box<dyn Detect>>) -> Self {
        Self { detector, ..self }
    }

    /// Watches until the source is over or the program is asked to stop; the encounters that are then going on are reported too.
    ///
    /// # Errors
    /// When the source fails or a sighting could not be saved.
    pub fn run(mut self) -> Result<(), WatchError> {
        let ended = loop {
            if self.stop.asked() {
                break Ok(());
            }
            self.pulse.waits();
            let next = self.source.next();
            self.pulse.works();
            match next {
                Ok(Next::Frame(frame)) => self.look(frame),
                Ok(Next::Quiet) => self.pass(),
                Ok(Next::CameraOver(camera)) => self.finish(camera),
                Ok(Next::Over) => break Ok(()),
                Err(SourceError::Broken { frame, reason }) => {
                    self.counters.frame();
                    let live = self.cameras.iter().any(|c| c.live);
                    self.broken(live, &frame, &reason);
                }
                Err(e) => break Err(e),
            }
            self.offer_again();
        };
        (0..self.cameras.len()).for_each(|camera| self.finish(camera));
        self.pulse.rests();
        for _ in 0..LAST_ATTEMPTS {
            self.offer();
            if self.waiting.is_empty() || self.stop.asked() {
                break;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        let unsaved = self.waiting.len();
        while let Some(report) = self.waiting.pop_front() {
            self.give_up(&report);
        }
        self.counters.set_in_memory(0);
        ended?;
        if unsaved > 0 {
            Err(WatchError::Unsaved(unsaved))
        } else {
            Ok(())
        }
    }

    /// A camera has no more frames: the encounters that were going on are over.
    fn finish(&mut self, camera: usize) {
        let open = self.cameras.get_mut(camera);
        let over = open.map(|c| c.encounters.finish());
        self.report(camera, over.unwrap_or_default());
    }

    /// No camera has anything to show. One that was unplugged in the middle of an encounter may never have again.
    fn pass(&mut self) {
        let now = self.steady.now();
        for camera in 0..self.cameras.len() {
            let live = self.cameras.get_mut(camera).filter(|c| c.live);
            let over = live.map(|c| c.encounters.pass(now));
            self.report(camera, over.unwrap_or_default());
        }
    }

    fn look(&mut self, frame: Frame) {
        self.counters.frame();
        let Frame {
            camera,
            name,
            taken,
            timing,
            picture,
            boxes,
        } = frame;
        let Some(watched) = self.cameras.get_mut(camera) else {
            return self.broken(false, &name, "it is of no camera that is watched");
        };
        let live = watched.live;
        watched.timing = timing;
        let over = watched.encounters.pass(taken);
        self.report(camera, over);
        if boxes.as_ref().is_some_and(Vec::is_empty) {
            // Open sea: nobody needs its pixels.
            if let Some(Watched { encounters, .. }) = self.cameras.get_mut(camera) {
                encounters.look(Found::Told(&[]), FrameSize::default(), taken);
            }
            self.show_sea(camera, picture);
            return;
        }
        let (photo, raw) = match self.developer.look(picture) {
            Ok(looked) => looked,
            Err(e) => return self.broken(live, &name, &e.to_string()),
        };
        let looked = self.look_into(camera, &photo, boxes.as_deref(), taken);
        self.show(camera, &photo, raw.as_ref(), boxes.as_deref());
        if let Err(reason) = looked.and_then(|()| self.keep_crops(camera, &photo, raw.as_ref())) {
            self.broken(live, &name, &reason);
        }
        self.developer.take_back(photo);
        let watched = self.cameras.get_mut(camera);
        let over = watched.map(|c| c.encounters.complete());
        self.report(camera, over.unwrap_or_default());
    }

    /// Shows what was looked at to who looks through the viewfinder, in colours where there are any.
    fn show(
        &mut self,
        camera: usize,
        photo: &Photo,
        raw: Option<&RawPicture>,
        boxes: Option<&[PixelBox]>,
    ) {
        if !self.viewfinder.wants(camera) {
            return;
        }
        let regions = match boxes {
            Some(boxes) => boxes.to_vec(),
            None => self.found.iter().map(|d| d.region).collect(),
        };
        if let Some(colours) = raw.and_then(|raw| self.developer.colours(raw).ok()) {
            self.viewfinder.show(camera, colours.pixels(), &regions);
            return self.developer.take_back(colours);
        }
        self.viewfinder.show(camera, photo.pixels(), &regions);
    }

    /// The same for a frame of open sea, that nobody else needs.
    fn show_sea(&mut self, camera: usize, picture: FramePicture) {
        if self.viewfinder.wants(camera)
            && let Ok((photo, raw)) = self.developer.look(picture)
        {
            self.show(camera, &photo, raw.as_ref(), Some(&[]));
            self.developer.take_back(photo);
        }
    }

    /// Looks for flukes in `photo` and follows them.
    fn look_into(
        &mut self,
        camera: usize,
        photo: &Photo,
        boxes: Option<&[PixelBox]>,
        taken: Moment,
    ) -> Result<(), String> {
        let pixels = photo.pixels();
        let (width, height) = (pixels.width(), pixels.height());
        let Self {
            cameras,
            detector,
            found,
            reduced,
            ..
        } = self;
        let gate = cameras.get_mut(camera).and_then(|c| c.gate.as_mut());
        let found = match (boxes, detector) {
            (Some(boxes), _) => {
                if boxes.iter().all(|b| b.within(width, height).is_none()) {
                    return Err("its boxes lie outside of it".into());
                }
                Found::Told(boxes)
            }
            (None, Some(detector)) => {
                let sight = Sight { photo, taken, gate };
                detect(&mut **detector, sight, reduced, found).map_err(|e| e.to_string())?;
                Found::Detected(found)
            }
            (None, None) => Found::Whole,
        };
        if let Some(Watched { encounters, .. }) = cameras.get_mut(camera) {
            encounters.look(found, FrameSize { width, height }, taken);
        }
        Ok(())
    }

    /// Keeps the crops of the frame that was just looked at, if they are worth it; in colours where `raw` still has them.
    fn keep_crops(
        &mut self,
        camera: usize,
        photo: &Photo,
        raw: Option<&RawPicture>,
    ) -> Result<(), String> {
        let watched = self.cameras.get_mut(camera);
        let Some(watched) = watched.filter(|c| c.encounters.wants_pixels()) else {
            return Ok(());
        };
        let Some(raw) = raw else {
            watched.encounters.keep(photo.pixels());
            return Ok(());
        };
        let colours = self.developer.colours(raw).map_err(|e| e.to_string())?;
        watched.encounters.keep(colours.pixels());
        self.developer.take_back(colours);
        Ok(())
    }

    fn broken(&mut self, live: bool, frame: &dyn std::fmt::Display, reason: &str) {
        self.counters.broken_frame();
        let now = self.steady.now();
        let (since, untold) = self.told_broken.unwrap_or((now, 0));
        if live && self.told_broken.is_some() && now.millis_since(since) < TELL_BROKEN {
            self.told_broken = Some((since, untold + 1));
            return;
        }
        if live {
            self.told_broken = Some((now, 0));
        }
        tracing::warn!(%frame, untold, "a frame is skipped: {reason}");
    }

    fn report(&mut self, camera: usize, over: Vec<Encounter>) {
        for encounter in over {
            self.counters.encounter();
            let watched = self.cameras.get(camera);
            let timing = watched.map_or(Timing::default(), |c| c.timing);
            match self.reporter.report(camera, &encounter, timing) {
                Ok(report) => {
                    self.waiting.push_back(report);
                    self.offer();
                }
                Err(e) => {
                    self.counters.failed_encounter();
                    let frames = encounter.frames;
                    tracing::error!(frames, "an encounter cannot be reported: {e}");
                }
            }
        }
    }

    fn offer_again(&mut self) {
        if self
            .refused
            .is_some_and(|at| self.steady.now().millis_since(at) >= RETRY)
        {
            self.offer();
        }
    }

    /// Offers the outbox all that waits, oldest first.
    fn offer(&mut self) {
        while let Some(report) = self.waiting.front() {
            let now = self.clock.now();
            match self.outbox.accept(&report.sighting, &report.jpeg, now) {
                Ok(sequence) => {
                    told(report, sequence, self.steady.now());
                    self.waiting.pop_front();
                    if self.refused.take().is_some() {
                        tracing::info!("the outbox takes sightings again");
                    }
                    self.counters.accepted();
                    self.news.notify_one();
                }
                Err(e) => {
                    if self.refused.replace(self.steady.now()).is_none() {
                        tracing::error!(
                            "{e}. Up to {MAX_IN_MEMORY} sightings wait in memory, and are lost if the power fails"
                        );
                    }
                    break;
                }
            }
        }
        while self.waiting.len() > MAX_IN_MEMORY {
            if let Some(report) = self.waiting.pop_front() {
                self.give_up(&report);
            }
        }
        self.counters.set_in_memory(self.waiting.len());
    }

    fn give_up(&self, report: &Report) {
        self.counters.gave_up(1);
        let Report { sighting, .. } = report;
        tracing::error!(id = %sighting.id, started = %sighting.started, verdict = ?sighting.verdict, "a sighting is given up: the outbox does not take it");
    }
}

/// A frame to be looked at.
struct Sight<'a> {
    photo: &'a Photo,
    taken: Moment,
    gate: Option<&'a mut Gate>,
}

/// Lets `detector` look at a photo that its gate lets through; boxes are in the photo's pixels.
fn detect(
    detector: &mut dyn Detect,
    Sight { photo, taken, gate }: Sight<'_>,
    reduced: &mut Reduced,
    found: &mut Vec<Detection>,
) -> Result<(), DetectError> {
    let seen = reduced.of(photo);
    let at = taken.since(Moment::default());
    let mut gate = gate;
    if let Some(gate) = &mut gate
        && !gate.look(seen, at).is_worth_it()
    {
        found.clear();
        return Ok(());
    }
    detector.detect(seen, found)?;
    if let Some(gate) = gate
        && !found.is_empty()
    {
        gate.saw_fluke(at);
    }
    reduced.in_photo(found);
    Ok(())
}

/// Logs a sighting that the outbox has since `now`.
fn told(report: &Report, sequence: u64, now: Moment) {
    let Report {
        sighting, ended, ..
    } = report;
    // Since the fluke was seen last. A replay at the machine's own pace may be ahead of the clock.
    let after_ms = now.millis_since(*ended).max(0);
    let score = sighting.candidates.first().map_or(0.0, |c| c.score);
    let (frames, started) = (sighting.frames, sighting.started);
    if let Some(footage) = sighting
        .footage
        .as_ref()
        .filter(|f| f.encounter != sighting.id)
    {
        tracing::info!(encounter = %footage.encounter, sequence, "a whale is back, or has stayed long");
    }
    match &sighting.verdict {
        Verdict::Known { whale } => {
            tracing::info!(sequence, whale, score, frames, %started, after_ms, "a known whale")
        }
        Verdict::New => tracing::info!(sequence, score, frames, %started, after_ms, "a new whale"),
        Verdict::Review => {
            tracing::info!(sequence, score, frames, %started, after_ms, "a whale for review")
        }
    }
}

#[cfg(test)]
mod tests;
