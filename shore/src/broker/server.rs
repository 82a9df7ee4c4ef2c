//! The listening half of the broker: accepts connections and supervises their tasks.

use super::connection::{Connection, OversizedPacket};
use super::limits::Limits;
use super::sessions::Sessions;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Pause after a failed accept. The usual cause is a lack of file descriptors, where an immediate
/// retry would spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is in use or does not belong to this machine.
    #[error("cannot listen for MQTT on {address}: {source}; choose another address with --mqtt")]
    Listen {
        /// The address to listen on.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Other machines could reach the address.
    #[error(
        "--mqtt {0}: the embedded broker has neither passwords nor encryption and listens on a loopback address only; \
         for boats in a network use --mqtts {0}, or a broker of your own with --broker"
    )]
    NotLoopback(SocketAddr),
}

/// A broker that runs until it is shut down or dropped.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    accept_task: JoinHandle<()>,
}

impl Broker {
    /// Listens on `address` (port 0: any free one). Packets over the limit are reported to
    /// `oversized`, as far as it has room.
    ///
    /// # Errors
    /// When the address cannot be listened on, or other machines could reach it.
    pub async fn start(
        address: SocketAddr,
        limits: Limits,
        oversized: mpsc::Sender<OversizedPacket>,
    ) -> Result<Self, BrokerError> {
        if !address.ip().is_loopback() {
            return Err(BrokerError::NotLoopback(address));
        }
        let failed = |source| BrokerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (shutdown, shutdown_requested) = watch::channel(false);
        let accept_task = tokio::spawn(accept(
            listener,
            Arc::new(limits),
            oversized,
            shutdown_requested,
        ));
        Ok(Self {
            address,
            shutdown,
            accept_task,
        })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and frees the port.
    pub async fn shutdown(self) {
        self.shutdown.send_replace(true);
        let _ = self.accept_task.await;
    }
}

async fn accept(
    listener: TcpListener,
    limits: Arc<Limits>,
    oversized: mpsc::Sender<OversizedPacket>,
    mut shutdown: watch::Receiver<bool>,
) {
    let sessions = Arc::new(Sessions::new(Arc::clone(&limits)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = shutdown.changed() => break,
            Some(finished) = connections.join_next() => {
                if let Err(error) = finished {
                    tracing::error!(%error, "connection task failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        sessions: Arc::clone(&sessions),
                        limits: Arc::clone(&limits),
                        oversized: oversized.clone(),
                    };
                    connections.spawn(connection.serve(stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connection");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    connections.shutdown().await;
}
