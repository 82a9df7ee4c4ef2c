//! Answers requests for pieces of the bundles that are offered.
//!
//! The station keeps no state of a transfer. What is too much at a time is dropped, since a boat asks again
//! for what does not arrive.

use super::offer_publisher::StaleOffers;
use super::trust::MessageTrust;
use super::validate::validate;
use crate::bundles::OpenOffers;
use crate::store::Content;
use flukewatch_common::bundle_transfer::{ContentPiece, ContentRequest, MAX_PIECE};
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::wire::Message;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{AckHandle, Outgoing, Publisher, Received};
use flukewatch_trust::SEAL_BYTES;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, mpsc};

/// Requests that may be pending.
const MAX_PENDING: usize = 64;
/// Requests of one boat that may be pending, so that others are answered as well.
const MAX_PENDING_OF_BOAT: usize = 16;
/// Pieces that are read at a time: they are in memory.
const MAX_READING: usize = 4;
/// A request has at most a third of this.
const MAX_REQUEST_BYTES: usize = SEAL_BYTES + 256;

/// Answers requests on the connections to one broker.
pub(super) struct ContentServer {
    offers: OpenOffers,
    trust: MessageTrust,
    clock: Arc<dyn Clock>,
    /// Whether the broker has no other station: an unknown offer has then ended, and is not another
    /// station's.
    is_only_station: bool,
    pending: Mutex<HashMap<BoatId, usize>>,
    reading: Semaphore,
}

/// A pending request. Dropped, it makes room for another one.
struct Slot {
    server: Arc<ContentServer>,
    boat: BoatId,
}

/// The answer to a message that looks like a request.
enum Answer {
    Piece(ContentPiece),
    /// The offer has ended.
    Ended(ContentPiece),
    Nothing,
    /// Not a valid request, or not from its boat.
    Invalid(Received),
}

/// Handles the requests on one connection.
#[derive(Clone)]
pub(super) struct Requests {
    server: Arc<ContentServer>,
    publisher: Publisher,
    stale: StaleOffers,
    invalid: mpsc::Sender<Received>,
}

impl ContentServer {
    pub(super) fn new(
        offers: OpenOffers,
        trust: MessageTrust,
        clock: Arc<dyn Clock>,
        is_only_station: bool,
    ) -> Self {
        Self {
            offers,
            trust,
            clock,
            is_only_station,
            pending: Mutex::default(),
            reading: Semaphore::new(MAX_READING),
        }
    }

    /// Room for a request of `boat`, if there is any.
    fn slot(self: &Arc<Self>, boat: &BoatId) -> Option<Slot> {
        let mut pending = self.pending();
        let of_boat = pending.get(boat).copied().unwrap_or_default();
        let all: usize = pending.values().sum();
        if of_boat >= MAX_PENDING_OF_BOAT || all >= MAX_PENDING {
            return None;
        }
        pending.insert(boat.clone(), of_boat + 1);
        Some(Slot {
            server: Arc::clone(self),
            boat: boat.clone(),
        })
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<BoatId, usize>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a message of `boat`. It blocks.
    fn answer(&self, boat: &BoatId, message: Received) -> Answer {
        let opened = self.trust.open(boat, &message.payload, self.clock.now());
        let content = opened.map(|content| validate(&message.topic, &content).content);
        let Ok(Ok(Content::Request(request))) = content else {
            return Answer::Invalid(message);
        };
        let piece = |piece| ContentPiece {
            boat: boat.clone(),
            content: request.content,
            offset: request.offset,
            piece,
        };
        let offers = self.offers.now();
        let offer = offers.by_boat.get(boat);
        let Some(offer) = offer.filter(|offer| offer.message.id == request.offer) else {
            return if self.is_only_station {
                Answer::Ended(piece(None))
            } else {
                Answer::Nothing
            };
        };
        let Some(content) = offer.bundle.content(request.content) else {
            return Answer::Piece(piece(None));
        };
        match content.read(request.offset, request.max_bytes.min(MAX_PIECE)) {
            Ok(bytes) => Answer::Piece(piece(bytes)),
            Err(error) => {
                let content = request.content;
                tracing::error!(%boat, %content, %error, "cannot read offered bundle");
                Answer::Nothing
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut pending = self.server.pending();
        if let Some(of_boat) = pending.get_mut(&self.boat) {
            *of_boat -= 1;
            if *of_boat == 0 {
                pending.remove(&self.boat);
            }
        }
    }
}

impl Requests {
    /// Those of a connection with this publisher. Messages that are not valid requests are received from what
    /// is returned, for the record.
    pub(super) fn new(
        server: &Arc<ContentServer>,
        publisher: &Publisher,
        stale: StaleOffers,
    ) -> (Self, mpsc::Receiver<Received>) {
        let (invalid, rejected) = mpsc::channel(MAX_PENDING);
        let requests = Self {
            server: Arc::clone(server),
            publisher: publisher.clone(),
            stale,
            invalid,
        };
        (requests, rejected)
    }

    /// The boat whose request this is, going by its topic and kind; `None` where it is not a request.
    pub(super) fn boat_of(&self, message: &Received) -> Option<BoatId> {
        let boat = topic::parse_request(&message.topic)?;
        let content = self.server.trust.unverified(&message.payload);
        let is_request = message.payload.len() <= MAX_REQUEST_BYTES
            && wire::kind(content) == Some(ContentRequest::KIND);
        is_request.then_some(boat)
    }

    /// Takes a request of `boat`, to be answered from another task; to the broker it can be acknowledged at
    /// once.
    pub(super) fn take(&self, boat: &BoatId, mut message: Received) -> Option<AckHandle> {
        let ack = message.ack.take();
        // A retained request is old.
        let slot = self.server.slot(boat).filter(|_| !message.retained);
        match slot {
            Some(slot) => {
                tokio::spawn(self.clone().respond(slot, message));
            }
            None => tracing::debug!(%boat, "content request dropped"),
        }
        ack
    }

    async fn respond(self, slot: Slot, message: Received) {
        let Ok(_permit) = slot.server.reading.acquire().await else {
            return;
        };
        let (requests, boat) = (self.clone(), slot.boat.clone());
        let answer = tokio::task::spawn_blocking(move || requests.sealed_answer(boat, message));
        if let Ok(Some(answer)) = answer.await {
            // Not sent where the connection is over, or busy.
            let _ = self.publisher.try_publish(&answer, None);
        }
    }

    /// The answer to a message of `boat` as it is sent, if it has one. It blocks.
    fn sealed_answer(&self, boat: BoatId, message: Received) -> Option<Outgoing> {
        let topic = topic::of_content(&boat);
        let piece = match self.server.answer(&boat, message) {
            Answer::Piece(piece) => piece,
            Answer::Ended(piece) => {
                self.stale.report(boat);
                piece
            }
            Answer::Nothing => return None,
            Answer::Invalid(message) => {
                // Of too many, some are not recorded.
                let _ = self.invalid.try_send(message);
                return None;
            }
        };
        let payload = self.server.trust.seal(wire::encode(&piece).ok()?);
        Some(Outgoing::at_most_once(topic, payload))
    }
}
