//! Interrupts (Ctrl-C, SIGTERM, SIGHUP): a flag that every wait checks, so that child processes end
//! before xtask does.

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether xtask was interrupted; shared by all waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

/// The error of an interrupted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted; all child processes have ended")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    /// Listens for SIGINT (Ctrl-C), SIGTERM and SIGHUP.
    pub(crate) fn on_signals() -> anyhow::Result<Self> {
        let asked = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked.0))
                .context("cannot listen to signals")?;
        }
        Ok(asked)
    }

    pub(crate) fn asked(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Returns an error after an interrupt.
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
