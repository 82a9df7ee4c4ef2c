//! The thread that receives bundles, and settings from shore.

use super::receiver::{Receiver, Selftest};
use super::requests::Pace;
use crate::bundle_mailbox::Mailbox;
use crate::bundle_trust::bundle_trust;
use crate::cancellation::CancellationToken;
use crate::config::Config;
use crate::health::Counters;
use crate::received_settings::{self, ReceivedSettings};
use crate::selftest::{self, Comparison};
use crate::time::SystemMonotonicClock;
use flukewatch_common::bundle_transfer::MAX_PIECE;
use flukewatch_common::clock::SystemClock;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How often the thread looks for what is due.
const POLL: Duration = Duration::from_millis(500);
/// Pieces that are requested at once.
const WINDOW: usize = 4;

/// Receives bundles and settings for as long as it lives. Dropped, it ends within a second, or after the self-test that
/// is running.
#[derive(Debug)]
pub struct Updater {
    config: Arc<Mutex<Config>>,
    stop: CancellationToken,
}

impl Updater {
    /// Starts the thread. `installed` is called once another bundle, or other settings, are to be used.
    ///
    /// # Errors
    /// When the operating system provides no thread.
    pub fn start(
        config: &Config,
        mailbox: Arc<Mailbox>,
        counters: Arc<Counters>,
        installed: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let config = Arc::new(Mutex::new(config.clone()));
        let stop = CancellationToken::default();
        let (shared, token) = (config.clone(), stop.clone());
        thread::Builder::new()
            .name("bundles".into())
            .spawn(move || {
                let selftest: Selftest = Box::new(passes_selftest);
                let (clock, monotonic) = (Arc::new(SystemClock), Arc::new(SystemMonotonicClock));
                let mut receiver = Receiver::new(clock, monotonic, selftest);
                while !token.is_cancelled() {
                    let message = mailbox.next(POLL);
                    if let Some(settings) = mailbox.take_settings() {
                        let config = lock(&shared).clone();
                        if received_settings::take(&settings, &config) {
                            installed();
                        }
                        ReceivedSettings::of(&config).publish(&counters);
                    }
                    if message.is_none() && receiver.is_idle() {
                        continue;
                    }
                    let config = lock(&shared).clone();
                    if let Some(message) = message {
                        receiver.take(message, &config);
                    }
                    let wants = receiver.poll(&config, pace(mailbox.piece_bytes()));
                    for message in wants.messages {
                        mailbox.send(message);
                    }
                    mailbox.set_progress(wants.progress);
                    if wants.installed {
                        installed();
                    }
                }
            })?;
        Ok(Self { config, stop })
    }

    /// Continues with another configuration.
    pub fn reconfigure(&self, config: &Config) {
        *lock(&self.config) = config.clone();
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What is requested at once over a link that carries pieces of this size.
fn pace(piece_bytes: u32) -> Pace {
    Pace {
        piece_bytes: piece_bytes.min(MAX_PIECE),
        window: if piece_bytes == 0 { 0 } else { WINDOW },
    }
}

fn lock(config: &Mutex<Config>) -> MutexGuard<'_, Config> {
    config.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the bundle's golden images and drawn flukes through the engines that the boat would use.
fn passes_selftest(bundle: &Path, config: &Config) -> Result<(), String> {
    // It is validated as the boat would do on trial.
    let trust = bundle_trust(config, &SystemClock);
    let found = selftest::selftest(bundle, &trust, &config.engine).map_err(|e| e.to_string())?;
    if found.passed {
        return Ok(());
    }
    let failed = found.comparisons.iter().find(|c| !c.passed);
    Err(match failed {
        Some(Comparison {
            engine,
            reference,
            lowest_cosine,
            minimum,
            ..
        }) => {
            format!("{engine} and {reference} differ: cosine {lowest_cosine:.4}, minimum {minimum}")
        }
        None => {
            "the detector's engines differ; run `flukewatch-edge selftest --bundle` on it".into()
        }
    })
}
