//! `gst-launch-1.0` as a child: how it is started, listened to and ended.
//!
//! Frames come through its descriptor 0, which it does not read. Its stdout would not do: `nvarguscamerasrc` prints on it as it
//! likes, amid the frames. What is said on stdout and stderr comes through a second connection. Both are sockets, because waiting for one
//! of these can be limited in time.

use super::said::Said;
use crate::stop::Stop;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// So often a wait is interrupted to hear what is said, and whether it should end.
const TICK: Duration = Duration::from_millis(100);
/// How long a child may take to end once it is asked to. Cameras on a Jetson want to be let go of in order.
const GRACE: Duration = Duration::from_secs(2);
const NAP: Duration = Duration::from_millis(5);

/// What a child sends.
pub(super) struct Tap {
    frames: UnixStream,
    speech: UnixStream,
    said: Said,
    /// Whether there will be no more frames.
    ended: bool,
    /// Whether nobody is left who could say anything.
    silent: bool,
    /// Until when frames are waited for.
    deadline: Instant,
    stop: Stop,
}

impl Tap {
    /// Frames are waited for until `patience` from now.
    pub(super) fn wait_at_most(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
        self.listen();
    }

    /// Whether its other end is closed, and all that came through it is read.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Hears what was said since; never waits.
    fn listen(&mut self) {
        let mut bytes = [0; 4096];
        while !self.silent {
            match self.speech.read(&mut bytes) {
                Ok(0) => {
                    self.silent = true;
                    self.said.end_line();
                }
                Ok(read) => self.said.hear(bytes.get(..read).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.silent = true,
            }
        }
    }
}

impl Read for Tap {
    /// Waits until there is something to read.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] after the deadline, [`ErrorKind::ConnectionAborted`] when the boat is asked to end.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.asked() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if Instant::now() >= self.deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.frames.read(into) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.listen();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Ok(0) => {
                    self.ended = !into.is_empty();
                    return Ok(0);
                }
                read => return read,
            }
        }
    }
}

/// A child at work, with all that it starts itself. It must be ended with [`Process::end`].
pub(super) struct Process(Child);

/// How a child ended.
pub(super) struct End {
    /// Its exit code or signal; `None` where even a kill does not end it.
    status: Option<ExitStatus>,
    reason: Option<String>,
}

impl End {
    /// Its last word that says most.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Its status and its last word, as `exit status: 1: no such camera`.
    pub(super) fn told(&self) -> String {
        let status = self.status.map_or_else(
            || "it cannot be killed".to_owned(),
            |status| status.to_string(),
        );
        match &self.reason {
            Some(reason) => format!("{status}: {reason}"),
            None => format!("{status}, and it said nothing"),
        }
    }
}

impl Process {
    /// Starts `program`.
    ///
    /// # Errors
    /// When it is not there, or may not be started.
    pub(super) fn start(
        program: &OsStr,
        arguments: &[&str],
        stop: Stop,
    ) -> io::Result<(Self, Tap)> {
        let (frames, sends) = UnixStream::pair()?;
        let (speech, says) = UnixStream::pair()?;
        frames.set_read_timeout(Some(TICK))?;
        speech.set_nonblocking(true)?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(OwnedFd::from(sends))
            .stdout(OwnedFd::from(says.try_clone()?))
            .stderr(OwnedFd::from(says))
            // A Ctrl-C is for the boat, which ends its children in order.
            .process_group(0)
            .env("LC_ALL", "C")
            .env("GST_DEBUG_NO_COLOR", "1")
            .spawn()?;
        let tap = Tap {
            frames,
            speech,
            said: Said::default(),
            ended: false,
            silent: false,
            deadline: Instant::now(),
            stop,
        };
        Ok((Self(child), tap))
    }

    /// Waits until it has ended by itself, after `ask` asked it to where that is true, or kills it, and all that it has started.
    pub(super) fn end(mut self, tap: &mut Tap, ask: bool) -> End {
        if ask {
            signal_group(&self.0, libc::SIGINT);
        }
        let until = Instant::now() + GRACE;
        let mut unread = vec![0; 1 << 16];
        let _ = tap.frames.set_read_timeout(Some(NAP));
        while !tap.silent && Instant::now() < until {
            // What it still sends is drained, for it may wait for that. After its end this returns at once.
            if matches!(tap.frames.read(&mut unread), Ok(0)) {
                std::thread::sleep(NAP);
            }
            tap.listen();
        }
        // Before it is waited for: until then nobody else can bear its number.
        signal_group(&self.0, libc::SIGKILL);
        let until = Instant::now() + GRACE;
        let status = loop {
            match self.0.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if Instant::now() < until => std::thread::sleep(NAP),
                Ok(None) | Err(_) => break None,
            }
        };
        tap.listen();
        let reason = tap.said.reason().map(str::to_owned);
        if status.is_none() {
            tracing::warn!("gst-launch-1.0 hangs in the kernel and cannot be killed");
            // Its end is waited for, so that nothing is left of it; at the latest the end of the boat takes it along.
            let waiting = std::thread::Builder::new().name("reaper".into());
            let _ = waiting.spawn(move || self.0.wait());
        }
        End { status, reason }
    }
}

/// Sends `signal` to the group that `leader` leads, which must not have been waited for.
fn signal_group(leader: &Child, signal: i32) {
    let Some(group) = i32::try_from(leader.id()).ok().filter(|id| *id > 1) else {
        return;
    };
    #[allow(
        unsafe_code,
        reason = "kill takes two numbers; the group is that of a child that has not been waited for"
    )]
    // SAFETY: no memory is passed.
    unsafe {
        libc::kill(-group, signal);
    }
}
