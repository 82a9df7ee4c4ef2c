//! Errors of the broker's process.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why mosquitto cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum MosquittoError {
    /// The program is not installed.
    #[error(
        "--mqtts needs the broker mosquitto, which is not installed: run 'sudo apt install mosquitto', or name the program with --mosquitto"
    )]
    NotInstalled,
    /// The program that was named does not exist.
    #[error("--mosquitto: {} does not exist", .0.display())]
    NoProgram(PathBuf),
    /// The address is in use or does not belong to this machine.
    #[error("cannot listen for MQTT on {address}: {source}; choose another address with --mqtts")]
    Listen {
        /// The address to listen on.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A path cannot be written into the configuration.
    #[error("mosquitto cannot read the path {}: choose a data folder whose path is UTF-8 without line breaks", .0.display())]
    Path(PathBuf),
    /// A file of the broker cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// Path of the file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The program cannot be run.
    #[error("cannot run {}: {source}", .program.display())]
    Run {
        /// Path of the program.
        program: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The program exited.
    #[error("mosquitto exited ({status}): {log}")]
    Exited {
        /// Exit code or signal.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// The program does not become ready.
    #[error("mosquitto does not serve clients on {address} after {timeout:?}: {log}")]
    NotReady {
        /// The address that it should listen on.
        address: SocketAddr,
        /// How long it was tried.
        timeout: Duration,
        /// The end of its log.
        log: String,
    },
    /// A broker of an earlier run does not end.
    #[error("mosquitto of an earlier run (process {0}) does not end: stop it with 'kill -9 {0}'")]
    Leftover(u32),
}

impl MosquittoError {
    pub(super) fn write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Write { path, source }
    }
}
