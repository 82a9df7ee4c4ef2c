//! A message inside the broker.

use bytes::Bytes;
use rumqttc_v4::QoS;
use std::sync::Arc;

/// A message on its way to one subscriber.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) qos: QoS,
    /// Of a message from a client: whether it is to be retained. Of one to a client: whether it is
    /// older than the subscription.
    pub(super) retain: bool,
}
