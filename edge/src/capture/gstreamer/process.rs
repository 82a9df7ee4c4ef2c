//! `gst-launch-1.0` as a child process: starting, reading and ending it.
//!
//! Frames arrive through its descriptor 0, which it does not read itself. Its stdout cannot carry them,
//! since `nvarguscamerasrc` prints there. Stdout and stderr arrive through a second connection. Both are
//! sockets, because reads of a socket can have a timeout.

use super::output_log::OutputLog;
use crate::cancellation::CancellationToken;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How often a wait reads the child's log and checks for cancellation.
const CHECK: Duration = Duration::from_millis(100);
/// How long a child may take to end once asked to. Cameras on a Jetson need an orderly shutdown.
const GRACE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(5);

/// The output of a child: its frames, which are read from it, and its log.
pub(in crate::capture) struct ChildOutput {
    frames: UnixStream,
    messages: UnixStream,
    log: OutputLog,
    /// Whether there will be no more frames.
    frames_ended: bool,
    /// Whether no process is left that could print.
    messages_ended: bool,
    /// When a read of frames times out.
    deadline: Instant,
    stop: CancellationToken,
}

impl ChildOutput {
    /// Lets reads time out `timeout` from now.
    pub(in crate::capture) fn set_timeout(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
        self.read_messages();
    }

    /// The other direction of its frames, for a child that reads there. Writes fail after `timeout`.
    ///
    /// # Errors
    /// When the descriptor cannot be copied.
    pub(in crate::capture) fn input(&self, timeout: Duration) -> io::Result<UnixStream> {
        let input = self.frames.try_clone()?;
        input.set_write_timeout(Some(timeout))?;
        Ok(input)
    }

    /// Whether all frames are read and the other end is closed.
    pub(in crate::capture) fn ended(&self) -> bool {
        self.frames_ended
    }

    /// Reads the messages that have arrived, without waiting.
    fn read_messages(&mut self) {
        let mut bytes = [0; 4096];
        while !self.messages_ended {
            match self.messages.read(&mut bytes) {
                Ok(0) => {
                    self.messages_ended = true;
                    self.log.end_line();
                }
                Ok(read) => self.log.push(bytes.get(..read).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.messages_ended = true,
            }
        }
    }
}

impl Read for ChildOutput {
    /// Waits for bytes of frames.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] after the deadline, [`ErrorKind::ConnectionAborted`] when cancelled.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.is_cancelled() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if Instant::now() >= self.deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.frames.read(into) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.read_messages();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // It ended without reading all of its input.
                Err(e) if e.kind() == ErrorKind::ConnectionReset => {
                    self.frames_ended = true;
                    return Ok(0);
                }
                Ok(0) => {
                    self.frames_ended = !into.is_empty();
                    return Ok(0);
                }
                read => return read,
            }
        }
    }
}

/// How a child ended, e.g. `exit status: 1: no such camera`.
pub(in crate::capture) struct ExitReport {
    /// Its exit code or signal; `None` where not even a kill ends it.
    status: Option<ExitStatus>,
    reason: Option<String>,
}

impl ExitReport {
    /// Whether it ended by itself and without an error.
    pub(in crate::capture) fn succeeded(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The most telling line of its output.
    pub(in crate::capture) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.status {
            Some(status) => write!(f, "{status}")?,
            None => f.write_str("cannot be killed")?,
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => f.write_str(", no output"),
        }
    }
}

/// A running child, with all processes that it starts. It must be ended with [`Process::end`].
pub(in crate::capture) struct Process(Child);

impl Process {
    /// Starts `program` in a new process group, with these variables in addition to this process's.
    ///
    /// # Errors
    /// When it does not exist, or may not be started.
    pub(in crate::capture) fn start(
        program: &OsStr,
        arguments: &[String],
        environment: &[(&str, String)],
        stop: CancellationToken,
    ) -> io::Result<(Self, ChildOutput)> {
        let (frames, child_frames) = UnixStream::pair()?;
        let (messages, child_messages) = UnixStream::pair()?;
        frames.set_read_timeout(Some(CHECK))?;
        messages.set_nonblocking(true)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(OwnedFd::from(child_frames))
            .stdout(OwnedFd::from(child_messages.try_clone()?))
            .stderr(OwnedFd::from(child_messages))
            // Keeps Ctrl-C from the child: the boat ends it in order.
            .process_group(0)
            .env("LC_ALL", "C")
            .env("GST_DEBUG_NO_COLOR", "1")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .spawn()?;
        let output = ChildOutput {
            frames,
            messages,
            log: OutputLog::default(),
            frames_ended: false,
            messages_ended: false,
            deadline: Instant::now(),
            stop,
        };
        Ok((Self(child), output))
    }

    /// Waits until it has ended by itself, or, with `interrupt`, after SIGINT; then kills it and
    /// the processes that it started, if they are still running.
    pub(in crate::capture) fn end(
        mut self,
        output: &mut ChildOutput,
        interrupt: bool,
    ) -> ExitReport {
        if interrupt {
            signal_group(&self.0, Signal::INT);
        }
        let until = Instant::now() + GRACE;
        let mut unread = vec![0; 1 << 16];
        let _ = output.frames.set_read_timeout(Some(POLL));
        while !output.messages_ended && Instant::now() < until {
            // Drain what it still sends, since it may block on that. After its end this returns at once.
            if matches!(output.frames.read(&mut unread), Ok(0)) {
                std::thread::sleep(POLL);
            }
            output.read_messages();
        }
        // Before it is waited for: until then no other process can have its id.
        signal_group(&self.0, Signal::KILL);
        let until = Instant::now() + GRACE;
        let status = loop {
            match self.0.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(POLL),
                Ok(None) | Err(_) => break None,
            }
        };
        output.read_messages();
        let reason = output.log.reason().map(str::to_owned);
        if status.is_none() {
            tracing::warn!("gst-launch-1.0 hangs in the kernel and cannot be killed");
            // Reap it whenever it ends.
            let reaper = std::thread::Builder::new().name("reaper".into());
            let _ = reaper.spawn(move || self.0.wait());
        }
        ExitReport { status, reason }
    }
}

/// Sends `signal` to the process group of `leader`, which must not have been waited for.
fn signal_group(leader: &Child, signal: Signal) {
    let id = i32::try_from(leader.id()).ok().filter(|id| *id > 1);
    if let Some(group) = id.and_then(Pid::from_raw) {
        // An error means that the group has ended.
        let _ = kill_process_group(group, signal);
    }
}
