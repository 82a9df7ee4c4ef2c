//! The session of a client that keeps none, for brokers that keep theirs.

use rumqttc::{
    PersistedAckMode, PersistedSession, SessionStore, SessionStoreError, SessionStoreKey,
};
use std::pin::Pin;

type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Lets a new client continue a session that the broker has kept. The library demands what the client
/// had in flight; at QoS 1 nothing of it is needed: the broker repeats what was not acknowledged to it,
/// and what it has not acknowledged is published again by the connection's user.
#[derive(Clone, Debug)]
pub(crate) struct BlankSession {
    pub(crate) expiry_seconds: u32,
    pub(crate) max_in_flight: u16,
    pub(crate) manual_acks: bool,
}

impl SessionStore for BlankSession {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> StoreFuture<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(self.expiry_seconds),
            outgoing_inflight_upper_limit: Some(self.max_in_flight),
            ack_mode: if self.manual_acks {
                PersistedAckMode::Manual
            } else {
                PersistedAckMode::Automatic
            },
            last_pkid: 0,
            last_puback: 0,
            replay: vec![],
            incoming_qos2: vec![],
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(
        &'a self,
        _key: &'a SessionStoreKey,
        _session: &'a PersistedSession,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _key: &'a SessionStoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
