//! Bundles that arrive in pieces.

use super::*;
use crate::bundle::delivery::{Delivery, DeliveryError, MissingContent, Received};
use crate::clock::Timestamp;
use flukewatch_trust::SigningKey;

const PIECE: u64 = 5;

/// A publisher's bundle and what a boat has.
struct Boat {
    dir: TempDir,
}

impl Boat {
    fn new() -> Self {
        let boat = Self {
            dir: TempDir::new().unwrap(),
        };
        bundle().save(&boat.path("aboard")).unwrap();
        bundle().save(&boat.path("aboard.flukebundle")).unwrap();
        newer().save(&boat.path("offered")).unwrap();
        let terms = SignatureTerms {
            version: 7,
            expires: Timestamp(1_827_619_200_000),
        };
        sign(&boat.path("offered"), &key(), terms).unwrap();
        boat
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    fn begin(&self) -> Delivery {
        let head = BundleHead::read(&self.path("offered")).unwrap();
        Delivery::begin(&self.path("delivery"), head, &trust()).unwrap()
    }

    fn resume(&self) -> Delivery {
        Delivery::resume(&self.path("delivery"), &trust())
            .unwrap()
            .unwrap()
    }

    /// The bytes of a content of the offered bundle.
    fn offered(&self, content: &MissingContent) -> Vec<u8> {
        let manifest = newer().manifest;
        let mut parts = manifest.parts.values();
        let info = parts.find(|info| info.sha256 == content.sha256).unwrap();
        fs::read(self.path("offered").join(&info.file)).unwrap()
    }

    /// Sends everything that is missing, in pieces. Returns the number of bytes.
    fn send_all(&self, delivery: &Delivery) -> u64 {
        let mut sent = 0;
        for missing in delivery.missing().unwrap() {
            let bytes = self.offered(&missing);
            let mut from = missing.received as usize;
            loop {
                let piece = &bytes[from..bytes.len().min(from + PIECE as usize)];
                let received = delivery.receive(&missing.sha256, from as u64, piece);
                sent += piece.len() as u64;
                from += piece.len();
                match received.unwrap() {
                    Received::Complete => break,
                    Received::Partly(bytes) => assert_eq!(bytes, from as u64),
                }
            }
            assert_eq!(from, bytes.len());
        }
        sent
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn trust() -> BundleTrust {
    BundleTrust::Keys(TrustedKeys {
        keys: vec![key().public()],
        now: Some(Timestamp(1_800_000_000_000)),
        accepted: Accepted::Nothing,
    })
}

/// The same model and card with other whales.
fn newer() -> Bundle {
    let mut catalogue = catalogue(8);
    let entry = Enrolled {
        whale: "HW-2".into(),
        photo: "b.jpg".into(),
        source: "test".into(),
        ..Enrolled::default()
    };
    let embedding = Embedding::normalised(vec![1.0; 8]).unwrap();
    catalogue.enrol(entry, &embedding).unwrap();
    bundle().with_catalogue(catalogue, rule(0.7, 0.3)).unwrap()
}

fn bytes_of(part: &str) -> u64 {
    newer().manifest.parts[part].bytes
}

#[test]
fn only_what_differs_is_transferred() {
    for aboard in ["aboard", "aboard.flukebundle"] {
        let boat = Boat::new();
        let delivery = boat.begin();
        assert_eq!(delivery.missing().unwrap().len(), 4);
        let common = delivery.collect(&boat.path(aboard)).unwrap();
        assert_eq!(common, bytes_of("model") + bytes_of("card"));
        let missing: Vec<u64> = delivery
            .missing()
            .unwrap()
            .iter()
            .map(|m| m.bytes)
            .collect();
        assert_eq!(missing, [bytes_of("catalogue"), bytes_of("decision")]);
        assert_eq!(boat.send_all(&delivery), missing.iter().sum::<u64>());
        let destination = boat.path("whales-7");
        let made = delivery.assemble(&destination, &trust()).unwrap();
        assert_eq!(made.id(), newer().id());
        delivery.discard().unwrap();
        assert_eq!(Bundle::open_trusted(&destination, &trust()).unwrap(), made);
        assert_eq!(names(&destination), names(&boat.path("offered")));
        assert_eq!(Bundle::open(&boat.path(aboard)).unwrap(), bundle());
        assert!(!boat.path("delivery").exists());
    }
}

#[test]
fn a_transfer_is_resumed_where_it_was_interrupted() {
    let boat = Boat::new();
    let delivery = boat.begin();
    let first = delivery.missing().unwrap().remove(0);
    let bytes = boat.offered(&first);
    let received = delivery.receive(&first.sha256, 0, &bytes[..3]).unwrap();
    assert_eq!(received, Received::Partly(3));
    // The same piece again, or one that does not follow, changes nothing.
    for offset in [0, 2, 4, u64::MAX] {
        let error = delivery.receive(&first.sha256, offset, b"x").unwrap_err();
        assert!(
            matches!(error, DeliveryError::Offset { expected: 3, .. }),
            "{error}"
        );
    }
    drop(delivery);
    let delivery = boat.resume();
    let missing = delivery.missing().unwrap().remove(0);
    assert_eq!((missing.received, missing.sha256), (3, first.sha256));
    let left: u64 = delivery
        .missing()
        .unwrap()
        .iter()
        .map(|m| m.bytes - m.received)
        .sum();
    assert_eq!(boat.send_all(&delivery), left);
    // The same offer again.
    let delivery = boat.begin();
    assert_eq!(delivery.missing().unwrap(), []);
    assert!(delivery.assemble(&boat.path("whales-7"), &trust()).is_ok());
}

#[test]
fn another_offer_begins_another_delivery() {
    let boat = Boat::new();
    let delivery = boat.begin();
    boat.send_all(&delivery);
    let head = BundleHead::read(&boat.path("aboard")).unwrap();
    let other = Delivery::begin(&boat.path("delivery"), head, &BundleTrust::Everyone).unwrap();
    assert_eq!(other.missing().unwrap().len(), 4);
    assert_eq!(other.head().signature(), None);
    let nothing = Delivery::resume(&boat.path("nothing"), &trust()).unwrap();
    assert!(nothing.is_none());
}

#[test]
fn an_altered_content_begins_again() {
    let boat = Boat::new();
    let delivery = boat.begin();
    let first = delivery.missing().unwrap().remove(0);
    let mut bytes = boat.offered(&first);
    bytes[4] ^= 1;
    let error = delivery.receive(&first.sha256, 0, &bytes).unwrap_err();
    assert!(matches!(error, DeliveryError::Altered { .. }), "{error}");
    assert_eq!(delivery.missing().unwrap()[0].received, 0);
    bytes[4] ^= 1;
    bytes.push(0);
    let error = delivery.receive(&first.sha256, 0, &bytes).unwrap_err();
    assert!(matches!(error, DeliveryError::TooLong { .. }), "{error}");
    bytes.pop();
    let received = delivery.receive(&first.sha256, 0, &bytes).unwrap();
    assert_eq!(received, Received::Complete);
    // Once more changes nothing.
    let received = delivery.receive(&first.sha256, 0, b"x").unwrap();
    assert_eq!(received, Received::Complete);
    for unknown in ["", "../manifest.json", &"0".repeat(64)] {
        let error = delivery.receive(unknown, 0, b"x").unwrap_err();
        assert!(matches!(error, DeliveryError::Unknown { .. }), "{error}");
    }
}

#[test]
fn what_is_damaged_aboard_is_transferred() {
    let boat = Boat::new();
    fs::write(boat.path("aboard/model.onnx"), b"a mode!").unwrap();
    let delivery = boat.begin();
    let common = delivery.collect(&boat.path("aboard")).unwrap();
    assert_eq!(common, bytes_of("card"));
    assert_eq!(delivery.missing().unwrap().len(), 3);
    let error = delivery.collect(&boat.path("nothing")).unwrap_err();
    assert!(matches!(error, DeliveryError::Bundle(_)), "{error}");
}

#[test]
fn a_bundle_is_complete_or_absent() {
    let boat = Boat::new();
    let delivery = boat.begin();
    let destination = boat.path("whales-7");
    let error = delivery.assemble(&destination, &trust()).unwrap_err();
    assert!(matches!(error, DeliveryError::Incomplete { .. }), "{error}");
    boat.send_all(&delivery);
    let error = delivery
        .assemble(&boat.path("aboard"), &trust())
        .unwrap_err();
    assert!(matches!(error, DeliveryError::Exists(_)), "{error}");
    // A disk that changes what was verified.
    let model = newer().manifest.parts["model"].sha256.clone();
    fs::write(boat.path("delivery/contents").join(&model), b"a mode!").unwrap();
    let error = delivery.assemble(&destination, &trust()).unwrap_err();
    assert!(matches!(error, DeliveryError::Bundle(_)), "{error}");
    assert!(!destination.exists());
    assert_eq!(boat.send_all(&delivery), bytes_of("model"));
    // What an interrupted attempt left is replaced.
    fs::create_dir_all(boat.path("delivery/assembled")).unwrap();
    fs::write(boat.path("delivery/assembled/model.onnx"), b"half").unwrap();
    delivery.assemble(&destination, &trust()).unwrap();
    // Deleting the delivery leaves the bundle.
    delivery.discard().unwrap();
    assert_eq!(Bundle::open(&destination).unwrap().id(), newer().id());
}

#[test]
fn an_untrusted_bundle_is_neither_received_nor_put_together() {
    let boat = Boat::new();
    let delivery = boat.begin();
    boat.send_all(&delivery);
    let destination = boat.path("whales-7");
    let foreign = BundleTrust::Keys(TrustedKeys {
        keys: vec![],
        now: Some(Timestamp(1_800_000_000_000)),
        accepted: Accepted::Nothing,
    });
    let head = BundleHead::read(&boat.path("offered")).unwrap();
    for error in [
        delivery.assemble(&destination, &foreign).unwrap_err(),
        Delivery::resume(&boat.path("delivery"), &foreign).unwrap_err(),
        Delivery::begin(&boat.path("other"), head, &foreign).unwrap_err(),
    ] {
        let DeliveryError::Bundle(BundleError::Untrusted { source, .. }) = error else {
            panic!("{error}");
        };
        assert!(matches!(source, TrustError::Foreign { .. }), "{source}");
    }
    assert!(!destination.exists() && !boat.path("other").exists());
    // The delivery is still there, e.g. for when the key is added.
    assert_eq!(boat.resume().missing().unwrap(), []);
}

#[test]
fn parts_with_one_content_are_transferred_once() {
    let boat = Boat::new();
    let card = String::from_utf8(bundle().model).unwrap();
    let twin = bundle().with_card(card).unwrap();
    twin.save(&boat.path("twin")).unwrap();
    let head = BundleHead::read(&boat.path("twin")).unwrap();
    let delivery = Delivery::begin(&boat.path("delivery"), head, &BundleTrust::Everyone).unwrap();
    assert_eq!(delivery.missing().unwrap().len(), 3);
    for missing in delivery.missing().unwrap() {
        let info = twin
            .manifest
            .parts
            .values()
            .find(|i| i.sha256 == missing.sha256);
        let bytes = fs::read(boat.path("twin").join(&info.unwrap().file)).unwrap();
        delivery.receive(&missing.sha256, 0, &bytes).unwrap();
    }
    let made = delivery.assemble(&boat.path("made"), &BundleTrust::Everyone);
    assert_eq!(made.unwrap(), twin);
}

#[test]
fn an_empty_part_arrives_as_an_empty_piece() {
    let boat = Boat::new();
    let bare = bundle().with_card(String::new()).unwrap();
    bare.save(&boat.path("bare")).unwrap();
    let head = BundleHead::read(&boat.path("bare")).unwrap();
    let delivery = Delivery::begin(&boat.path("delivery"), head, &BundleTrust::Everyone).unwrap();
    delivery.collect(&boat.path("aboard")).unwrap();
    let missing = delivery.missing().unwrap();
    assert_eq!((missing.len(), missing[0].bytes), (1, 0));
    let received = delivery.receive(&missing[0].sha256, 0, b"").unwrap();
    assert_eq!(received, Received::Complete);
    let made = delivery.assemble(&boat.path("made"), &BundleTrust::Everyone);
    assert_eq!(made.unwrap(), bare);
}
