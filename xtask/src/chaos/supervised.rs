//! A program that is killed and started again.

use crate::checkout::Checkout;
use crate::child::Child;
use rustix::process::Signal;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// The pause after an exit that was not asked for, as a service manager makes.
const PAUSE: Duration = Duration::from_millis(1000);

/// A program that runs unless it has been killed for a while.
#[derive(Default)]
pub(super) struct Supervised {
    running: Option<Child>,
    /// When it may run again.
    down_until: Option<Instant>,
}

impl Supervised {
    /// Kills it, and keeps it down until `until` at least. False if it does not run.
    pub(super) fn kill(&mut self, until: Instant) -> bool {
        self.down_until = self.down_until.max(Some(until));
        self.running.take().map(Child::kill).is_some()
    }

    /// Starts it, if it does not run and may. Returns the status of an exit that nobody asked for.
    ///
    /// # Errors
    /// If it cannot be started, or after an interrupt.
    pub(super) fn supervise(
        &mut self,
        checkout: &Checkout,
        command: impl FnOnce() -> anyhow::Result<Command>,
    ) -> anyhow::Result<Option<ExitStatus>> {
        let now = Instant::now();
        if let Some(child) = &mut self.running {
            let ended = child.ended()?;
            if ended.is_some() {
                self.running = None;
                self.down_until = self.down_until.max(Some(now + PAUSE));
            }
            return Ok(ended);
        }
        if self.down_until.is_none_or(|until| until <= now) {
            self.down_until = None;
            self.running = Some(checkout.start(&mut command()?)?);
        }
        Ok(None)
    }

    /// Whether it runs, as far as is known.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The number of its process, if it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.running.as_ref().map(Child::id)
    }

    /// Sends it a signal, if it runs.
    pub(super) fn signal(&self, signal: Signal) {
        if let Some(child) = &self.running {
            child.signal(signal);
        }
    }

    /// Whether it has ended; it is not started again.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.running {
            Some(child) => child.ended(),
            None => Ok(Some(ExitStatus::default())),
        }
    }

    /// Replaces it by the program of `command`.
    ///
    /// # Errors
    /// If it cannot be started, or after an interrupt.
    pub(super) fn replace(
        &mut self,
        checkout: &Checkout,
        command: &mut Command,
    ) -> anyhow::Result<()> {
        self.running = None;
        self.running = Some(checkout.start(command)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn sleep(checkout: &Checkout, seconds: &str) -> anyhow::Result<Command> {
        let mut command = checkout.program("sleep");
        command.arg(seconds);
        Ok(command)
    }

    #[test]
    fn it_stays_down_after_a_kill_and_is_started_again() {
        let here = Checkout::at(Path::new("."));
        let mut program = Supervised::default();
        assert_eq!(
            program.supervise(&here, || sleep(&here, "600")).unwrap(),
            None
        );
        assert!(program.is_running());
        assert!(program.kill(Instant::now() + Duration::from_secs(600)));
        assert!(!program.kill(Instant::now()));
        assert_eq!(
            program.supervise(&here, || sleep(&here, "600")).unwrap(),
            None
        );
        assert!(!program.is_running());
        program.down_until = Some(Instant::now());
        program.supervise(&here, || sleep(&here, "600")).unwrap();
        assert!(program.is_running());
    }

    #[test]
    fn an_exit_that_nobody_asked_for_is_returned() {
        let here = Checkout::at(Path::new("."));
        let mut program = Supervised::default();
        program
            .supervise(&here, || Ok(here.program("false")))
            .unwrap();
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = program.supervise(&here, || sleep(&here, "600")).unwrap() {
                break status;
            }
            assert!(asked.elapsed() < Duration::from_secs(20));
            std::thread::yield_now();
        };
        assert!(!status.success());
        assert!(!program.is_running());
    }
}
