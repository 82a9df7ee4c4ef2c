//! Watches for another computer that sends under this boat's name.

use flukewatch_common::presence::{self, InstanceWatch, Presence};
use flukewatch_common::sighting::BoatId;
use flukewatch_common::wire;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Reports this boat's presence, and reads that of others with its name.
pub(super) struct TwinWatch {
    own: Presence,
    watch: InstanceWatch,
    started: Instant,
    last_report: Option<Instant>,
    next_report: Instant,
}

impl TwinWatch {
    pub(super) fn new(boat: BoatId, instance: Uuid, epoch: Uuid) -> Self {
        let now = Instant::now();
        Self {
            own: Presence {
                boat,
                instance,
                epoch,
            },
            watch: InstanceWatch::default(),
            started: now,
            last_report: None,
            next_report: now,
        }
    }

    /// Reports at the next opportunity.
    pub(super) fn report_soon(&mut self) {
        self.next_report = Instant::now();
    }

    /// When the last report was sent.
    pub(super) fn last_report(&self) -> Option<Instant> {
        self.last_report
    }

    /// The report to send now, if one is due. The next one is due after `interval`.
    pub(super) fn due(&mut self, interval: Duration) -> Option<Vec<u8>> {
        let now = Instant::now();
        if now < self.next_report {
            return None;
        }
        self.last_report = Some(now);
        self.next_report = now + interval;
        self.watch.report(self.own.instance, self.elapsed());
        match wire::encode(&self.own) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::error!(%error, "cannot encode the boat's presence");
                None
            }
        }
    }

    /// Notes a report. Returns whether it is this boat's own, which the broker passed back.
    pub(super) fn received(&mut self, message: &[u8]) -> bool {
        let presence = match wire::decode::<Presence>(message) {
            Ok(presence) if presence.boat == self.own.boat => presence,
            Ok(presence) => {
                tracing::warn!(boat = %presence.boat, "ignoring presence of another boat");
                return false;
            }
            Err(error) => {
                tracing::warn!(%error, "ignoring malformed presence");
                return false;
            }
        };
        if presence.instance == self.own.instance {
            return true;
        }
        let had_twin = self.has_twin();
        self.watch.report(presence.instance, self.elapsed());
        if !had_twin {
            // An answer, so that both are recognised soon.
            let soon = Instant::now() + presence::ANSWER_DELAY;
            self.next_report = self.next_report.min(soon);
        }
        false
    }

    /// Whether another computer sends under this boat's name.
    pub(super) fn has_twin(&self) -> bool {
        self.watch.has_twin(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
