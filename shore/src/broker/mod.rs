//! A small MQTT 3.1.1 broker, so that a station on shore is one program.
//!
//! It carries what boats and shore need and bounds everything that a client can ask for: QoS 0 and 1, clean sessions, wildcards,
//! keep-alive. It keeps nothing: retained messages, wills and sessions are not held, and QoS 2 closes the connection. Nothing is
//! lost by that, since a boat forgets a message only on shore's receipt. There are no passwords and no encryption: bind it
//! to a loopback or a trusted network's address, or use an outside broker.
//!
//! Packets are read and written by `rumqttc`'s codec; each connection is a task of its own, so that one that fails takes no other
//! with it.

mod connection;
mod filter;
mod subscriptions;

use connection::Connection;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use subscriptions::Subscriptions;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What a client may ask for at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// Bytes of a packet after its fixed header. A larger one closes its connection before it is read.
    pub packet: usize,
    /// Messages that wait for one subscriber; a full queue holds the publishers back.
    pub queue: usize,
    /// Messages that one subscriber has not acknowledged.
    pub window: usize,
    /// Filters of one subscriber.
    pub filters: usize,
    /// Time from connection to the CONNECT packet.
    pub handshake: Duration,
    /// Time in which a subscriber must make room or take a byte; else it is disconnected.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            // The largest message, its topic and packet number.
            packet: flukewatch_common::wire::MAX_MESSAGE + 1024,
            queue: 256,
            window: 64,
            filters: 64,
            handshake: Duration::from_secs(10),
            stalled: Duration::from_secs(30),
        }
    }
}

/// A packet that was too large to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    /// Who sent it.
    pub client: String,
    /// How many bytes it announced.
    pub bytes: usize,
    /// Its first bytes, at most 256.
    pub head: Vec<u8>,
}

/// Why the broker cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address is taken or not this machine's.
    #[error(
        "the broker cannot listen on {address}: {source}; choose another with --mqtt, or use a running broker with --broker"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// A broker that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Broker {
    /// Listens on `address` (port 0: any free one). Packets over the limit are told to `oversized`, as far as it has room.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(
        address: SocketAddr,
        limits: Limits,
        oversized: mpsc::Sender<Oversized>,
    ) -> Result<Self, BrokerError> {
        let listen = |source| BrokerError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, Arc::new(limits), oversized, stopped));
        Ok(Self {
            address,
            stop,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes all connections and frees the port.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.accepting.await;
    }
}

async fn accept(
    listener: TcpListener,
    limits: Arc<Limits>,
    oversized: mpsc::Sender<Oversized>,
    mut stopped: watch::Receiver<bool>,
) {
    let subscriptions = Arc::new(Subscriptions::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a broker connection failed");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if connections.len() >= limits.connections => {
                    tracing::warn!(%peer, limit = limits.connections, "connection closed: the broker is full");
                }
                Ok((stream, peer)) => {
                    let connection = Connection {
                        subscriptions: Arc::clone(&subscriptions),
                        limits: Arc::clone(&limits),
                        oversized: oversized.clone(),
                    };
                    connections.spawn(connection.serve(stream, peer));
                }
                Err(error) => {
                    // Out of file handles, most likely: trying again at once would only spin.
                    tracing::warn!(%error, "the broker cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
    connections.shutdown().await;
}
