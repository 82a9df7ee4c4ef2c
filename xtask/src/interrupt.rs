//! Interrupts (Ctrl-C, SIGTERM, SIGHUP): a flag that every wait checks, so that child processes end before xtask does.

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether xtask was asked to stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

/// xtask was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; all child processes have ended")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    /// Listens to Ctrl-C, to SIGTERM, and to the terminal being closed.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let asked = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked.0))
                .context("cannot listen to signals")?;
        }
        Ok(asked)
    }

    /// Whether it was asked.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// An error once it was asked.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.asked() {
            Err(Interrupted)
        } else {
            Ok(())
        }
    }

    #[cfg(test)]
    pub(crate) fn ask(&self) {
        self.0.store(true, Relaxed);
    }
}
