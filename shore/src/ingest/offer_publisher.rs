//! Publishes the offers of bundles on a broker, which retains them for boats that are away.

use super::trust::MessageTrust;
use crate::bundles::{OpenOffer, Opened};
use flukewatch_common::sighting::BoatId;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{MqttError, Outgoing, Publisher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// Boats whose offers may be pending to be checked; further ones are dropped.
const MAX_PENDING_CHECKS: usize = 64;

/// Publishes offers on one broker, in all connections to it.
pub(super) struct OfferPublisher {
    trust: MessageTrust,
    /// Boats whose offer has ended and was cleared.
    cleared: Mutex<BTreeSet<BoatId>>,
}

/// Where to report a boat that has an offer which ended.
#[derive(Clone, Debug)]
pub(super) struct StaleOffers(mpsc::Sender<BoatId>);

/// Why offers are not published any more on a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error("cannot send offer: {0}")]
    Send(#[from] MqttError),
    #[error("cannot encode offer: {0}")]
    Encode(#[from] wire::WireError),
}

impl StaleOffers {
    /// With the boats that are reported.
    pub(super) fn new() -> (Self, mpsc::Receiver<BoatId>) {
        let (report, reported) = mpsc::channel(MAX_PENDING_CHECKS);
        (Self(report), reported)
    }

    /// `boat` has sent something about an offer that has ended, perhaps because the broker still retains
    /// it.
    pub(super) fn report(&self, boat: BoatId) {
        // Where there are too many, the boat will report again.
        let _ = self.0.try_send(boat);
    }
}

impl OfferPublisher {
    /// For a broker where nothing has been published.
    pub(super) fn new(trust: MessageTrust) -> Self {
        Self {
            trust,
            cleared: Mutex::default(),
        }
    }

    /// Publishes what is offered on a new connection, and then what changes, until the connection ends.
    pub(super) async fn run(
        self: Arc<Self>,
        publisher: Publisher,
        mut offers: watch::Receiver<Arc<Opened>>,
        mut stale: mpsc::Receiver<BoatId>,
    ) -> Result<(), PublishError> {
        // On this connection: the broker may have lost what it retained before.
        let mut published = BTreeMap::new();
        offers.mark_changed();
        loop {
            tokio::select! {
                changed = offers.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let opened = Arc::clone(&offers.borrow_and_update());
                    self.publish(&publisher, &opened, &mut published).await?;
                }
                Some(boat) = stale.recv() => {
                    let is_open = offers.borrow().by_boat.contains_key(&boat);
                    if !is_open {
                        self.clear(&publisher, &boat).await?;
                    }
                }
            }
        }
    }

    async fn publish(
        &self,
        publisher: &Publisher,
        opened: &Opened,
        published: &mut BTreeMap<BoatId, Uuid>,
    ) -> Result<(), PublishError> {
        for (boat, OpenOffer { message, .. }) in &opened.by_boat {
            if published.get(boat) == Some(&message.id) {
                continue;
            }
            self.cleared().remove(boat);
            let payload = self.trust.seal(wire::encode(message)?);
            let offer = Outgoing::at_least_once(topic::of_offer(boat), payload).retained();
            publisher.publish(offer, None).await?;
            published.insert(boat.clone(), message.id);
            tracing::info!(%boat, offer = %message.id, manifest = %message.manifest, "bundle offered");
        }
        for boat in &opened.ended {
            if published.remove(boat).is_some() || !self.cleared().contains(boat) {
                self.clear(publisher, boat).await?;
                tracing::info!(%boat, "offer of bundle ended");
            }
        }
        Ok(())
    }

    /// An empty message ends what the broker retains.
    async fn clear(&self, publisher: &Publisher, boat: &BoatId) -> Result<(), PublishError> {
        let nothing = Outgoing::at_least_once(topic::of_offer(boat), vec![]).retained();
        publisher.publish(nothing, None).await?;
        self.cleared().insert(boat.clone());
        Ok(())
    }

    fn cleared(&self) -> MutexGuard<'_, BTreeSet<BoatId>> {
        self.cleared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
