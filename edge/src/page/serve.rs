//! The page's thread: listens, and enforces limits on clients.

use super::routes::router;
use crate::app_state::AppState;
use crate::config::PageSection;
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

/// Maximum concurrent connections; more wait.
const MAX_CONNECTIONS: usize = 32;
/// Maximum size of a request's head, in bytes.
const MAX_HEAD: usize = 16 * 1024;
/// Maximum number of its lines.
const MAX_HEADERS: usize = 48;
/// Timeout for a request's head, including the idle time before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum duration of a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
/// Time between two attempts to listen, e.g. while the network comes up.
const RETRY: Duration = Duration::from_secs(5);

/// The page; it stops when this is dropped.
pub(crate) struct Page {
    address: Option<SocketAddr>,
    server: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Page {
    /// Serves the page at the address of `section`, if there is one. Listening is retried until it
    /// works.
    pub(crate) fn start(section: &PageSection, state: &AppState) -> Self {
        let address = section.address();
        let server = address.and_then(|address| {
            let (stop, stopped) = watch::channel(false);
            let router = router(state);
            let thread = std::thread::Builder::new()
                .name("page".into())
                .spawn(move || serve(address, router, stopped));
            match thread {
                Ok(thread) => Some((stop, thread)),
                Err(e) => {
                    tracing::error!(error = %e, "cannot serve the page");
                    None
                }
            }
        });
        Self { address, server }
    }

    /// Restarts the page where its address has changed.
    pub(crate) fn reconfigured(self, section: &PageSection, state: &AppState) -> Self {
        if self.address == section.address() {
            return self;
        }
        self.stop();
        Self::start(section, state)
    }

    /// Stops the page and frees its port.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.server.take() {
            stop.send_replace(true);
            // A panic of the thread is logged already.
            let _ = thread.join();
        }
    }
}

fn serve(address: SocketAddr, router: Router, mut stopped: watch::Receiver<bool>) {
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
        Err(e) => tracing::error!(error = %e, "cannot serve the page"),
    }
}

async fn listen(address: SocketAddr, router: Router) {
    let mut warned = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(e) if warned => tracing::debug!(%address, error = %e, "cannot listen; retrying"),
            Err(e) => {
                warned = true;
                tracing::warn!(%address, error = %e, "cannot listen; retrying");
            }
        }
        tokio::time::sleep(RETRY).await;
    };
    let address = listener.local_addr().unwrap_or(address);
    tracing::info!(url = %format_args!("http://{address}"), "page started");
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    answer(stream, router).await;
                    drop(permit);
                });
            }
            // Too many open files, or a client that has disconnected already.
            Err(e) => {
                tracing::debug!(error = %e, "page connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(e)) => tracing::debug!(error = %e, "page connection ended"),
    }
}
