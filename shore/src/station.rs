//! The whole station in one process: broker, ingest, store and HTTP server.
//!
//! ```no_run
//! use flukewatch_shore::station::{BrokerConfig, Station, StationConfig, StationError};
//! # async fn run() -> Result<(), StationError> {
//! let any_port = ([127, 0, 0, 1], 0).into();
//! let config = StationConfig::new("data".into(), any_port, BrokerConfig::Embedded(any_port));
//! let station = Station::start(config).await?;
//! println!("pages at http://{}, broker at {}", station.http_address(), station.public_url());
//! station.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod broker;
mod client_id;
mod error;

pub use crate::catalogue_photos::CataloguePhotosError;
pub use broker::{BrokerConfig, ExternalBrokers, MosquittoConfig};
pub use error::StationError;

use broker::{BrokerConnections, RunningBroker};

use crate::boat_settings::SettingsWatch;
use crate::bundles::OfferWatch;
use crate::catalogue_photos::CataloguePhotos;
use crate::health::Health;
use crate::http;
use crate::ingest::{BrokerAccess, Ingester, IngesterParts};
use crate::request::AppState;
use crate::store::{SqliteStore, Store};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_http::{AllowedHost, AllowedHosts, HttpServer, Rejections, machine_name};
use std::net::SocketAddr;
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

/// A station that runs until [`Station::shutdown`]. Dropped, it ends as well, but its tasks are not
/// awaited.
pub struct Station {
    http_address: SocketAddr,
    connections: BrokerConnections,
    running_broker: RunningBroker,
    store: Arc<dyn Store>,
    health: Arc<Health>,
    /// One for each broker.
    ingesters: Vec<Arc<Ingester>>,
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

        let health = Arc::new(Health::default());
        let (report_oversized, oversized) = mpsc::channel(MAX_OVERSIZED_REPORTS);
        let parts = broker::Parts {
            data: &config.data,
            clock: config.clock.as_ref(),
            health: &health,
            report_oversized,
        };
        let (connections, running_broker) = broker::start(config.broker, parts).await?;
        let mut watch =
            OfferWatch::new(&config.data, Arc::clone(&store), Arc::clone(&config.clock));
        let offers = watch.offers();
        let settings_watch = SettingsWatch::new(&config.data);
        let settings = settings_watch.follow();
        // Before ingest: a boat that requests a piece must not be answered that nothing is offered.
        let looking = tokio::task::spawn_blocking(move || {
            watch.run_once();
            watch
        });
        let watch = looking.await?;
        let ingester = |broker| {
            Arc::new(Ingester::new(IngesterParts {
                broker,
                trust: connections.trust.clone(),
                store: Arc::clone(&store),
                clock: Arc::clone(&config.clock),
                health: Arc::clone(&health),
                offers: offers.clone(),
                settings: settings.clone(),
            }))
        };
        let ingesters: Vec<Arc<Ingester>> =
            connections.brokers.iter().cloned().map(ingester).collect();
        let rejections = Arc::new(Rejections::default());
        let state = AppState {
            store: Arc::clone(&store),
            health: Arc::clone(&health),
            photos: photos.map(Arc::new),
            clock: config.clock,
            broker: connections.public_url.clone(),
            rejections: Arc::clone(&rejections),
            settings: settings.clone(),
        };
        let server = HttpServer {
            limits: config.http_limits,
            hosts: AllowedHosts::new(machine_name().as_deref(), config.hosts),
            content_security_policy: http::CONTENT_SECURITY_POLICY,
            rejections,
        };
        let (shutdown, shutdown_requested) = watch::channel(false);
        let mut tasks: Vec<JoinHandle<()>> = ingesters
            .iter()
            .map(|ingester| tokio::spawn(Arc::clone(ingester).run(shutdown_requested.clone())))
            .collect();
        tasks.push(tokio::spawn(watch.run(shutdown_requested.clone())));
        tasks.push(tokio::spawn(settings_watch.run(shutdown_requested.clone())));
        if let Some(ingester) = ingesters.first() {
            tasks.push(tokio::spawn(
                Arc::clone(ingester).record_oversized(oversized),
            ));
        }
        let routes = http::routes(state);
        tasks.push(tokio::spawn(server.serve(
            listener,
            routes,
            shutdown_requested,
        )));
        let connected = health.wait_until_connected();
        if tokio::time::timeout(BROKER_START_TIMEOUT, connected)
            .await
            .is_err()
        {
            tracing::warn!(
                broker = connections.public_url,
                "broker not connected; retrying"
            );
        }
        Ok(Self {
            http_address,
            connections,
            running_broker,
            store,
            health,
            ingesters,
            shutdown,
            tasks,
        })
    }

    /// The address of the HTTP server.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// The URLs under which boats reach the brokers, separated by spaces.
    pub fn public_url(&self) -> &str {
        &self.connections.public_url
    }

    /// The brokers that the station uses, and how it identifies itself there.
    pub fn brokers(&self) -> &[BrokerAccess] {
        &self.connections.brokers
    }

    /// The address of the broker that the station runs; `None` with an external one.
    pub fn mqtt_address(&self) -> Option<SocketAddr> {
        self.running_broker.address()
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
        self.running_broker.shutdown().await;
        for task in self.tasks {
            let _ = task.await;
        }
        for ingester in &self.ingesters {
            ingester.drain().await;
        }
    }
}

fn open_photos(source: &CatalogueSource) -> Result<CataloguePhotos, StationError> {
    let bundle = Bundle::open(&source.bundle)?;
    let photos = CataloguePhotos::open(&bundle.catalogue, &source.photos)?;
    tracing::info!(photos = photos.len(), "catalogue opened");
    Ok(photos)
}
