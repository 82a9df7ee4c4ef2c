//! The page's thread: listens where the configuration says.

use super::access::require_token;
use super::routes::router;
use crate::app_state::AppState;
use crate::config::{Config, PageSection};
use crate::page_token::TokenFile;
use axum::Router;
use flukewatch_http::{AllowedHosts, HttpServer, Limits, machine_name};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Everything comes from this server, and nothing is inline.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' blob: data:; \
    form-action 'none'; base-uri 'none'; frame-ancestors 'none'";
/// Time between two attempts to listen, e.g. while the network comes up.
const RETRY: Duration = Duration::from_secs(5);

/// The limits of a page for a crew, on a small computer.
fn limits() -> Limits {
    Limits {
        max_connections: 32,
        max_connections_per_peer: 16,
        max_headers: 48,
        // Nothing can be sent to it.
        max_body_bytes: 1024,
        // A preview waits for a frame.
        request_timeout: Duration::from_secs(15),
        max_connection_age: Duration::from_secs(120),
        shutdown_timeout: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// What the page depends on.
#[derive(Clone, PartialEq)]
pub(super) struct PageSettings {
    section: PageSection,
    outbox: PathBuf,
}

impl PageSettings {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            section: config.page.clone(),
            outbox: config.outbox.path.clone(),
        }
    }

    /// The server of the page and its routes, which need a token where other machines can reach them.
    pub(super) fn app(&self, state: &AppState) -> (HttpServer, Router) {
        let rejections = state.page_rejections.clone();
        let mut routes = router(state);
        if self.section.is_public() {
            let file = TokenFile::of_outbox(&self.outbox);
            routes = require_token(routes, file, rejections.clone());
        }
        let hosts = AllowedHosts::new(machine_name().as_deref(), self.section.allowed_hosts());
        let server = HttpServer {
            limits: limits(),
            hosts,
            content_security_policy: POLICY,
            rejections,
        };
        (server, routes)
    }

    /// Makes the token where there is none, so that it can be shown from now on.
    fn prepare_token(&self) {
        if !self.section.is_public() {
            return;
        }
        let file = TokenFile::of_outbox(&self.outbox);
        match file.read_or_create() {
            Ok(_) => {
                let file = file.path().display();
                tracing::info!(%file, "page asks for its token; print it with flukewatch-edge page-token");
            }
            Err(error) => tracing::error!(%error, "page cannot be opened without its token"),
        }
    }
}

/// The page; it stops when this is dropped.
pub(crate) struct Page {
    settings: PageSettings,
    server: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Page {
    /// Serves the page where `config` says, if it does. Listening is retried until it works.
    pub(crate) fn start(config: &Config, state: &AppState) -> Self {
        let settings = PageSettings::of(config);
        let server = config.page.address().and_then(|address| {
            let (stop, stopped) = watch::channel(false);
            let (own, state) = (settings.clone(), state.clone());
            let thread = std::thread::Builder::new()
                .name("page".into())
                .spawn(move || serve(address, &own, &state, stopped));
            match thread {
                Ok(thread) => Some((stop, thread)),
                Err(e) => {
                    tracing::error!(error = %e, "cannot serve the page");
                    None
                }
            }
        });
        Self { settings, server }
    }

    /// Restarts the page where its settings have changed.
    pub(crate) fn reconfigured(self, config: &Config, state: &AppState) -> Self {
        if self.settings == PageSettings::of(config) {
            return self;
        }
        self.stop();
        Self::start(config, state)
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

fn serve(
    address: SocketAddr,
    settings: &PageSettings,
    state: &AppState,
    mut stopped: watch::Receiver<bool>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build();
    match runtime {
        Ok(runtime) => {
            settings.prepare_token();
            runtime.block_on(async {
                let requested = stopped.clone();
                let listener = tokio::select! {
                    listener = listen(address) => listener,
                    _ = stopped.wait_for(|stop| *stop) => return,
                };
                let address = listener.local_addr().unwrap_or(address);
                tracing::info!(url = %format_args!("http://{address}"), "page started");
                let (server, routes) = settings.app(state);
                server.serve(listener, routes, requested).await;
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        Err(e) => tracing::error!(error = %e, "cannot serve the page"),
    }
}

async fn listen(address: SocketAddr) -> TcpListener {
    let mut warned = false;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(e) if warned => tracing::debug!(%address, error = %e, "cannot listen; retrying"),
            Err(e) => {
                warned = true;
                tracing::warn!(%address, error = %e, "cannot listen; retrying");
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}
