//! A boat that receives bundles.

use crate::fixtures::{QUIET_PERIOD, TIMEOUT};
use flukewatch_common::bundle_transfer::{
    BundleOffer, ContentId, ContentPiece, ContentRequest, MAX_PIECE, TransferProgress,
    TransferReport,
};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{Connection, Dialer, Event, Outgoing, Settings, Subscription};
use flukewatch_shore::station::Station;
use flukewatch_trust::{PublicKey, Purpose, SigningKey, open, seal};
use std::path::Path;
use std::process::{Command, Output};
use tokio::time::timeout;
use uuid::Uuid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_flukewatch-shore");

/// Runs a command of the station's program on a data folder.
pub(crate) async fn run(arguments: &[&str], data: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--data").arg(data);
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

/// Runs a command that must succeed, and returns what it prints.
pub(crate) async fn run_ok(arguments: &[&str], data: &Path) -> String {
    let output = run(arguments, data).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The boat's key and the station's.
pub(crate) struct Keys {
    pub(crate) boat: SigningKey,
    pub(crate) station: PublicKey,
}

/// What a boat receives.
#[derive(Debug, PartialEq)]
pub(crate) enum FromStation {
    /// An offer, and whether it is older than the subscription.
    Offer(BundleOffer, bool),
    /// The offer has ended.
    OfferCleared,
    Piece(ContentPiece),
}

pub(crate) struct BundleBoat {
    pub(crate) name: BoatId,
    connection: Connection,
    keys: Option<Keys>,
}

impl BundleBoat {
    /// Connects with these settings, and subscribes to what boats receive of bundles.
    pub(crate) async fn connect(name: &str, settings: Settings, keys: Option<Keys>) -> Self {
        let name: BoatId = name.parse().unwrap();
        let settings = Settings {
            subscriptions: vec![
                Subscription::at_least_once(topic::of_offer(&name)),
                Subscription::at_most_once(topic::of_content(&name)),
            ],
            ..settings
        };
        let connection = Dialer::new(settings).connect(None).await.unwrap();
        Self {
            name,
            connection,
            keys,
        }
    }

    /// Connects without signatures to a broker of `station`.
    pub(crate) async fn connect_to(station: &Station, broker: usize, name: &str) -> Self {
        let url = station.brokers()[broker].url.clone();
        Self::connect(name, Settings::new(url, format!("bundles-{name}")), None).await
    }

    /// Publishes a message as it is.
    pub(crate) async fn publish(&self, message: Vec<u8>) {
        let message = Outgoing::at_least_once(topic::of_requests(&self.name), message);
        let publisher = self.connection.publisher();
        publisher.publish(message, None).await.unwrap();
    }

    pub(crate) async fn send(&self, message: &impl wire::Message) {
        let message = wire::encode(message).unwrap();
        self.publish(match &self.keys {
            Some(keys) => seal(&keys.boat, Purpose::BoatMessage, &message),
            None => message,
        })
        .await;
    }

    /// A request for a whole piece.
    pub(crate) fn request(&self, offer: Uuid, content: ContentId, offset: u64) -> ContentRequest {
        ContentRequest {
            boat: self.name.clone(),
            offer,
            content,
            offset,
            max_bytes: MAX_PIECE,
        }
    }

    pub(crate) async fn report(&self, offer: Uuid, at: i64, progress: TransferProgress) {
        self.send(&TransferReport {
            boat: self.name.clone(),
            offer,
            at: Timestamp(at),
            progress,
        })
        .await;
    }

    /// The next message, which the station must have signed where the boat has keys.
    pub(crate) async fn next(&mut self) -> FromStation {
        loop {
            let event = timeout(TIMEOUT, self.connection.event()).await;
            let Event::Received(message) = event.expect("no message").unwrap() else {
                continue;
            };
            if message.payload.is_empty() {
                assert_eq!(message.topic, topic::of_offer(&self.name));
                return FromStation::OfferCleared;
            }
            let content = match &self.keys {
                Some(keys) => {
                    open(&keys.station, Purpose::StationMessage, &message.payload).unwrap()
                }
                None => &message.payload,
            };
            return if message.topic == topic::of_offer(&self.name) {
                let offer: BundleOffer = wire::decode(content).unwrap();
                assert_eq!(offer.validate(), Ok(()));
                FromStation::Offer(offer, message.retained)
            } else {
                assert_eq!(message.topic, topic::of_content(&self.name));
                FromStation::Piece(wire::decode(content).unwrap())
            };
        }
    }

    /// The next offer; nothing else may arrive before.
    pub(crate) async fn offer(&mut self) -> BundleOffer {
        match self.next().await {
            FromStation::Offer(offer, _) => offer,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn expect_cleared(&mut self) {
        assert_eq!(self.next().await, FromStation::OfferCleared);
    }

    /// The answer to a request.
    pub(crate) async fn ask(&mut self, request: &ContentRequest) -> Option<Vec<u8>> {
        self.send(request).await;
        let FromStation::Piece(answer) = self.next().await else {
            panic!("expected a piece");
        };
        assert_eq!(answer.boat, self.name);
        assert_eq!(
            (answer.content, answer.offset),
            (request.content, request.offset)
        );
        answer.piece
    }

    /// A whole content of `bytes` bytes.
    pub(crate) async fn download(
        &mut self,
        offer: Uuid,
        content: ContentId,
        bytes: u64,
    ) -> Vec<u8> {
        let mut received = vec![];
        while (received.len() as u64) < bytes {
            let request = self.request(offer, content, received.len() as u64);
            let piece = self.ask(&request).await.expect("a piece");
            assert!(!piece.is_empty() && piece.len() <= MAX_PIECE as usize);
            received.extend(piece);
        }
        assert_eq!(ContentId::of(&received), content);
        received
    }

    /// Asserts that nothing arrives.
    pub(crate) async fn expect_nothing(&mut self) {
        let quiet = timeout(QUIET_PERIOD, self.next()).await;
        assert!(quiet.is_err(), "{quiet:?}");
    }
}
