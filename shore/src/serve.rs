//! The whole station in one process: broker, ingest, store and pages.
//!
//! ```no_run
//! use flukewatch_shore::serve::{self, BrokerChoice, Settings};
//! # async fn run() -> Result<(), serve::ServeError> {
//! let any = "127.0.0.1:0".parse().unwrap();
//! let settings = Settings::new("data".into(), any, BrokerChoice::Embedded(any));
//! let running = serve::start(settings).await?;
//! println!("pages at http://{}, boats publish to {}", running.http(), running.broker());
//! running.stop().await;
//! # Ok(())
//! # }
//! ```

use crate::broker::{Broker, BrokerError, Limits};
use crate::health::Health;
use crate::ingest::Ingest;
use crate::ingest::broker_url::BrokerUrl;
use crate::pages::{Pages, Photos, PhotosError};
use crate::store::sqlite::SqliteStore;
use crate::store::{Store, StoreError};
use flukewatch_common::bundle::{Bundle, BundleError};
use flukewatch_common::clock::{Clock, SystemClock};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long the start waits for a broker before it goes on without.
const BROKER_WAIT: Duration = Duration::from_secs(3);
/// How long the stop waits for requests that are being answered.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

/// Which broker the boats and shore meet at.
#[derive(Clone, Debug)]
pub enum BrokerChoice {
    /// Shore's own, listening there (port 0: any free one).
    Embedded(SocketAddr),
    /// One that runs already.
    Outside(BrokerUrl),
}

/// The catalogue that candidates are shown from.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The bundle whose catalogue names the photos.
    pub bundle: PathBuf,
    /// The folder with the photos.
    pub photos: PathBuf,
}

/// How a station is set up.
#[derive(Clone)]
pub struct Settings {
    /// Where database and pictures are kept; made where it is not there.
    pub data: PathBuf,
    /// Where the pages are served (port 0: any free one).
    pub http: SocketAddr,
    /// Which broker.
    pub broker: BrokerChoice,
    /// The catalogue to show candidates from, if any.
    pub reference: Option<Reference>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Settings {
    /// A station without a catalogue, by the machine's clock.
    pub fn new(data: PathBuf, http: SocketAddr, broker: BrokerChoice) -> Self {
        Self {
            data,
            http,
            broker,
            reference: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why a station cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The catalogue's photos.
    #[error(transparent)]
    Photos(#[from] PhotosError),
    /// The embedded broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The pages' address.
    #[error(
        "the pages cannot be served at {address}: {source}; choose another address with --http"
    )]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A station that runs until [`Running::stop`]; dropped, it ends as well, but nobody waits for it.
pub struct Running {
    http: SocketAddr,
    broker: BrokerUrl,
    embedded: Option<Broker>,
    store: Arc<dyn Store>,
    health: Arc<Health>,
    ingest: Arc<Ingest>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts a station. Returns once the pages can be reached and, where the broker answers within a few seconds, boats are heard;
/// an outside broker that is not there is tried again for as long as the station runs.
///
/// # Errors
/// When the data folder, the catalogue or an address cannot be used.
pub async fn start(settings: Settings) -> Result<Running, ServeError> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&settings.data)?);
    let photos = match &settings.reference {
        Some(Reference { bundle, photos }) => {
            let photos = Photos::open(&Bundle::open(bundle)?.catalogue, photos)?;
            tracing::info!(photos = photos.len(), "catalogue opened");
            Some(Arc::new(photos))
        }
        None => None,
    };
    let failed = |source| ServeError::Http {
        address: settings.http,
        source,
    };
    let listener = TcpListener::bind(settings.http).await.map_err(failed)?;
    let http = listener.local_addr().map_err(failed)?;

    let (tell, oversized) = mpsc::channel(64);
    let (broker, embedded) = match settings.broker {
        BrokerChoice::Outside(url) => (url, None),
        BrokerChoice::Embedded(address) => {
            let broker = Broker::start(address, Limits::default(), tell).await?;
            (reachable(broker.address()), Some(broker))
        }
    };
    let health = Arc::new(Health::default());
    let ingest = Arc::new(Ingest::new(
        broker.clone(),
        Arc::clone(&store),
        Arc::clone(&settings.clock),
        Arc::clone(&health),
    ));
    let pages = Pages {
        store: Arc::clone(&store),
        health: Arc::clone(&health),
        photos,
        clock: settings.clock,
        broker: broker.to_string(),
    };
    let (stop, stopped) = watch::channel(false);
    let tasks = vec![
        tokio::spawn(Arc::clone(&ingest).run(stopped.clone())),
        tokio::spawn(Arc::clone(&ingest).keep_oversized(oversized)),
        tokio::spawn(answer(listener, pages, stopped)),
    ];
    if tokio::time::timeout(BROKER_WAIT, health.wait_until_connected())
        .await
        .is_err()
    {
        tracing::warn!(%broker, "the broker does not answer yet; shore keeps trying");
    }
    Ok(Running {
        http,
        broker,
        embedded,
        store,
        health,
        ingest,
        stop,
        tasks,
    })
}

/// Where this machine reaches a broker that listens on `address`: an address for all interfaces is none to connect to.
fn reachable(address: SocketAddr) -> BrokerUrl {
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip.to_string(),
        ip if ip.is_ipv4() => "127.0.0.1".to_owned(),
        _ => "::1".to_owned(),
    };
    BrokerUrl {
        host,
        port: address.port(),
    }
}

async fn answer(listener: TcpListener, pages: Pages, mut stopped: watch::Receiver<bool>) {
    let mut asked = stopped.clone();
    let serving = axum::serve(listener, pages.router()).with_graceful_shutdown(async move {
        let _ = asked.changed().await;
    });
    let late = async {
        let _ = stopped.changed().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = serving => if let Err(error) = ended {
            tracing::error!(%error, "the pages are no longer served");
        },
        () = late => {}
    }
}

impl Running {
    /// Where the pages are.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where boats publish.
    pub fn broker(&self) -> &BrokerUrl {
        &self.broker
    }

    /// Where the embedded broker listens; `None` with an outside one.
    pub fn mqtt(&self) -> Option<SocketAddr> {
        self.embedded.as_ref().map(Broker::address)
    }

    /// What is stored.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Whether the boats are heard.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Stops all parts, closes the database and frees the ports. A message that is being stored is stored to the end; its
    /// boat sends it again if the receipt did not leave.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Some(broker) = self.embedded {
            broker.stop().await;
        }
        for task in self.tasks {
            let _ = task.await;
        }
        self.ingest.settled().await;
    }
}
