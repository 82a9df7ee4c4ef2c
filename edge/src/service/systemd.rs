//! The service manager's ear: `sd_notify`, where the program was started by systemd, and nothing otherwise.

use sd_notify::NotifyState;
use std::time::Duration;

/// What systemd is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Systemd {
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
        }
    }

    /// Without a word from [`Systemd::feed`] for so long, systemd restarts the program; `None` where it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The boat works.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// One line on how it goes, which `systemctl status` shows.
    pub fn status(&self, line: &str) {
        // A line break would start another assignment.
        let line: String = line
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        tell(&[NotifyState::Status(&line)]);
    }

    /// A new configuration is being taken up; [`Systemd::ready`] ends it.
    pub fn reloading(&self) {
        // systemd 253 and later want the time with it.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(e) => tracing::debug!("systemd is not told of the reload: {e}"),
        }
    }

    /// The boat ends as it was asked to.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// All is well.
    pub fn feed(&self) {
        if self.watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("systemd cannot be told: {e}");
    }
}
