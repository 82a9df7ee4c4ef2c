//! The broker of a station.

use super::client_id::client_id;
use super::error::StationError;
use crate::authority::{self, Authority, ServerName};
use crate::broker::{Broker, Limits, OversizedPacket};
use crate::health::Health;
use crate::ingest::{BrokerAccess, MessageTrust};
use crate::mosquitto::{Mosquitto, MosquittoSettings};
use crate::random::system_random;
use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::clock::Clock;
use flukewatch_http::machine_name;
use flukewatch_mqtt::TlsFiles;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The broker that boats and shore use.
#[derive(Clone, Debug)]
pub enum BrokerConfig {
    /// Shore's own, for programs on this computer, listening on this loopback address (port 0: any free
    /// one).
    Embedded(SocketAddr),
    /// A mosquitto with TLS that the station starts and supervises.
    Mosquitto(MosquittoConfig),
    /// Brokers that are already running.
    External(ExternalBrokers),
}

/// Brokers that are already running; boats may use any of them.
#[derive(Clone, Debug)]
pub struct ExternalBrokers {
    /// Their URLs with user and password.
    pub urls: Vec<BrokerUrl>,
    /// Certificates for `mqtts://`. Without any, those that the station's authority has given itself, if
    /// there is an authority.
    pub tls: TlsFiles,
    /// The group of stations that divide the messages; `None`: this station receives all.
    pub group: Option<String>,
    /// Whether boats need not sign their messages, and acknowledgements are not signed.
    pub accept_unsigned: bool,
}

/// A mosquitto that the station starts.
#[derive(Clone, Debug)]
pub struct MosquittoConfig {
    /// The address to listen on (port 0: any free one).
    pub address: SocketAddr,
    /// Names and addresses under which boats reach it, besides those that this computer knows of itself.
    pub server_names: Vec<ServerName>,
    /// The program; `None` for the installed one.
    pub program: Option<PathBuf>,
}

/// How ingest reaches the brokers.
#[derive(Clone, Debug)]
pub(super) struct BrokerConnections {
    /// At least one.
    pub(super) brokers: Vec<BrokerAccess>,
    pub(super) trust: MessageTrust,
    /// The URLs that boats use, for display.
    pub(super) public_url: String,
}

/// The broker, where the station runs it.
#[derive(Debug)]
pub(super) enum RunningBroker {
    External,
    Embedded(Broker),
    Mosquitto(Mosquitto),
}

/// What a broker is started with.
pub(super) struct Parts<'a> {
    /// The station's data folder, locked.
    pub(super) data: &'a Path,
    pub(super) clock: &'a dyn Clock,
    pub(super) health: &'a Arc<Health>,
    pub(super) report_oversized: mpsc::Sender<OversizedPacket>,
}

/// Starts the broker, unless it is an external one.
///
/// # Errors
/// When it cannot start.
pub(super) async fn start(
    config: BrokerConfig,
    parts: Parts<'_>,
) -> Result<(BrokerConnections, RunningBroker), StationError> {
    match config {
        BrokerConfig::External(config) => {
            let connections = external(config, &parts)?;
            Ok((connections, RunningBroker::External))
        }
        BrokerConfig::Embedded(address) => {
            let broker = Broker::start(address, Limits::default(), parts.report_oversized).await?;
            let url = url(false, broker.address());
            let connections = BrokerConnections {
                public_url: url.to_string(),
                brokers: vec![BrokerAccess {
                    url,
                    tls: TlsFiles::default(),
                    client_id: client_id(parts.data)?,
                    group: None,
                    persistent: false,
                }],
                trust: MessageTrust::Unsigned,
            };
            Ok((connections, RunningBroker::Embedded(broker)))
        }
        BrokerConfig::Mosquitto(config) => start_mosquitto(config, parts).await,
    }
}

fn external(config: ExternalBrokers, parts: &Parts<'_>) -> Result<BrokerConnections, StationError> {
    let mut random = system_random()?;
    let authority = if config.accept_unsigned {
        Authority::open(parts.data)?
    } else {
        let now = parts.clock.now();
        Some(Authority::open_or_create(parts.data, &mut random, now)?)
    };
    let tls = match &authority {
        Some(authority) if config.tls == TlsFiles::default() => tls(authority.station_files()),
        _ => config.tls,
    };
    let client_id = client_id(parts.data)?;
    let urls: Vec<String> = config.urls.iter().map(BrokerUrl::to_string).collect();
    let access = |url| BrokerAccess {
        url,
        tls: tls.clone(),
        client_id: client_id.clone(),
        group: config.group.clone(),
        persistent: true,
    };
    Ok(BrokerConnections {
        brokers: config.urls.into_iter().map(access).collect(),
        trust: match authority {
            Some(authority) if !config.accept_unsigned => MessageTrust::Signed(Arc::new(authority)),
            _ => MessageTrust::Unsigned,
        },
        public_url: urls.join(" "),
    })
}

fn tls(files: authority::TlsFiles) -> TlsFiles {
    TlsFiles {
        ca: Some(files.ca),
        certificate: Some(files.certificate),
        key: Some(files.key),
    }
}

async fn start_mosquitto(
    config: MosquittoConfig,
    parts: Parts<'_>,
) -> Result<(BrokerConnections, RunningBroker), StationError> {
    let mut random = system_random()?;
    let authority = Authority::open_or_create(parts.data, &mut random, parts.clock.now())?;
    let names = server_names(&config);
    // Boats use the first name that a person gave; without one, that of this computer.
    let public_name = match config.server_names.first() {
        Some(name) => name.to_string(),
        None => host_name().unwrap_or_else(|| "localhost".into()),
    };
    authority.prepare_broker(names, &mut random)?;
    let tls = tls(authority.station_files());
    let client_id = client_id(parts.data)?;
    let authority = Arc::new(authority);
    let trust = MessageTrust::Signed(Arc::clone(&authority));

    let (data, health) = (parts.data.to_owned(), Arc::clone(parts.health));
    let start = move || {
        let settings = MosquittoSettings {
            address: config.address,
            program: config.program.as_deref(),
            data: &data,
            authority: &authority,
        };
        Mosquitto::start(&settings, health)
    };
    let mosquitto = tokio::task::spawn_blocking(start).await??;
    let connections = BrokerConnections {
        brokers: vec![BrokerAccess {
            url: url(true, mosquitto.local_address()),
            tls,
            client_id,
            group: None,
            persistent: true,
        }],
        trust,
        public_url: public_url(&public_name, mosquitto.address().port()),
    };
    Ok((connections, RunningBroker::Mosquitto(mosquitto)))
}

impl RunningBroker {
    /// The address that it listens on; `None` for an external one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::External => None,
            Self::Embedded(broker) => Some(broker.address()),
            Self::Mosquitto(mosquitto) => Some(mosquitto.address()),
        }
    }

    /// Ends it and frees its port.
    pub(super) async fn shutdown(self) {
        match self {
            Self::External => {}
            Self::Embedded(broker) => broker.shutdown().await,
            Self::Mosquitto(mosquitto) => {
                // It waits for the process.
                let _ = tokio::task::spawn_blocking(move || drop(mosquitto)).await;
            }
        }
    }
}

fn url(tls: bool, address: SocketAddr) -> BrokerUrl {
    BrokerUrl {
        tls,
        credentials: None,
        host: match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        },
        port: address.port(),
    }
}

fn public_url(name: &str, port: u16) -> String {
    match name.parse() {
        Ok(ip @ IpAddr::V6(_)) => url(true, SocketAddr::new(ip, port)).to_string(),
        _ => format!("mqtts://{name}:{port}"),
    }
}

/// The names in the broker's certificate: what was given, the name of this computer, and how the station
/// itself connects.
fn server_names(config: &MosquittoConfig) -> BTreeSet<ServerName> {
    let address = config.address.ip();
    let addresses = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        address,
    ];
    let addresses = addresses.into_iter().filter(|ip| !ip.is_unspecified());
    let local = [Some("localhost".to_owned()), host_name()];
    config
        .server_names
        .iter()
        .cloned()
        .chain(addresses.map(ServerName::from))
        .chain(local.iter().flatten().filter_map(|name| name.parse().ok()))
        .collect()
}

/// The name of this computer, if it can be in a certificate.
fn host_name() -> Option<String> {
    let name: ServerName = machine_name()?.parse().ok()?;
    Some(name.to_string())
}
