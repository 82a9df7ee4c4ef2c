//! Why a connection fails or ends.

use crate::tls::TlsError;
use std::io::{self, ErrorKind};

/// What ended a connection, as far as its user acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttErrorKind {
    /// The broker closed the connection, or the message that was to be sent is larger than the broker
    /// accepts: it may be the fault of what was sent.
    ClosedByBroker,
    /// The broker rejected user, password or certificate.
    NotAuthorized,
    /// The broker rejected a required subscription.
    SubscriptionRejected,
    /// A packet of this many bytes was larger than the client receives.
    OversizedPacket(usize),
    /// The link failed, or anything else.
    Link,
}

/// Why a connection cannot be made, or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MqttError {
    /// The error in words.
    pub message: String,
    /// What the user of the connection can act on.
    pub kind: MqttErrorKind,
}

impl MqttError {
    pub(crate) fn new(kind: MqttErrorKind, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            kind,
        }
    }

    /// A failure of the link.
    pub(crate) fn link(message: impl Into<String>) -> Self {
        Self::new(MqttErrorKind::Link, message)
    }

    /// The connection is over.
    pub(crate) fn not_connected() -> Self {
        Self::link("not connected")
    }

    /// An error of a read or write on an open connection.
    pub(crate) fn io(error: &io::Error) -> Self {
        let closed = matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
        );
        let kind = if closed {
            MqttErrorKind::ClosedByBroker
        } else {
            MqttErrorKind::Link
        };
        Self::new(kind, error.to_string())
    }
}

impl From<TlsError> for MqttError {
    fn from(error: TlsError) -> Self {
        Self::link(error.to_string())
    }
}

/// Why the broker did not accept a connection.
pub(crate) enum NotConnected {
    /// It does not speak the version.
    UnknownVersion,
    Error(MqttError),
}
