//! Receives a bundle: from the offer to its installation.

use super::requests::{Pace, Requests};
use crate::bounded_note::NoteError;
use crate::bundle_mailbox::FromShore;
use crate::bundle_trust::bundle_trust;
use crate::config::Config;
use crate::received_bundles::{ReceivedBundle, ReceivedBundles};
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::bundle::delivery::{Delivery, DeliveryError, MissingContent, Received};
use flukewatch_common::bundle::{Bundle, BundleError, BundleHead, TrustError};
use flukewatch_common::bundle_transfer::{
    BundleOffer, ContentId, ContentPiece, ContentRequest, MAX_PIECE, TransferProgress,
    TransferReport,
};
use flukewatch_common::clock::Clock;
use flukewatch_common::wire::{self, Message};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the station learns how much has arrived.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// The pause after something failed that may pass, e.g. because the disk is full.
const PAUSE: Duration = Duration::from_secs(60);
/// The largest bundle that is received, in bytes.
const MAX_BUNDLE: u64 = 1 << 30;

/// Verifies a bundle that has arrived: says why it cannot be used.
pub(super) type Selftest = Box<dyn FnMut(&Path, &Config) -> Result<(), String> + Send>;

/// Receives what the station offers.
pub(super) struct Receiver {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) monotonic: Arc<dyn MonotonicClock>,
    pub(super) selftest: Selftest,
    transfer: Option<Transfer>,
}

/// An offer, and how far it is.
struct Transfer {
    offer: BundleOffer,
    stage: TransferStage,
    requests: Requests,
    /// The last report, and when it was made.
    reported: Option<(TransferProgress, MonotonicTimestamp)>,
}

/// What is done next.
enum TransferStage {
    /// The manifest arrives; so much of it is there.
    Manifest(Vec<u8>),
    /// The parts arrive.
    Parts(Delivery),
    /// All of them are there.
    Complete(Delivery),
    /// Something that may pass failed at this time, e.g. the disk is full.
    Paused(MonotonicTimestamp),
    /// Nothing: the note of the bundles says what has become of it.
    Settled,
}

/// What the receiver wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// Messages for the station, encoded.
    pub(super) messages: Vec<Vec<u8>>,
    /// Whether another bundle was installed, which the next session uses.
    pub(super) installed: bool,
    /// How far the offered bundle is; `None` where none is offered.
    pub(super) progress: Option<TransferProgress>,
}

impl Wants {
    fn send<M: Message>(&mut self, message: &M) {
        match wire::encode(message) {
            Ok(message) => self.messages.push(message),
            Err(error) => tracing::error!(%error, "cannot encode a {}", M::NAME),
        }
    }
}

/// Why a bundle is not received.
enum ReceiveError {
    /// It cannot be used.
    Unusable(String),
    /// Later it may be: the disk is full, or the date is unknown.
    NotNow(String),
}

impl From<DeliveryError> for ReceiveError {
    fn from(error: DeliveryError) -> Self {
        let text = error.to_string();
        match error {
            DeliveryError::Disk { .. }
            | DeliveryError::Bundle(BundleError::Untrusted {
                source: TrustError::DateUnknown { .. },
                ..
            }) => Self::NotNow(text),
            _ => Self::Unusable(text),
        }
    }
}

impl From<NoteError> for ReceiveError {
    fn from(error: NoteError) -> Self {
        Self::NotNow(error.to_string())
    }
}

impl Receiver {
    /// A receiver without an offer.
    pub(super) fn new(
        clock: Arc<dyn Clock>,
        monotonic: Arc<dyn MonotonicClock>,
        selftest: Selftest,
    ) -> Self {
        Self {
            clock,
            monotonic,
            selftest,
            transfer: None,
        }
    }

    /// Whether nothing is offered.
    pub(super) fn is_idle(&self) -> bool {
        self.transfer.is_none()
    }

    /// How far the offered bundle is; `None` where none is offered.
    fn progress(&self, config: &Config) -> Option<TransferProgress> {
        let transfer = self.transfer.as_ref()?;
        let bundles = ReceivedBundles::of(config);
        match &transfer.stage {
            TransferStage::Parts(delivery) => Some(receiving(delivery)),
            TransferStage::Complete(_) => Some(TransferProgress::Testing),
            TransferStage::Manifest(_) | TransferStage::Paused(_) => {
                let (received, total) = (0, 0);
                Some(TransferProgress::Receiving { received, total })
            }
            TransferStage::Settled => bundles.progress(&transfer.offer),
        }
    }

    /// Takes a message of the station.
    pub(super) fn take(&mut self, message: FromShore, config: &Config) {
        match message {
            FromShore::Withdrawn => {
                if self.transfer.take().is_some() {
                    tracing::debug!("the station does not offer a bundle any more");
                }
            }
            FromShore::Offer(bytes) => match wire::decode::<BundleOffer>(&bytes) {
                Ok(offer) => self.offered(offer, config),
                Err(error) => tracing::warn!(%error, "ignoring malformed bundle offer"),
            },
            FromShore::Content(bytes) => match wire::decode::<ContentPiece>(&bytes) {
                Ok(piece) => self.piece_arrived(piece, config),
                Err(error) => tracing::warn!(%error, "ignoring malformed piece of a bundle"),
            },
        }
    }

    fn offered(&mut self, offer: BundleOffer, config: &Config) {
        if offer.boat.as_str() != config.boat.name {
            tracing::warn!(boat = %offer.boat, "ignoring bundle offer for another boat");
            return;
        }
        if let Err(error) = offer.validate() {
            tracing::warn!(%error, "ignoring invalid bundle offer");
            return;
        }
        if let Some(transfer) = &mut self.transfer
            && transfer.offer == offer
        {
            // A new connection: what was requested on the last one does not arrive any more.
            transfer.requests.reset();
            transfer.reported = None;
            return;
        }
        tracing::info!(id = %offer.id, manifest = %offer.manifest, "bundle offered");
        let bundles = ReceivedBundles::of(config);
        let mut transfer = Transfer {
            stage: match bundles.progress(&offer) {
                Some(_) => TransferStage::Settled,
                None => TransferStage::Manifest(vec![]),
            },
            offer,
            requests: Requests::default(),
            reported: None,
        };
        if let TransferStage::Manifest(_) = transfer.stage {
            if config.bundle.over_the_air {
                self.resume(&mut transfer, config);
            } else {
                let reason = "bundle.over_the_air is false in the configuration of the boat";
                settle_rejected(&mut transfer, &bundles, reason);
            }
        }
        self.transfer = Some(transfer);
    }

    /// Resumes the delivery that a restart has interrupted, if it is of this offer.
    fn resume(&self, transfer: &mut Transfer, config: &Config) {
        let folder = ReceivedBundles::of(config).delivery_folder();
        let trust = bundle_trust(config, self.clock.as_ref());
        let Ok(Some(delivery)) = Delivery::resume(&folder, &trust) else {
            return;
        };
        let head = delivery.head();
        let signature = head.signature().map(|s| s.to_bytes()).unwrap_or_default();
        if ContentId::of(head.manifest_bytes()) == transfer.offer.manifest
            && signature == transfer.offer.signature
        {
            tracing::info!("resuming the transfer of the bundle");
            transfer.stage = TransferStage::Parts(delivery);
        }
    }

    fn piece_arrived(&mut self, piece: ContentPiece, config: &Config) {
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        if piece.boat.as_str() != config.boat.name || !transfer.requests.take(&piece) {
            tracing::debug!(content = %piece.content, "ignoring a piece that was not requested");
            self.transfer = Some(transfer);
            return;
        }
        let Some(bytes) = piece.piece else {
            tracing::info!("the station does not have the bundle any more");
            return;
        };
        if let Err(error) = self.store(&mut transfer, piece.content, piece.offset, &bytes, config) {
            self.fail(&mut transfer, error, config);
        }
        self.transfer = Some(transfer);
    }

    /// Stores a piece that was requested.
    fn store(
        &self,
        transfer: &mut Transfer,
        content: ContentId,
        offset: u64,
        bytes: &[u8],
        config: &Config,
    ) -> Result<(), ReceiveError> {
        match &mut transfer.stage {
            TransferStage::Manifest(manifest) => {
                let expected = transfer.offer.manifest_bytes as usize;
                if offset != manifest.len() as u64 || manifest.len() + bytes.len() > expected {
                    transfer.requests.clear();
                    return Ok(());
                }
                manifest.extend_from_slice(bytes);
                if manifest.len() < expected {
                    return Ok(());
                }
                let manifest = std::mem::take(manifest);
                if ContentId::of(&manifest) != transfer.offer.manifest {
                    tracing::warn!(
                        "manifest of the bundle was altered on its way; requesting it again"
                    );
                    transfer.requests.clear();
                    return Ok(());
                }
                let delivery = self.begin(&transfer.offer, manifest, config)?;
                transfer.stage = TransferStage::Parts(delivery);
                Ok(())
            }
            TransferStage::Parts(delivery) => {
                match delivery.receive(&content.to_string(), offset, bytes) {
                    Ok(Received::Partly(_) | Received::Complete) => Ok(()),
                    Err(error @ DeliveryError::Disk { .. }) => Err(error.into()),
                    Err(error) => {
                        tracing::warn!(%error, "requesting a part of the bundle again");
                        transfer.requests.clear();
                        Ok(())
                    }
                }
            }
            TransferStage::Complete(_) | TransferStage::Paused(_) | TransferStage::Settled => {
                Ok(())
            }
        }
    }

    /// Begins the delivery of the parts.
    fn begin(
        &self,
        offer: &BundleOffer,
        manifest: Vec<u8>,
        config: &Config,
    ) -> Result<Delivery, ReceiveError> {
        let bundles = ReceivedBundles::of(config);
        let folder = bundles.delivery_folder();
        let signature = (!offer.signature.is_empty()).then_some(&*offer.signature);
        let head = BundleHead::from_bytes(&folder, manifest, signature)
            .map_err(|e| ReceiveError::Unusable(e.to_string()))?;
        let trust = bundle_trust(config, self.clock.as_ref());
        let delivery = Delivery::begin(&folder, head, &trust)?;
        let total = delivery.total_bytes();
        if total > MAX_BUNDLE {
            return Err(ReceiveError::Unusable(format!(
                "bundle of {total} bytes; at most {MAX_BUNDLE} are received over the air"
            )));
        }
        let aboard = [bundles.path_in_use(), bundles.configured().to_owned()];
        let mut copied = 0;
        for path in aboard {
            match delivery.collect(&path) {
                Ok(bytes) => copied += bytes,
                Err(error @ DeliveryError::Disk { .. }) => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "cannot take parts from a bundle aboard"),
            }
        }
        tracing::info!(
            total,
            copied,
            "receiving a bundle; parts that are aboard are copied"
        );
        Ok(delivery)
    }

    /// Does what is due.
    pub(super) fn poll(&mut self, config: &Config, pace: Pace) -> Wants {
        let mut wants = Wants::default();
        let Some(mut transfer) = self.transfer.take() else {
            return wants;
        };
        let now = self.monotonic.now();
        if let TransferStage::Paused(since) = transfer.stage
            && now.since(since) >= PAUSE
        {
            transfer.stage = TransferStage::Manifest(vec![]);
            self.resume(&mut transfer, config);
        }
        if let Err(error) = self.advance(&mut transfer, config, pace, &mut wants) {
            self.fail(&mut transfer, error, config);
        }
        self.transfer = Some(transfer);
        self.report_when_due(config, now, &mut wants);
        wants
    }

    /// Requests what is missing, or installs the bundle when nothing is.
    fn advance(
        &mut self,
        transfer: &mut Transfer,
        config: &Config,
        pace: Pace,
        wants: &mut Wants,
    ) -> Result<(), ReceiveError> {
        let (content, received, bytes) = match &transfer.stage {
            TransferStage::Paused(_) | TransferStage::Settled => return Ok(()),
            TransferStage::Complete(_) => return self.install(transfer, config, wants),
            TransferStage::Manifest(manifest) => {
                let BundleOffer {
                    manifest: content,
                    manifest_bytes,
                    ..
                } = transfer.offer;
                (content, manifest.len() as u64, u64::from(manifest_bytes))
            }
            TransferStage::Parts(delivery) => match delivery.missing()?.into_iter().next() {
                Some(MissingContent {
                    sha256,
                    received,
                    bytes,
                }) => {
                    let content = sha256.parse().map_err(|error| {
                        ReceiveError::Unusable(format!("manifest: sha256 '{sha256}': {error}"))
                    })?;
                    (content, received, bytes)
                }
                None => {
                    let total = delivery.total_bytes();
                    let received = total;
                    let all = TransferProgress::Receiving { received, total };
                    let report = self.report(transfer, all);
                    wants.send(&report);
                    // Installed at the next call, so that the station learns of the test before it begins.
                    let stage = std::mem::replace(&mut transfer.stage, TransferStage::Settled);
                    if let TransferStage::Parts(delivery) = stage {
                        transfer.stage = TransferStage::Complete(delivery);
                    }
                    return Ok(());
                }
            },
        };
        let now = self.monotonic.now();
        for piece in transfer.requests.due(content, received, bytes, pace, now) {
            wants.send(&ContentRequest {
                boat: transfer.offer.boat.clone(),
                offer: transfer.offer.id,
                content: piece.content,
                offset: piece.offset,
                max_bytes: piece.bytes.min(MAX_PIECE),
            });
        }
        Ok(())
    }

    /// Puts the bundle together, tests it and installs it.
    fn install(
        &mut self,
        transfer: &mut Transfer,
        config: &Config,
        wants: &mut Wants,
    ) -> Result<(), ReceiveError> {
        let stage = std::mem::replace(&mut transfer.stage, TransferStage::Settled);
        let TransferStage::Complete(delivery) = stage else {
            return Ok(());
        };
        let bundles = ReceivedBundles::of(config);
        let bundle = ReceivedBundle {
            manifest: transfer.offer.manifest,
            version: delivery.head().signature().map(|s| s.version()),
            offer: transfer.offer.id,
        };
        let folder = bundles.folder_of(&bundle);
        self.assemble(&delivery, &folder, config)?;
        (self.selftest)(&folder, config).map_err(|reason| {
            remove(&folder);
            ReceiveError::Unusable(format!("self-test failed: {reason}"))
        })?;
        let version = bundle.version;
        bundles.install(bundle)?;
        if let Err(error) = delivery.discard() {
            tracing::warn!(%error, "cannot delete what was received");
        }
        tracing::info!(version, folder = %folder.display(), "bundle installed; starting with it on trial");
        wants.installed = true;
        Ok(())
    }

    fn assemble(
        &self,
        delivery: &Delivery,
        folder: &Path,
        config: &Config,
    ) -> Result<(), ReceiveError> {
        let trust = bundle_trust(config, self.clock.as_ref());
        match delivery.assemble(folder, &trust) {
            Ok(_) => Ok(()),
            // Put together before a power cut.
            Err(DeliveryError::Exists(_)) if Bundle::open_trusted(folder, &trust).is_ok() => Ok(()),
            Err(DeliveryError::Exists(_)) => {
                remove(folder);
                delivery.assemble(folder, &trust)?;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Gives up for now or for good.
    fn fail(&self, transfer: &mut Transfer, error: ReceiveError, config: &Config) {
        match error {
            ReceiveError::NotNow(error) => {
                tracing::warn!(error, "cannot receive the bundle now; retrying");
                transfer.requests.clear();
                transfer.stage = TransferStage::Paused(self.monotonic.now());
            }
            ReceiveError::Unusable(reason) => {
                settle_rejected(transfer, &ReceivedBundles::of(config), &reason);
            }
        }
    }

    /// Reports what has changed: at once, but received bytes only now and then.
    fn report_when_due(&mut self, config: &Config, now: MonotonicTimestamp, wants: &mut Wants) {
        wants.progress = self.progress(config);
        let Some(progress) = wants.progress.clone() else {
            return;
        };
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        // How large it is says the manifest.
        let is_unknown = matches!(progress, TransferProgress::Receiving { total: 0, .. });
        let is_due = match &transfer.reported {
            _ if is_unknown => false,
            None => true,
            Some((last, _)) if *last == progress => false,
            Some((TransferProgress::Receiving { .. }, at))
                if matches!(progress, TransferProgress::Receiving { .. }) =>
            {
                now.since(*at) >= REPORT_INTERVAL
            }
            Some(_) => true,
        };
        if is_due {
            let report = self.report(&mut transfer, progress);
            wants.send(&report);
        }
        self.transfer = Some(transfer);
    }

    fn report(&self, transfer: &mut Transfer, progress: TransferProgress) -> TransferReport {
        transfer.reported = Some((progress.clone(), self.monotonic.now()));
        TransferReport {
            boat: transfer.offer.boat.clone(),
            offer: transfer.offer.id,
            at: self.clock.now(),
            progress,
        }
    }
}

fn receiving(delivery: &Delivery) -> TransferProgress {
    let total = delivery.total_bytes();
    let missing = delivery.missing().unwrap_or_default();
    let missing: u64 = missing
        .iter()
        .map(|m| m.bytes.saturating_sub(m.received))
        .sum();
    TransferProgress::Receiving {
        received: total.saturating_sub(missing),
        total,
    }
}

/// Remembers that an offer is rejected. Where that cannot be noted, it is tried again with the next offer.
fn settle_rejected(transfer: &mut Transfer, bundles: &ReceivedBundles, reason: &str) {
    tracing::error!(reason, "bundle rejected");
    if let Err(error) = bundles.reject(transfer.offer.id, reason) {
        tracing::warn!(%error, "cannot note that the bundle was rejected");
    }
    transfer.stage = TransferStage::Settled;
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "cannot delete a bundle");
    }
}

#[cfg(test)]
mod tests;
