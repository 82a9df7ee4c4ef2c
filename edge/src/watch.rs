//! The watch: looks at every frame, reports every encounter and sees each sighting into the outbox.
//!
//! It works on a thread of its own and may block. A sighting counts as safe once the outbox has it. While the outbox takes none
//! (its disk is full), sightings wait in memory, [`MAX_IN_MEMORY`] of them, and are offered again; beyond that the oldest is given
//! up, and the log names it.

use crate::encounter::{Encounter, Encounters, largest};
use crate::frame::Frame;
use crate::health::Counters;
use crate::outbox::Outbox;
use crate::report::{Report, Reporter};
use crate::source::{FrameSource, SourceError};
use crate::stop::Stop;
use flukewatch_common::clock::{Clock, Timestamp};
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

/// From frames to the outbox.
pub struct Watch {
    source: Box<dyn FrameSource>,
    encounters: Encounters,
    reporter: Reporter,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    news: Arc<Notify>,
    stop: Stop,
    waiting: VecDeque<Report>,
    refused: Option<Timestamp>,
}

impl Watch {
    /// Watches `source`; `news` is told of every sighting that is safe.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is another part of the boat, brought in from outside"
    )]
    pub fn new(
        source: Box<dyn FrameSource>,
        encounters: Encounters,
        reporter: Reporter,
        outbox: Outbox,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        news: Arc<Notify>,
        stop: Stop,
    ) -> Self {
        let waiting = VecDeque::new();
        Self {
            source,
            encounters,
            reporter,
            outbox,
            clock,
            counters,
            news,
            stop,
            waiting,
            refused: None,
        }
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
            match self.source.next() {
                Ok(Some(frame)) => self.look(frame),
                Ok(None) => break Ok(()),
                Err(SourceError::Broken { frame, reason }) => {
                    self.counters.frame();
                    self.broken(&frame, &reason);
                }
                Err(e) => break Err(e),
            }
            self.offer_again();
        };
        if let Some(encounter) = self.encounters.finish() {
            self.report(&encounter);
        }
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

    fn look(&mut self, frame: Frame) {
        self.counters.frame();
        if let Some(encounter) = self.encounters.pass(frame.taken) {
            self.report(&encounter);
        }
        let Frame {
            name,
            taken,
            picture,
            boxes,
        } = frame;
        if boxes.as_ref().is_some_and(Vec::is_empty) {
            return;
        }
        let photo = match picture.into_pixels() {
            Ok(photo) => photo,
            Err(e) => return self.broken(&name, &e.to_string()),
        };
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
            return self.broken(&name, "its boxes lie outside of it");
        };
        if let Some(encounter) = self.encounters.see(&photo, region, taken) {
            self.report(&encounter);
        }
    }

    fn broken(&self, frame: &str, reason: &str) {
        self.counters.broken_frame();
        tracing::warn!(frame, "a frame is skipped: {reason}");
    }

    fn report(&mut self, encounter: &Encounter) {
        self.counters.encounter();
        match self.reporter.report(encounter, self.clock.now()) {
            Ok(report) => {
                self.waiting.push_back(report);
                self.offer();
            }
            Err(e) => {
                self.counters.failed_encounter();
                tracing::error!(started = %encounter.started, frames = encounter.frames, "an encounter cannot be reported: {e}");
            }
        }
    }

    fn offer_again(&mut self) {
        if self
            .refused
            .is_some_and(|at| self.clock.now().millis_since(at).saturating_abs() >= RETRY)
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
                    if self.refused.replace(now).is_none() {
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
