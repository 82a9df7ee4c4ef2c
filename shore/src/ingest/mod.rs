//! From the broker into the store: receive, validate, store, acknowledge or reject to the boat,
//! acknowledge to the broker, in that order.
//!
//! A message is acknowledged only after the transaction that holds it is on disk, so that any
//! failure in between costs a repeated delivery and nothing else. A lost connection is followed by
//! an entirely new connection. Where boats sign their messages, one without a valid signature is
//! recorded among the rejected ones and not answered.
//!
//! In the other direction, each connection publishes the station's offers of bundles and settings of boats, and answers what
//! boats request of them, apart from the sightings: a transfer delays none of them. It publishes as well which
//! files a person wants of boats.

mod answers;
mod command_publisher;
mod content_server;
mod ingester;
mod mqtt;
mod offer_publisher;
mod settings_publisher;
mod trust;
mod validate;

pub use ingester::{Ingester, IngesterParts};
pub use mqtt::BrokerAccess;
pub use trust::MessageTrust;
pub use validate::{MAX_NAME_BYTES, reject_too_large, validate};
