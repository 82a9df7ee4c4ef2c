//! `sd_notify` where systemd started the program; nothing otherwise.

use sd_notify::NotifyState;
use std::time::Duration;

/// Notifies systemd of the program's state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Systemd {
    watchdog: Option<Duration>,
}

impl Systemd {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// systemd restarts the program after this long without [`Systemd::ping_watchdog`]; `None`
    /// where it does not watch.
    pub fn watchdog_timeout(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Reports that the boat works.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// Sets the line that `systemctl status` shows.
    pub fn status(&self, line: &str) {
        // A line break would start another assignment.
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        notify(&[NotifyState::Status(&line)]);
    }

    /// Reports the start of a reload; [`Systemd::ready`] ends it.
    pub fn reloading(&self) {
        // systemd 253 and later want the time with it.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(e) => tracing::debug!(error = %e, "cannot notify systemd of the reload"),
        }
    }

    /// Reports an orderly shutdown.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Pings the watchdog, if there is one.
    pub fn ping_watchdog(&self) {
        if self.watchdog.is_some() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!(error = %e, "cannot notify systemd");
    }
}
