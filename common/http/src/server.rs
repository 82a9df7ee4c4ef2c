//! Accepts connections and answers their requests.

use crate::connection::Connection;
use crate::connection_slots::{ConnectionSlot, ConnectionSlots};
use crate::guard::Guard;
use crate::host::AllowedHosts;
use crate::limits::Limits;
use crate::rejection::{Rejection, Rejections};
use crate::watched_stream::{Progress, WatchedStream};
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Pause after a connection could not be accepted, e.g. because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server for a router.
pub struct HttpServer {
    /// What clients may cause.
    pub limits: Limits,
    /// The hosts under which it is known.
    pub hosts: AllowedHosts,
    /// The `Content-Security-Policy` of each response.
    pub content_security_policy: &'static str,
    /// Counts what is rejected.
    pub rejections: Arc<Rejections>,
}

impl HttpServer {
    /// Answers the requests of `listener` with `routes` until `shutdown` turns true or its sender is
    /// dropped. Requests in progress are then answered within [`Limits::shutdown_timeout`].
    pub async fn serve(
        self,
        listener: TcpListener,
        routes: Router,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let slots = ConnectionSlots::new(
            self.limits.max_connections,
            self.limits.max_connections_per_peer,
        );
        let guard = Arc::new(Guard {
            limits: self.limits,
            hosts: self.hosts,
            content_security_policy: self.content_security_policy,
            rejections: self.rejections,
            routes: TowerToHyperService::new(routes),
        });
        let mut connections = JoinSet::new();
        let mut accepts = true;
        loop {
            tokio::select! {
                () = requested(&mut shutdown) => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted.and_then(addressed) {
                    Ok((stream, connection)) => {
                        accepts = true;
                        match slots.take(connection.peer.ip()) {
                            Ok(slot) => {
                                let accepted = Accepted { stream, connection, slot };
                                connections.spawn(answer(accepted, guard.clone(), shutdown.clone()));
                            }
                            // Closed without a response: a client that is flooded with connections gets none.
                            Err(why) => guard.rejections.record(why, connection.peer.ip(), ""),
                        }
                    }
                    Err(error) => {
                        if std::mem::take(&mut accepts) {
                            tracing::warn!(%error, "cannot accept an HTTP connection; retrying");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop(listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(guard.limits.shutdown_timeout, drained)
            .await
            .is_err()
        {
            tracing::debug!("closing HTTP connections whose requests are not answered");
        }
    }
}

/// Waits until a shutdown is requested, or nothing can request one any more.
async fn requested(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|requested| *requested).await;
}

fn addressed((stream, peer): (TcpStream, SocketAddr)) -> io::Result<(TcpStream, Connection)> {
    let local = stream.local_addr()?;
    Ok((stream, Connection { peer, local }))
}

/// A connection that may be answered.
struct Accepted {
    stream: TcpStream,
    connection: Connection,
    slot: ConnectionSlot,
}

/// Answers the requests of one connection.
async fn answer(accepted: Accepted, guard: Arc<Guard>, mut shutdown: watch::Receiver<bool>) {
    let Accepted {
        stream,
        connection,
        slot,
    } = accepted;
    let limits = &guard.limits;
    let progress = Arc::new(Progress::default());
    let service = service_fn(|request| {
        let (guard, progress) = (guard.clone(), progress.clone());
        async move {
            progress.step();
            let response = guard.answer(connection, request).await;
            progress.step();
            Ok::<_, Infallible>(response)
        }
    });
    let stream = WatchedStream::new(stream, slot, progress.clone(), limits.write_timeout);
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(limits.max_headers)
        .max_buf_size(limits.max_head_bytes)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = pin!(http);
    let peer = connection.peer.ip();
    let ended = tokio::select! {
        ended = http.as_mut() => Some(ended),
        () = sleep(limits.max_connection_age) => None,
        () = requested(&mut shutdown) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            http.as_mut().graceful_shutdown();
            match timeout(limits.request_timeout, http).await {
                Ok(ended) => ended,
                Err(_) => return guard.rejections.record(Rejection::SlowReader, peer, ""),
            }
        }
    };
    if let Err(error) = ended {
        report(&error, &progress, peer, &guard.rejections);
    }
}

/// Counts a connection that ended with an error of the client's.
fn report(error: &hyper::Error, progress: &Progress, peer: IpAddr, rejections: &Rejections) {
    let why = if progress.has_stalled() {
        Rejection::SlowReader
    } else if error.is_timeout() && progress.has_received() {
        Rejection::SlowHead
    } else if error.is_parse_too_large() {
        Rejection::LargeHead
    } else if error.is_parse() {
        Rejection::Malformed
    } else {
        // An idle connection that has timed out, or a client that has disconnected.
        return tracing::debug!(%error, %peer, "HTTP connection ended");
    };
    rejections.record(why, peer, error);
}
