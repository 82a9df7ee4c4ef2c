//! Starts the broker, and starts it again.

use super::child::BrokerChild;
use super::config::BrokerFiles;
use super::error::MosquittoError;
use super::{leftover, program};
use crate::authority::Authority;
use crate::health::Health;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

/// Backoff after the first exit; it doubles up to [`MAX_BACKOFF`].
const INITIAL_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A broker that ran for this long works; the backoff starts over.
const WORKS_AFTER: Duration = Duration::from_secs(60);
/// How often child and revocation list are looked at.
const POLL: Duration = Duration::from_millis(200);

/// A broker to start.
#[derive(Debug)]
pub struct MosquittoSettings<'a> {
    /// The address to listen on (port 0: any free one).
    pub address: SocketAddr,
    /// The program; `None` for the installed one.
    pub program: Option<&'a Path>,
    /// The station's data folder. The caller holds its lock.
    pub data: &'a Path,
    /// Whose certificates the broker accepts. It must be prepared
    /// ([`Authority::prepare_broker`]).
    pub authority: &'a Authority,
}

/// A supervised broker. Ended when it is dropped.
#[derive(Debug)]
pub struct Mosquitto {
    address: SocketAddr,
    /// Closed to end the supervision.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mosquitto {
    /// Starts a broker, and waits until it serves clients. From then on, exits are reported to
    /// `health` and followed by another start.
    ///
    /// # Errors
    /// When the program is not installed, or does not run.
    pub fn start(
        settings: &MosquittoSettings<'_>,
        health: Arc<Health>,
    ) -> Result<Self, MosquittoError> {
        let program = program::find(settings.program)?;
        let files = BrokerFiles::create(settings.data, settings.authority)?;
        leftover::end(&files)?;
        let address = free_port(settings.address)?;
        files.write(address)?;
        let supervisor = Supervisor {
            program,
            files,
            address,
            health,
        };
        let (end, ended) = mpsc::channel();
        let (report_start, start) = mpsc::channel();
        // The child ends with the thread that started it, so that this is one which lasts as long.
        let thread = thread::spawn(move || {
            // Before the start: what changes later is noticed.
            let revoked = supervisor.revocation_list();
            match supervisor.start_child() {
                Ok(child) => {
                    let _ = report_start.send(Ok(()));
                    supervisor.run(child, revoked, &ended);
                }
                Err(error) => {
                    let _ = report_start.send(Err(error));
                }
            }
        });
        let supervised = Self {
            address,
            end: Some(end),
            thread: Some(thread),
        };
        match start.recv() {
            Ok(Ok(())) => Ok(supervised),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(MosquittoError::Exited {
                status: "its supervision failed".into(),
                log: String::new(),
            }),
        }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address under which this machine reaches it.
    pub fn local_address(&self) -> SocketAddr {
        reachable(self.address)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// `address`, with a free port in place of 0.
fn free_port(address: SocketAddr) -> Result<SocketAddr, MosquittoError> {
    if address.port() != 0 {
        return Ok(address);
    }
    TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map_err(|source| MosquittoError::Listen { address, source })
}

/// Where this machine reaches a server on `address`: one cannot connect to an unspecified address.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Changes when the list is replaced.
type ListVersion = Option<(SystemTime, u64)>;

/// Why a child is not watched any longer.
enum Ended {
    Shutdown,
    Revoked,
    Exited(MosquittoError),
}

struct Supervisor {
    program: PathBuf,
    files: BrokerFiles,
    address: SocketAddr,
    health: Arc<Health>,
}

impl Supervisor {
    fn start_child(&self) -> Result<BrokerChild, MosquittoError> {
        let child = BrokerChild::start(&self.program, &self.files, self.address)?;
        self.health.broker_process_started();
        tracing::info!(address = %self.address, "mosquitto started");
        Ok(child)
    }

    /// Watches the child until the end of the supervision, and starts others in its place.
    fn run(&self, first: BrokerChild, mut revoked: ListVersion, end: &mpsc::Receiver<()>) {
        let mut child = first;
        let mut backoff = INITIAL_BACKOFF;
        loop {
            let started = Instant::now();
            match self.watch(&mut child, revoked, end) {
                Ended::Shutdown => {
                    child.stop(&self.files);
                    return;
                }
                Ended::Revoked => {
                    // A reload rejects new connections of a revoked boat, but keeps the present one.
                    tracing::info!("certificates revoked; restarting mosquitto");
                    child.stop(&self.files);
                }
                Ended::Exited(error) => {
                    if started.elapsed() > WORKS_AFTER {
                        backoff = INITIAL_BACKOFF;
                    }
                    self.report_exit(&error, backoff);
                    if is_ended(end, backoff) {
                        return;
                    }
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                }
            }
            child = loop {
                revoked = self.revocation_list();
                match self.start_child() {
                    Ok(child) => break child,
                    Err(error) => self.report_exit(&error, backoff),
                }
                if is_ended(end, backoff) {
                    return;
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            };
        }
    }

    fn watch(
        &self,
        child: &mut BrokerChild,
        revoked: ListVersion,
        end: &mpsc::Receiver<()>,
    ) -> Ended {
        loop {
            if is_ended(end, POLL) {
                return Ended::Shutdown;
            }
            if let Some(error) = child.exited() {
                return Ended::Exited(error);
            }
            if self.revocation_list() != revoked {
                return Ended::Revoked;
            }
        }
    }

    fn report_exit(&self, error: &MosquittoError, delay: Duration) {
        tracing::error!(%error, ?delay, "mosquitto is down; restarting");
        self.health.broker_process_failed(&error.to_string());
    }

    fn revocation_list(&self) -> ListVersion {
        let metadata = fs::metadata(self.files.revoked()).ok()?;
        #[cfg(unix)]
        let file = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let file = metadata.len();
        Some((metadata.modified().ok()?, file))
    }
}

/// Waits for `duration`, or until the end of the supervision; returns whether it came.
fn is_ended(end: &mpsc::Receiver<()>, duration: Duration) -> bool {
    !matches!(end.recv_timeout(duration), Err(RecvTimeoutError::Timeout))
}
