//! A client's stream, with a timeout for clients that take none of their response.

use crate::connection_slots::ConnectionSlot;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// What happened on a connection, which hyper's errors do not say.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    received: AtomicBool,
    stalled: AtomicBool,
}

impl Progress {
    /// The head of a request is complete, or its response is ready: what arrives from now on belongs to
    /// the next step.
    pub(crate) fn step(&self) {
        self.received.store(false, Ordering::Relaxed);
    }

    /// Whether something arrived since the last step.
    pub(crate) fn has_received(&self) -> bool {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether the client did not take its response in time.
    pub(crate) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

/// A stream that reports its [`Progress`].
pub(crate) struct WatchedStream {
    /// Before the stream, so that whoever sees it closed finds a free slot.
    _slot: ConnectionSlot,
    stream: TcpStream,
    progress: Arc<Progress>,
    write_timeout: Duration,
    /// Set while the client takes nothing.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl WatchedStream {
    pub(crate) fn new(
        stream: TcpStream,
        slot: ConnectionSlot,
        progress: Arc<Progress>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            _slot: slot,
            stream,
            progress,
            write_timeout,
            deadline: None,
        }
    }

    /// The result of a write, or an error where the client has taken nothing for too long.
    fn in_time<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let timeout = self.write_timeout;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(timeout)));
        std::task::ready!(deadline.as_mut().poll(context));
        self.progress.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.progress.received.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.in_time(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
