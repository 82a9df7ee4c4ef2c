//! A broker with an authority and boats.

use super::client::{Client, Options};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_shore::authority::{Authority, BOAT_DAYS, ProvisionRequest, TlsFiles};
use flukewatch_shore::health::Health;
use flukewatch_shore::mosquitto::{Mosquitto, MosquittoError, MosquittoSettings};
use flukewatch_shore::random::system_random;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A supervised broker on a free port of 127.0.0.1.
pub(super) struct Broker {
    pub(super) mosquitto: Mosquitto,
    pub(super) health: Arc<Health>,
    pub(super) authority: Authority,
    pub(super) folder: TempDir,
}

impl Broker {
    /// Starts it; `None` where mosquitto is not installed.
    pub(super) fn start() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let authority = new_authority(folder.path());
        let health = Arc::new(Health::default());
        let mosquitto = start(folder.path(), &authority, any_port(), &health);
        let mosquitto = installed(mosquitto)?.unwrap();
        Some(Self {
            mosquitto,
            health,
            authority,
            folder,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.mosquitto.address()
    }

    /// Makes the identity of a boat.
    pub(super) fn provision(&self, boat: &str) -> TlsFiles {
        identity(&self.authority, self.folder.path(), boat)
    }

    /// Connects a boat, the station, or an attacker.
    pub(super) fn connect(&self, identity: &TlsFiles) -> Client {
        Client::connect(self.address(), &options(identity)).unwrap()
    }

    /// Connects the station.
    pub(super) fn connect_station(&self) -> Client {
        self.connect(&self.authority.station_files())
    }

    /// The process that runs now.
    pub(super) fn process(&self) -> u32 {
        process(self.folder.path())
    }

    /// Whether another process than `before` runs.
    pub(super) fn has_restarted(&self, before: u32) -> bool {
        process_now(self.folder.path()).is_some_and(|now| now != before)
    }
}

/// The process id of the broker in a data folder.
pub(super) fn process(data: &Path) -> u32 {
    process_now(data).unwrap()
}

/// The same; `None` while it is started again.
fn process_now(data: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(data.join("broker/mosquitto.pid")).ok()?;
    text.parse().ok()
}

/// Whether a process exists.
pub(super) fn is_running(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

/// How a client connects with its own identity.
pub(super) fn options(identity: &TlsFiles) -> Options<'_> {
    Options {
        identity: Some(identity),
        client_id: "any",
        will: None,
        ca: &identity.ca,
        clock_reset: false,
    }
}

pub(super) fn new_authority(data: &Path) -> Authority {
    let mut random = system_random().unwrap();
    let authority = Authority::open_or_create(data, &mut random, SystemClock.now()).unwrap();
    let names = ["localhost", "127.0.0.1"].map(|name| name.parse().unwrap());
    authority.prepare_broker(names.into(), &mut random).unwrap();
    authority
}

/// Makes the identity of a boat in a new folder in `folder`.
pub(super) fn identity(authority: &Authority, folder: &Path, boat: &str) -> TlsFiles {
    let request = ProvisionRequest {
        boat: boat.parse().unwrap(),
        out: folder.join(format!("aboard-{boat}")),
        days: BOAT_DAYS,
        replace: false,
        broker: None,
    };
    let now = SystemClock.now();
    let identity = authority.provision(&request, &mut system_random().unwrap(), now);
    files(&identity.unwrap().folder)
}

/// The files of a boat's identity.
pub(super) fn files(folder: &Path) -> TlsFiles {
    TlsFiles {
        ca: folder.join("ca.pem"),
        certificate: folder.join("boat.pem"),
        key: folder.join("boat.key"),
    }
}

pub(super) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

pub(super) fn start(
    data: &Path,
    authority: &Authority,
    address: SocketAddr,
    health: &Arc<Health>,
) -> Result<Mosquitto, MosquittoError> {
    let settings = MosquittoSettings {
        address,
        program: None,
        data,
        authority,
    };
    Mosquitto::start(&settings, Arc::clone(health))
}

/// `None`, and a line for the log, where mosquitto is not installed.
pub(super) fn installed(
    started: Result<Mosquitto, MosquittoError>,
) -> Option<Result<Mosquitto, MosquittoError>> {
    if matches!(started, Err(MosquittoError::NotInstalled)) {
        eprintln!("skipped: mosquitto not installed");
        return None;
    }
    Some(started)
}

/// The path of the station's program.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_flukewatch-shore");

/// A text that is a path.
pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder in a temporary one.
pub(super) fn folder_in(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}
