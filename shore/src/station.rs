//! The whole station in one process: broker, ingest, store and HTTP server.
//!
//! ```no_run
//! use flukewatch_shore::station::{BrokerConfig, Station, StationConfig, StationError};
//! # async fn run() -> Result<(), StationError> {
//! let any_port = ([127, 0, 0, 1], 0).into();
//! let config = StationConfig::new("data".into(), any_port, BrokerConfig::Embedded(any_port));
//! let station = Station::start(config).await?;
//! println!("pages at http://{}, broker at {}", station.http_address(), station.broker_url());
//! station.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub use crate::catalogue_photos::CataloguePhotosError;

use crate::broker::{Broker, BrokerError, Limits};
use crate::catalogue_photos::CataloguePhotos;
use crate::health::Health;
use crate::http;
use crate::ingest::Ingester;
use crate::request::AppState;
use crate::store::{SqliteStore, Store, StoreError};
use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::bundle::{Bundle, BundleError};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_http::{AllowedHost, AllowedHosts, HttpServer, Rejections, machine_name};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long the start waits for the broker before it continues without.
const BROKER_START_TIMEOUT: Duration = Duration::from_secs(3);
/// Reports of oversized packets that may be pending; further ones are dropped.
const MAX_OVERSIZED_REPORTS: usize = 64;

/// The broker that boats and shore use.
#[derive(Clone, Debug)]
pub enum BrokerConfig {
    /// Shore's own, listening on this address (port 0: any free one).
    Embedded(SocketAddr),
    /// One that is already running.
    External(BrokerUrl),
}

/// The catalogue whose photos are shown beside sightings.
#[derive(Clone, Debug)]
pub struct CatalogueSource {
    /// The bundle whose catalogue names the photos.
    pub bundle: PathBuf,
    /// The folder with the photos.
    pub photos: PathBuf,
}

/// Configuration of a station.
#[derive(Clone)]
pub struct StationConfig {
    /// Folder of the database and the pictures; created if missing.
    pub data: PathBuf,
    /// Address of the HTTP server (port 0: any free one).
    pub http: SocketAddr,
    /// The broker to subscribe to.
    pub broker: BrokerConfig,
    /// The catalogue to show candidates from, if any.
    pub catalogue: Option<CatalogueSource>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Further names under which the pages are opened.
    pub hosts: Vec<AllowedHost>,
    /// What the clients of the HTTP server may cause.
    pub http_limits: flukewatch_http::Limits,
}

impl StationConfig {
    /// A station without a catalogue, on the system clock.
    pub fn new(data: PathBuf, http: SocketAddr, broker: BrokerConfig) -> Self {
        Self {
            data,
            http,
            broker,
            catalogue: None,
            clock: Arc::new(SystemClock),
            hosts: vec![],
            http_limits: flukewatch_http::Limits::default(),
        }
    }
}

/// Why a station cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The catalogue's photos cannot be read.
    #[error(transparent)]
    Photos(#[from] CataloguePhotosError),
    /// The embedded broker cannot start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The HTTP server cannot start.
    #[error("cannot listen for HTTP on {address}: {source}; choose another address with --http")]
    Http {
        /// The address to listen on.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}

/// A station that runs until [`Station::shutdown`]. Dropped, it ends as well, but its tasks are not
/// awaited.
pub struct Station {
    http_address: SocketAddr,
    broker_url: BrokerUrl,
    embedded_broker: Option<Broker>,
    store: Arc<dyn Store>,
    health: Arc<Health>,
    ingester: Arc<Ingester>,
    shutdown: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Station {
    /// Starts a station. Returns once the pages are served and ingest is connected, or a few
    /// seconds later if the broker does not answer; shore keeps connecting for as long as the
    /// station runs.
    ///
    /// # Errors
    /// When the data folder, the catalogue or an address cannot be used.
    pub async fn start(config: StationConfig) -> Result<Self, StationError> {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&config.data)?);
        let photos = config.catalogue.as_ref().map(open_photos).transpose()?;
        let http_error = |source| StationError::Http {
            address: config.http,
            source,
        };
        let listener = TcpListener::bind(config.http).await.map_err(http_error)?;
        let http_address = listener.local_addr().map_err(http_error)?;

        let (report_oversized, oversized) = mpsc::channel(MAX_OVERSIZED_REPORTS);
        let (broker_url, embedded_broker) = match config.broker {
            BrokerConfig::External(url) => (url, None),
            BrokerConfig::Embedded(address) => {
                let broker = Broker::start(address, Limits::default(), report_oversized).await?;
                (loopback_url(broker.address()), Some(broker))
            }
        };
        let health = Arc::new(Health::default());
        let ingester = Arc::new(Ingester::new(
            broker_url.clone(),
            Arc::clone(&store),
            Arc::clone(&config.clock),
            Arc::clone(&health),
        ));
        let rejections = Arc::new(Rejections::default());
        let state = AppState {
            store: Arc::clone(&store),
            health: Arc::clone(&health),
            photos: photos.map(Arc::new),
            clock: config.clock,
            broker: broker_url.to_string(),
            rejections: Arc::clone(&rejections),
        };
        let server = HttpServer {
            limits: config.http_limits,
            hosts: AllowedHosts::new(machine_name().as_deref(), config.hosts),
            content_security_policy: http::CONTENT_SECURITY_POLICY,
            rejections,
        };
        let (shutdown, shutdown_requested) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(Arc::clone(&ingester).run(shutdown_requested.clone())),
            tokio::spawn(Arc::clone(&ingester).record_oversized(oversized)),
            tokio::spawn(server.serve(listener, http::routes(state), shutdown_requested)),
        ];
        let connected = health.wait_until_connected();
        if tokio::time::timeout(BROKER_START_TIMEOUT, connected)
            .await
            .is_err()
        {
            tracing::warn!(broker = %broker_url, "broker not connected; retrying");
        }
        Ok(Self {
            http_address,
            broker_url,
            embedded_broker,
            store,
            health,
            ingester,
            shutdown,
            tasks,
        })
    }

    /// The address of the HTTP server.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// The URL of the broker.
    pub fn broker_url(&self) -> &BrokerUrl {
        &self.broker_url
    }

    /// The address of the embedded broker; `None` with an external one.
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.embedded_broker.as_ref().map(Broker::address)
    }

    /// The store of all sightings.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The state of ingest.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Stops all tasks, closes the database and frees the ports. A batch that is being written is
    /// written to the end; if its acknowledgement is not sent any more, the boat sends it again.
    pub async fn shutdown(self) {
        self.shutdown.send_replace(true);
        if let Some(broker) = self.embedded_broker {
            broker.shutdown().await;
        }
        for task in self.tasks {
            let _ = task.await;
        }
        self.ingester.drain().await;
    }
}

fn open_photos(source: &CatalogueSource) -> Result<CataloguePhotos, StationError> {
    let bundle = Bundle::open(&source.bundle)?;
    let photos = CataloguePhotos::open(&bundle.catalogue, &source.photos)?;
    tracing::info!(photos = photos.len(), "catalogue opened");
    Ok(photos)
}

/// The URL under which this machine reaches a broker that listens on `address`: one cannot connect
/// to an unspecified address.
fn loopback_url(address: SocketAddr) -> BrokerUrl {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    BrokerUrl {
        tls: false,
        credentials: None,
        host,
        port: address.port(),
    }
}
