//! Publishes the settings of boats on a broker, which retains them for boats that are away.

use super::trust::MessageTrust;
use crate::boat_settings::AllSent;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{MqttError, Outgoing, Publisher};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// Why settings are not published any more on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum SettingsPublishError {
    #[error("cannot send settings: {0}")]
    Send(#[from] MqttError),
    #[error("cannot encode settings: {0}")]
    Encode(#[from] wire::WireError),
}

/// Publishes what was sent on a new connection, and then what changes, until the connection ends.
pub(super) async fn publish_settings(
    trust: MessageTrust,
    publisher: Publisher,
    mut sent: watch::Receiver<Arc<AllSent>>,
) -> Result<(), SettingsPublishError> {
    // On this connection: the broker may have lost what it retained before.
    let mut published: BTreeMap<BoatId, u64> = BTreeMap::new();
    sent.mark_changed();
    while sent.changed().await.is_ok() {
        let all = Arc::clone(&sent.borrow_and_update());
        for (boat, settings) in &*all {
            let revision = settings.revision;
            if published.get(boat) == Some(&revision) {
                continue;
            }
            let payload = trust.seal(wire::encode(&settings.message())?);
            let message = Outgoing::at_least_once(topic::of_settings(boat), payload).retained();
            publisher.publish(message, None).await?;
            published.insert(boat.clone(), revision);
            tracing::info!(%boat, revision, "settings sent");
        }
    }
    Ok(())
}
