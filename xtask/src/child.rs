//! Child processes that never outlive xtask.

use crate::interrupt::Interrupt;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Polling interval of a running program.
const LOOK: Duration = Duration::from_millis(30);
/// Time to end after SIGTERM, before SIGKILL.
const GRACE: Duration = Duration::from_secs(10);

/// A running program in its own process group, so that it can be ended together with its children.
/// Ended on drop.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    interrupt: Interrupt,
}

impl Child {
    /// Starts `command` without standard input; `name` is for messages.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        interrupt.check()?;
        let process = command
            .stdin(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!(
                    "{name} cannot be started ({})",
                    command.get_program().display()
                )
            })?;
        Ok(Self {
            name: name.to_owned(),
            process,
            interrupt: interrupt.clone(),
        })
    }

    /// The process number, which is also that of its group.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The piped standard output, if any; only the first call returns it.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// The exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.process
            .try_wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Waits until it ends, and calls `meanwhile` repeatedly. An interrupt ends both.
    pub(crate) fn wait(
        mut self,
        mut meanwhile: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            self.interrupt.check()?;
            meanwhile()?;
            std::thread::sleep(LOOK);
        }
    }

    /// Sends a signal to the process, without its children.
    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended meanwhile.
        let _ = kill_process(Pid::from_child(&self.process), signal);
    }

    /// Kills the process with SIGKILL, without its children, and waits until it has ended.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        let _ = self.process.wait();
    }

    /// Ends the process group: SIGTERM, and SIGKILL after the grace period.
    fn end(&mut self) {
        if !matches!(self.process.try_wait(), Ok(None)) {
            return;
        }
        self.signal_group(Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        self.signal_group(Signal::KILL);
        let _ = self.process.wait();
    }

    /// Errors are ignored: the process may have ended meanwhile.
    fn signal_group(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.process), signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupted;
    use std::io::{BufRead, BufReader};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        command
    }

    fn runs(pid: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_dropped_child_ends_with_its_own_children() {
        let script = "sleep 600 & echo $!; wait";
        let mut child =
            Child::start("the shell", &mut shell(script), &Interrupt::default()).unwrap();
        let mut pid = String::new();
        BufReader::new(child.stdout().unwrap())
            .read_line(&mut pid)
            .unwrap();
        let pid = pid.trim().to_owned();
        assert!(runs(&pid), "sleep {pid}");
        drop(child);
        let dropped = Instant::now();
        while runs(&pid) {
            assert!(dropped.elapsed() < GRACE, "sleep {pid} outlives its parent");
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn the_exit_code_is_returned() {
        let child = Child::start("sh", &mut shell("exit 7"), &Interrupt::default()).unwrap();
        assert_eq!(child.wait(|| Ok(())).unwrap().code(), Some(7));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_killed_child_cannot_clean_up_and_leaves_its_children() {
        let script = "trap 'echo clean' EXIT TERM; sleep 600 & echo $!; wait";
        let mut child =
            Child::start("the shell", &mut shell(script), &Interrupt::default()).unwrap();
        let mut out = BufReader::new(child.stdout().unwrap());
        let mut pid = String::new();
        out.read_line(&mut pid).unwrap();
        let pid = pid.trim().to_owned();
        child.kill();
        assert!(runs(&pid), "sleep {pid}");
        let left = Pid::from_raw(pid.parse().unwrap()).unwrap();
        kill_process(left, Signal::KILL).unwrap();
        let mut rest = String::new();
        out.read_line(&mut rest).unwrap();
        assert_eq!(rest, "");
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let interrupt = Interrupt::default();
        let child = Child::start("sh", &mut shell("exec sleep 600"), &interrupt).unwrap();
        let mut looks = 0;
        let error = child
            .wait(|| {
                looks += 1;
                if looks == 3 {
                    interrupt.ask();
                }
                Ok(())
            })
            .unwrap_err();
        assert!(error.is::<Interrupted>());
        assert_eq!(looks, 3);
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut command = Command::new("no-such-program");
        let error = Child::start("the boat", &mut command, &Interrupt::default())
            .err()
            .unwrap();
        let said = format!("{error:#}");
        assert!(
            said.starts_with("the boat cannot be started (no-such-program)"),
            "{said}"
        );
    }
}
