//! The process itself.

use super::config::BrokerFiles;
use super::error::MosquittoError;
use super::log::{ChildLog, pass_on};
use flukewatch_common::atomic_file::write_atomically;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the broker may take until it serves clients.
const READY_TIMEOUT: Duration = Duration::from_secs(15);
/// How long it may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// A running broker. Killed when dropped.
#[derive(Debug)]
pub(super) struct BrokerChild {
    process: Child,
    log: ChildLog,
    log_reader: Option<JoinHandle<()>>,
}

impl BrokerChild {
    /// Starts the program and waits until it serves clients on `address`. It is killed when the
    /// calling thread ends.
    ///
    /// # Errors
    /// When the address is in use, or the program does not run.
    pub(super) fn start(
        program: &Path,
        files: &BrokerFiles,
        address: SocketAddr,
    ) -> Result<Self, MosquittoError> {
        // Otherwise another program that listens there would pass for the broker.
        drop(
            TcpListener::bind(address)
                .map_err(|source| MosquittoError::Listen { address, source })?,
        );
        let mut command = Command::new(program);
        command
            .arg("-c")
            .arg(files.config())
            .current_dir(files.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        die_with_this_thread(&mut command);
        let mut process = command.spawn().map_err(|source| MosquittoError::Run {
            program: program.to_owned(),
            source,
        })?;
        let log = ChildLog::default();
        let log_reader = process.stderr.take().map(|stderr| {
            let log = log.clone();
            thread::spawn(move || pass_on(stderr, &log))
        });
        let mut child = Self {
            process,
            log,
            log_reader,
        };
        let id = child.process.id().to_string();
        write_atomically(&files.process_id(), id.as_bytes())
            .map_err(MosquittoError::write(files.process_id()))?;
        child.wait_until_ready(address)?;
        Ok(child)
    }

    fn wait_until_ready(&mut self, address: SocketAddr) -> Result<(), MosquittoError> {
        let started = Instant::now();
        while !self.log.is_running() {
            if let Some(error) = self.exited() {
                return Err(error);
            }
            if started.elapsed() > READY_TIMEOUT {
                return Err(MosquittoError::NotReady {
                    address,
                    timeout: READY_TIMEOUT,
                    log: self.log.last_lines(),
                });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Why it has ended; `None` while it runs.
    pub(super) fn exited(&mut self) -> Option<MosquittoError> {
        let status = match self.process.try_wait() {
            Ok(None) => return None,
            Ok(Some(status)) => describe(status),
            Err(error) => error.to_string(),
        };
        // Its last lines explain the exit.
        self.join_log();
        Some(MosquittoError::Exited {
            status,
            log: self.log.last_lines(),
        })
    }

    /// Ends it, so that clients are disconnected in order.
    pub(super) fn stop(mut self, files: &BrokerFiles) {
        if let Some(id) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process(id, Signal::TERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < STOP_TIMEOUT {
            if !matches!(self.process.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(POLL);
        }
        drop(self);
        let _ = fs::remove_file(files.process_id());
    }

    fn join_log(&mut self) {
        if let Some(reader) = self.log_reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for BrokerChild {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.join_log();
    }
}

/// Has the kernel kill the child when the thread that starts it ends, e.g. because the station was killed:
/// it would go on to accept messages that nothing stores.
#[cfg(target_os = "linux")]
#[allow(
    unsafe_code,
    reason = "the only way to run code in the child before the program"
)]
fn die_with_this_thread(command: &mut Command) {
    use rustix::process::{getppid, set_parent_process_death_signal};
    use std::os::unix::process::CommandExt;
    let parent = rustix::process::getpid();
    let before_program = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have ended before.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(rustix::io::Errno::SRCH.into())
        }
    };
    // SAFETY: between fork and exec, `before_program` makes two system calls and neither allocates nor locks.
    unsafe {
        command.pre_exec(before_program);
    }
}

/// Elsewhere a broker that was left behind is ended by the next start.
#[cfg(not(target_os = "linux"))]
fn die_with_this_thread(_command: &mut Command) {}

fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("killed by signal {signal}");
    }
    status.to_string()
}
