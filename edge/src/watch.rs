//! The watch: looks at every frame, reports every encounter and sees each sighting into the outbox.
//!
//! It works on a thread of its own and may block. A sighting counts as safe once the outbox has it. While the outbox takes none
//! (its disk is full), sightings wait in memory, [`MAX_IN_MEMORY`] of them, and are offered again; beyond that the oldest is given
//! up, and the log names it.

use crate::encounter::{Encounter, Encounters, largest};
use crate::frame::Frame;
use crate::health::Counters;
use crate::outbox::Outbox;
use crate::pixels::Developer;
use crate::report::{Report, Reporter};
use crate::service::Pulse;
use crate::source::{FrameSource, Next, SourceError};
use crate::stop::Stop;
use crate::time::{Moment, SteadyClock, Timing};
use crate::viewfinder::Viewfinder;
use flukewatch_common::clock::Clock;
use flukewatch_common::decision::Verdict;
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
}

impl Watched {
    /// Groups what it sees by `encounters`. Time passes for a `live` camera, too, while it sends nothing.
    pub fn new(encounters: Encounters, live: bool) -> Self {
        Self {
            encounters,
            live,
            timing: Timing::default(),
        }
    }
}

/// From frames to the outbox.
pub struct Watch {
    source: Box<dyn FrameSource>,
    cameras: Vec<Watched>,
    developer: Developer,
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

    /// Watches until the source is over or the program is asked to stop; the encounter that is then going on is reported too.
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

    /// A camera has no more frames: the encounter that was going on, if one was, is over.
    fn finish(&mut self, camera: usize) {
        let open = self.cameras.get_mut(camera);
        if let Some(encounter) = open.and_then(|c| c.encounters.finish()) {
            self.report(camera, &encounter);
        }
    }

    /// No camera has anything to show. One that was unplugged in the middle of an encounter may never have again.
    fn pass(&mut self) {
        let now = self.steady.now();
        for camera in 0..self.cameras.len() {
            let live = self.cameras.get_mut(camera).filter(|c| c.live);
            if let Some(encounter) = live.and_then(|c| c.encounters.pass(now)) {
                self.report(camera, &encounter);
            }
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
        if let Some(encounter) = watched.encounters.pass(taken) {
            self.report(camera, &encounter);
        }
        let open_sea = boxes.as_ref().is_some_and(Vec::is_empty);
        if open_sea && !self.viewfinder.wants(camera) {
            return;
        }
        let photo = match self.developer.develop(picture) {
            Ok(photo) => photo,
            Err(e) => return self.broken(live, &name, &e.to_string()),
        };
        let found = boxes.as_deref().unwrap_or_default();
        self.viewfinder.show(camera, &photo, found);
        if open_sea {
            return self.developer.recycle(photo);
        }
        let whole = PixelBox::whole(photo.width(), photo.height());
        let region = match &boxes {
            None => Some(whole),
            Some(boxes) => {
                let inside: Vec<PixelBox> = boxes
                    .iter()
                    .filter_map(|b| b.within(photo.width(), photo.height()))
                    .collect();
                largest(&inside)
            }
        };
        let Some(region) = region else {
            return self.broken(live, &name, "its boxes lie outside of it");
        };
        let completed = self.cameras.get_mut(camera).and_then(|watched| {
            watched.timing = timing;
            watched.encounters.see(&photo, region, taken)
        });
        self.developer.recycle(photo);
        if let Some(encounter) = completed {
            self.report(camera, &encounter);
        }
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

    fn report(&mut self, camera: usize, encounter: &Encounter) {
        self.counters.encounter();
        let timing = self
            .cameras
            .get(camera)
            .map_or(Timing::default(), |c| c.timing);
        match self.reporter.report(camera, encounter, timing) {
            Ok(report) => {
                self.waiting.push_back(report);
                self.offer();
            }
            Err(e) => {
                self.counters.failed_encounter();
                tracing::error!(
                    frames = encounter.frames,
                    "an encounter cannot be reported: {e}"
                );
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
                    told(report, sequence);
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

fn told(report: &Report, sequence: u64) {
    let Report { sighting, .. } = report;
    let score = sighting.candidates.first().map_or(0.0, |c| c.score);
    let (frames, started) = (sighting.frames, sighting.started);
    match &sighting.verdict {
        Verdict::Known { whale } => {
            tracing::info!(sequence, whale, score, frames, %started, "a known whale")
        }
        Verdict::New => tracing::info!(sequence, score, frames, %started, "a new whale"),
        Verdict::Review => tracing::info!(sequence, score, frames, %started, "a whale for review"),
    }
}

#[cfg(test)]
mod tests;
