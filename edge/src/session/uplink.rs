//! A session's way to shore.

use super::error::SessionError;
use super::random::{random, random_id};
use crate::app_state::AppState;
use crate::backoff::Backoff;
use crate::config::Config;
use crate::link_budget::{LinkBudget, LinkSelector, LinkWatch, PacketSize};
use crate::outbox::QueueOpener;
use crate::time::MonotonicClock;
use crate::uplink::{
    MqttUplink, ShoreAccess, Uploader, UploaderParts, UploaderSettings, supervise,
};
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::Notify;

/// The kernel's routes.
const ROUTE_TABLE: &str = "/proc/net/route";

/// What the way to shore works with.
pub(super) struct UplinkInputs {
    pub(super) boat: BoatId,
    pub(super) access: ShoreAccess,
    pub(super) outbox_clock: Arc<dyn Clock>,
    /// What the link may carry.
    pub(super) budget: Arc<LinkBudget>,
    /// Notified of new messages.
    pub(super) accepted: Arc<Notify>,
}

/// Follows the class of the link to shore. What was spent is kept in the outbox's folder.
pub(super) fn link_watch(config: &Config, clock: Arc<dyn MonotonicClock>) -> LinkWatch {
    let settings = config.uplink.link_settings();
    let budget = LinkBudget::open(settings.limits, clock.clone(), &config.outbox.path);
    let selector = LinkSelector::new(settings, Path::new(ROUTE_TABLE));
    LinkWatch::new(selector, Arc::new(budget), clock)
}

/// Sends the outbox's messages and the boat's status to shore, until it is dropped.
///
/// # Errors
/// When the system provides no random numbers.
pub(super) fn uplink(
    config: &Config,
    inputs: UplinkInputs,
    state: &AppState,
) -> Result<impl Future<Output = ()> + Send + use<>, SessionError> {
    let UplinkInputs {
        boat,
        access,
        outbox_clock,
        budget,
        accepted,
    } = inputs;
    let instance = random_id()?;
    let archives = config.archive.limits().is_some();
    let queue = QueueOpener::new(&config.outbox.path, boat.clone(), archives);
    let settings = UploaderSettings {
        window: config.uplink.window,
        ack_timeout: config.uplink.ack_timeout(),
        bound_acks: access.identity.is_some(),
    };
    let max_backoff = config.uplink.max_backoff();
    let (counters, board) = (state.counters.clone(), state.status.clone());
    let bundles = state.bundles.clone();
    let packet_size = PacketSize::new(access.identity.is_some(), access.broker.tls);
    let start = move || {
        let random = random().map_err(|e| e.to_string())?;
        let parts = UploaderParts {
            uplink: MqttUplink::new(access.clone(), boat.clone(), instance, counters.clone()),
            broker: access.broker.to_string(),
            queue: queue.open().map_err(|e| e.to_string())?,
            settings,
            backoff: Backoff::new(max_backoff, random),
            clock: outbox_clock.clone(),
            counters: counters.clone(),
            accepted: accepted.clone(),
            budget: budget.clone(),
            packet_size,
            instance,
            bundles: bundles.clone(),
        };
        Ok(Uploader::new(parts).reporting(board.clone()))
    };
    Ok(supervise(start, state.stages.uplink.clone()))
}
