//! Brings back what can be read of outboxes that were set aside, while the boat works.

use super::error::SessionError;
use crate::cancellation::CancellationToken;
use crate::outbox::{self, SetAside};
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often outboxes that were set aside are looked for: one may be while the boat works.
const INTERVAL: Duration = Duration::from_secs(60);
/// How often the end is checked for.
const POLL: Duration = Duration::from_millis(200);

/// What the thread works with.
pub(super) struct Salvaging {
    pub(super) outbox: PathBuf,
    pub(super) boat: BoatId,
    pub(super) outbox_clock: Arc<dyn Clock>,
    /// Notified of messages that are pending again.
    pub(super) accepted: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

impl Salvaging {
    /// Starts the thread.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(super) fn start(self) -> Result<JoinHandle<()>, SessionError> {
        std::thread::Builder::new()
            .name("salvage".into())
            .spawn(move || self.run())
            .map_err(|e| SessionError::thread(&e))
    }

    fn run(&self) {
        while !self.stop.is_cancelled() {
            for aside in outbox::set_aside(&self.outbox) {
                if aside.salvaged.is_none() && !self.stop.is_cancelled() {
                    self.salvage(&aside);
                }
            }
            let begun = Instant::now();
            while begun.elapsed() < INTERVAL && !self.stop.is_cancelled() {
                std::thread::sleep(POLL);
            }
        }
    }

    fn salvage(&self, SetAside { folder, .. }: &SetAside) {
        let now = self.outbox_clock.now();
        match outbox::salvage(&self.outbox, &self.boat, folder, now, &self.stop) {
            Ok(None) => {}
            Ok(Some(salvaged)) => {
                tracing::warn!(
                    folder = %folder.display(),
                    messages = salvaged.messages,
                    complete = salvaged.complete,
                    "brought back messages of an outbox that was set aside"
                );
                self.accepted.notify_one();
            }
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot bring back messages yet");
            }
        }
    }
}
