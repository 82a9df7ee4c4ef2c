//! The page's thread: listens, and holds strangers to their bounds.

use super::routes::router;
use crate::config::PageSection;
use crate::service::Aboard;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections at once; more wait.
const MAX_CONNECTIONS: usize = 32;
/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// The most lines in it.
const MAX_HEADERS: usize = 48;
/// How long a request's head may take to arrive, the wait between two requests included.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection may last.
const CONNECTION_PATIENCE: Duration = Duration::from_secs(120);
/// An address that is not there yet, as of a network that comes up later, is tried again after so long.
const AGAIN: Duration = Duration::from_secs(5);

/// The page, served or not; it ends when this is dropped.
pub struct Page {
    wanted: Option<SocketAddr>,
    served: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Page {
    /// Serves the page of `aboard` where `section` says. An address that cannot be used is told and tried again, and stops nothing.
    pub fn start(section: &PageSection, aboard: &Aboard) -> Self {
        let wanted = section.address();
        let served = wanted.and_then(|address| {
            let (stop, stopped) = watch::channel(false);
            let router = router(aboard);
            let thread = std::thread::Builder::new()
                .name("page".into())
                .spawn(move || work(address, router, stopped));
            match thread {
                Ok(thread) => Some((stop, thread)),
                Err(e) => {
                    tracing::error!("the boat's page is not served: {e}");
                    None
                }
            }
        });
        Self { wanted, served }
    }

    /// The same, or another one where `section` says something else.
    pub fn as_told(self, section: &PageSection, aboard: &Aboard) -> Self {
        if self.wanted == section.address() {
            return self;
        }
        self.stop();
        Self::start(section, aboard)
    }

    /// Ends it and frees its port.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.served.take() {
            stop.send_replace(true);
            // A thread that died has said so already.
            let _ = thread.join();
        }
    }
}

fn work(address: SocketAddr, router: Router, mut stopped: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build();
    match runtime {
        Ok(runtime) => {
            runtime.block_on(async {
                let mut asked = stopped.clone();
                tokio::select! {
                    () = listen(address, router) => {}
                    _ = asked.wait_for(|stop| *stop) => {}
                }
                stopped.mark_unchanged();
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        Err(e) => tracing::error!("the boat's page is not served: {e}"),
    }
}

async fn listen(address: SocketAddr, router: Router) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(e) if told => tracing::debug!("{address}: {e}"),
            Err(e) => {
                told = true;
                tracing::warn!(
                    "the boat's page cannot be served at {address}, which is tried again and again: {e}"
                );
            }
        }
        tokio::time::sleep(AGAIN).await;
    };
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!("the boat's page is at http://{address}");
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    answer(stream, router).await;
                    drop(place);
                });
            }
            // Too many open files, or a stranger who is gone already.
            Err(e) => {
                tracing::debug!("a connection to the boat's page failed: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_PATIENCE, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(e)) => tracing::debug!("a connection to the boat's page ended: {e}"),
    }
}
