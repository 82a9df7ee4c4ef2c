//! What station and boat exchange about bundles, and the seal around every message of a boat with an identity.
#![no_main]

use flukewatch_common::bundle_transfer::{
    BundleOffer, ContentId, ContentPiece, ContentRequest, MAX_PIECE, TransferProgress,
    TransferReport,
};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::wire::{self, Message};
use flukewatch_fuzz::{repair, seeds};
use flukewatch_trust::{Purpose, SigningKey, open, seal};
use std::fmt::Debug;

/// What is read can be written, and is the same when it is read again.
fn take<M: Message + Debug + PartialEq>(bytes: &[u8]) -> Option<M> {
    let message: M = wire::decode(bytes).ok()?;
    let written = wire::encode(&message).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(wire::decode(&written).as_ref(), Ok(&message));
    Some(message)
}

fn take_any(bytes: &[u8]) {
    if let Some(offer) = take::<BundleOffer>(bytes) {
        let _ = offer.validate();
    }
    take::<ContentRequest>(bytes);
    take::<ContentPiece>(bytes);
    if let Some(report) = take::<TransferReport>(bytes) {
        let _ = report.validate();
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn make_seeds() -> Option<[Vec<u8>; 6]> {
    let boat: BoatId = "a".parse().ok()?;
    let offer = BundleOffer {
        boat: boat.clone(),
        id: uuid::Uuid::from_u128(7),
        manifest: ContentId::of(b"{}"),
        manifest_bytes: 2,
        signature: b"{}".to_vec(),
    };
    let request = ContentRequest {
        boat: boat.clone(),
        offer: offer.id,
        content: offer.manifest,
        offset: 0,
        max_bytes: MAX_PIECE,
    };
    let piece = ContentPiece {
        boat: boat.clone(),
        content: offer.manifest,
        offset: 0,
        piece: Some(b"{}".to_vec()),
    };
    let report = |progress| TransferReport {
        boat: boat.clone(),
        offer: offer.id,
        at: Timestamp(1_795_450_800_000),
        progress,
    };
    let receiving = report(TransferProgress::Receiving {
        received: 1,
        total: 2,
    });
    let rejected = report(TransferProgress::Rejected { reason: "x".into() });
    let offer = wire::encode(&offer).ok()?;
    Some([
        seal(&key(), Purpose::StationMessage, &offer),
        offer,
        wire::encode(&request).ok()?,
        wire::encode(&piece).ok()?,
        wire::encode(&receiving).ok()?,
        wire::encode(&rejected).ok()?,
    ])
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| make_seeds().unwrap_or_else(|| panic!("the samples cannot be encoded")));
    },
    |bytes: &[u8]| {
        take_any(bytes);
        let mut right = bytes.to_vec();
        repair::message(&mut right);
        take_any(&right);
        // Only the seed is signed by its key.
        if let Ok(content) = open(&key().public(), Purpose::StationMessage, bytes) {
            assert!(matches!(make_seeds(), Some(seeds) if seeds[1] == content));
        }
        assert!(open(&key().public(), Purpose::BoatMessage, bytes).is_err());
    }
);
