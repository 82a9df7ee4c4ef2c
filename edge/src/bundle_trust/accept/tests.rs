use super::*;
use crate::health::SignatureHealth;
use crate::models::{Models, ModelsError};
use crate::sample;
use flukewatch_common::bundle::{Signature, SignatureTerms, TrustError, sign};
use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_inference::engine::plan_queue::PlanQueue;
use flukewatch_trust::SigningKey;
use std::path::Path;

/// 2027-06-01.
const NOW: Timestamp = Timestamp(1_811_808_000_000);
const DAY: i64 = 86_400_000;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

/// A boat that trusts key 1, with an unsigned bundle of `whales`.
fn boat(folder: &Path, whales: u32) -> Config {
    let text = format!(
        "[boat]\nname = \"balaena\"\n[bundle]\npath = \"whales\"\ntrusted_keys = [\"{}\"]\n\
         [camera]\nsource = \"replay\"\npath = \"frames\"\n[outbox]\npath = \"outbox\"\n\
         [uplink]\nbroker = \"mqtt://127.0.0.1:1\"\n",
        key(1).public()
    );
    let config = Config::parse(&text, &folder.join("edge.toml")).unwrap();
    sample::bundle(whales).save(&config.bundle.path).unwrap();
    config
}

/// Signs the boat's bundle with an expiry this long after [`NOW`].
fn signed(config: &Config, seed: u8, version: u64, milliseconds: i64) -> Signature {
    let terms = SignatureTerms {
        version,
        expires: NOW.plus_millis(milliseconds),
    };
    sign(&config.bundle.path, &key(seed), terms).unwrap()
}

fn at(now: Timestamp) -> ManualClock {
    ManualClock::new(now)
}

/// Why the boat does not use its bundle at `now`.
fn rejection(config: &Config, now: Timestamp) -> Option<TrustError> {
    let trust = bundle_trust(config, &at(now));
    match Bundle::open_trusted(&config.bundle.path, &trust) {
        Ok(_) => None,
        Err(BundleError::Untrusted { source, .. }) => Some(source),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_configuration_and_the_note_decide_which_bundle_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), 2);
    assert_eq!(rejection(&config, NOW), Some(TrustError::Unsigned));
    let signature = signed(&config, 1, 7, DAY);
    assert_eq!(rejection(&config, NOW), None);
    // Opening it does not make it the one in use.
    assert!(!config.outbox.path.exists());
    let note = AcceptedFile::new(&config.outbox.path);
    let newer = AcceptedBundle {
        manifest_sha256: "0".repeat(64),
        version: 8,
    };
    note.note(&newer).unwrap();
    let older = TrustError::Older {
        version: 7,
        accepted: 8,
    };
    assert_eq!(rejection(&config, NOW), Some(older.clone()));
    let found = report(&config, &at(NOW)).unwrap();
    assert_eq!(found.key, Some(signature.key().to_string()));
    assert_eq!((found.version, found.last_version), (Some(7), Some(8)));
    assert!(found.error.unwrap().contains(&older.to_string()));
    std::fs::write(note.path(), "damaged").unwrap();
    assert_eq!(rejection(&config, NOW), None);
}

#[test]
fn the_bundle_in_use_is_used_whatever_the_date_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), 2);
    signed(&config, 1, 7, DAY);
    for clock in [Timestamp(0), Timestamp(4_000_000_000_000)] {
        let rejected = rejection(&config, clock);
        assert!(matches!(rejected, Some(TrustError::DateUnknown { .. })));
    }
    let rejected = rejection(&config, NOW.plus_millis(DAY));
    assert!(matches!(rejected, Some(TrustError::Expired { .. })));
    // As noted once it has worked.
    let trust = bundle_trust(&config, &at(NOW));
    let bundle = Bundle::open_trusted(&config.bundle.path, &trust).unwrap();
    let signature = VerifiedSignature::of(&bundle, &trust).unwrap();
    let note = AcceptedFile::new(&config.outbox.path);
    note.note(&signature.accepted()).unwrap();
    for clock in [Timestamp(0), NOW, NOW.plus_millis(DAY)] {
        assert_eq!(rejection(&config, clock), None);
    }
    let expired = |now| SignatureHealth::new(signature.signature(), now).expired;
    assert_eq!(expired(NOW), Some(false));
    assert_eq!(expired(NOW.plus_millis(DAY)), Some(true));
    assert_eq!(expired(Timestamp(0)), None);
}

#[test]
fn an_older_or_expired_bundle_is_accepted_on_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), 2);
    let note = AcceptedFile::new(&config.outbox.path);
    let newer = AcceptedBundle {
        manifest_sha256: "0".repeat(64),
        version: 8,
    };
    note.note(&newer).unwrap();
    let rejected = |config: &Config| accept(config, &at(NOW)).unwrap_err();
    assert!(matches!(rejected(&config), AcceptError::Bundle(_)));
    signed(&config, 2, 9, DAY);
    assert!(matches!(rejected(&config), AcceptError::Bundle(_)));
    assert_eq!(note.read(), Accepted::Bundle(newer));
    signed(&config, 1, 7, -DAY);
    let accepted = accept(&config, &at(NOW)).unwrap();
    assert_eq!(accepted.version, 7);
    assert_eq!(note.read(), Accepted::Bundle(accepted));
    assert_eq!(rejection(&config, NOW), None);
    assert_eq!(report(&config, &at(NOW)).unwrap().error, None);
    // Altered, it is not accepted.
    std::fs::write(config.bundle.path.join("CARD.md"), "other").unwrap();
    assert!(matches!(rejected(&config), AcceptError::Bundle(_)));
}

#[test]
fn in_a_lab_every_bundle_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 2);
    config.bundle.trusted_keys.clear();
    config.bundle.allow_unsigned = true;
    assert_eq!(rejection(&config, NOW), None);
    signed(&config, 2, 1, -DAY);
    assert_eq!(rejection(&config, Timestamp(0)), None);
    let models = Models::open(&config, &PlanQueue::default()).unwrap();
    assert_eq!(models.signature, None);
    let error = accept(&config, &at(NOW)).unwrap_err();
    assert!(matches!(error, AcceptError::Lab), "{error}");
}

#[test]
fn models_of_a_rejected_bundle_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), 2);
    let error = Models::open(&config, &PlanQueue::default()).err().unwrap();
    assert!(
        matches!(
            &error,
            ModelsError::Bundle(BundleError::Untrusted {
                source: TrustError::Unsigned,
                ..
            })
        ),
        "{error}"
    );
    assert!(error.to_string().contains("whales"), "{error}");
}
