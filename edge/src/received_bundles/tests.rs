use super::*;
use crate::sample;
use flukewatch_common::bundle::{SignatureTerms, sign};
use flukewatch_common::clock::Timestamp;
use flukewatch_trust::SigningKey;
use tempfile::TempDir;

/// A boat's outbox and its configured bundle, of two whales.
fn boat() -> (TempDir, ReceivedBundles) {
    let folder = tempfile::tempdir().unwrap();
    let configured = folder.path().join("whales");
    sample::bundle(2).save(&configured).unwrap();
    let received = ReceivedBundles::new(&folder.path().join("outbox"), &configured);
    (folder, received)
}

fn head(path: &Path) -> BundleHead {
    BundleHead::read(path).unwrap()
}

/// A bundle of so many whales in its folder, as if it had arrived.
fn arrived(received: &ReceivedBundles, whales: u32, version: u64) -> ReceivedBundle {
    let path = received.folder.join("new");
    sample::bundle(whales).save(&path).unwrap();
    let terms = SignatureTerms {
        version,
        expires: Timestamp(1_827_619_200_000),
    };
    sign(&path, &SigningKey::from_seed([1; 32]), terms).unwrap();
    let bundle = ReceivedBundle {
        manifest: ContentId::of(head(&path).manifest_bytes()),
        version: Some(version),
        offer: Uuid::from_u128(version.into()),
    };
    fs::rename(path, received.folder_of(&bundle)).unwrap();
    bundle
}

fn offer_of(bundle: &ReceivedBundle) -> BundleOffer {
    BundleOffer {
        boat: "balaena".parse().unwrap(),
        id: bundle.offer,
        manifest: bundle.manifest,
        manifest_bytes: 1,
        signature: vec![],
    }
}

#[test]
fn a_bundle_that_works_replaces_the_configured_one() {
    let (_folder, received) = boat();
    assert_eq!(received.path_in_use(), received.configured());
    let bundle = arrived(&received, 3, 7);
    assert_eq!(received.progress(&offer_of(&bundle)), None);
    received.install(bundle.clone()).unwrap();
    assert_eq!(received.path_in_use(), received.folder_of(&bundle));
    let on_trial = received.on_trial().unwrap();
    assert_eq!(on_trial.manifest_sha256, bundle.manifest.to_string());
    assert_eq!(on_trial.version, 7);
    let progress = || received.progress(&offer_of(&bundle));
    assert_eq!(progress(), Some(TransferProgress::OnTrial));
    received.pass_trial().unwrap();
    assert_eq!(progress(), Some(TransferProgress::Active));
    assert_eq!(received.on_trial(), None);
    assert_eq!(received.in_use(), Some(bundle));
}

#[test]
fn a_bundle_that_does_not_work_is_rolled_back_and_deleted() {
    let (_folder, received) = boat();
    let first = arrived(&received, 3, 7);
    received.install(first.clone()).unwrap();
    received.pass_trial().unwrap();
    let second = arrived(&received, 4, 8);
    received.install(second.clone()).unwrap();
    // An even newer one arrives meanwhile: the one that has worked stays the one to return to.
    let third = arrived(&received, 5, 9);
    received.install(third.clone()).unwrap();
    assert!(received.roll_back("no embeddings\nat all").unwrap());
    assert_eq!(received.in_use(), Some(first.clone()));
    assert!(!received.folder_of(&third).exists());
    let rolled_back = TransferProgress::RolledBack {
        reason: "no embeddings at all".into(),
    };
    assert_eq!(received.progress(&offer_of(&third)), Some(rolled_back));
    // The last resort is that of the configuration.
    assert!(received.roll_back("damaged").unwrap());
    assert_eq!(received.path_in_use(), received.configured());
    assert!(!received.roll_back("damaged").unwrap());
}

#[test]
fn a_rejected_offer_is_remembered_and_a_new_offer_is_not() {
    let (_folder, received) = boat();
    let bundle = arrived(&received, 3, 7);
    received.reject(bundle.offer, "self-test failed").unwrap();
    let reason = "self-test failed".into();
    let rejected = Some(TransferProgress::Rejected { reason });
    assert_eq!(received.progress(&offer_of(&bundle)), rejected);
    let again = BundleOffer {
        id: Uuid::from_u128(99),
        ..offer_of(&bundle)
    };
    assert_eq!(received.progress(&again), None);
    for number in 100..120 {
        received.reject(Uuid::from_u128(number), "x").unwrap();
    }
    assert_eq!(received.valid_note().ended.len(), MAX_ENDED);
}

#[test]
fn a_bundle_that_a_person_puts_on_board_counts_more() {
    let (_folder, received) = boat();
    let bundle = arrived(&received, 3, 7);
    received.install(bundle).unwrap();
    received.pass_trial().unwrap();
    fs::remove_dir_all(received.configured()).unwrap();
    sample::bundle(6).save(received.configured()).unwrap();
    assert_eq!(received.path_in_use(), received.configured());
}

#[test]
fn starts_count_only_on_trial_and_unless_they_end_in_order() {
    let (_folder, received) = boat();
    assert_eq!(received.begin_start().unwrap(), 0);
    assert_eq!(received.begin_start().unwrap(), 0);
    received.install(arrived(&received, 3, 7)).unwrap();
    for earlier in 0..3 {
        assert_eq!(received.begin_start().unwrap(), earlier);
    }
    received.end_in_order().unwrap();
    assert_eq!(received.begin_start().unwrap(), 0);
    received.pass_trial().unwrap();
    assert_eq!(received.begin_start().unwrap(), 0);
}

#[test]
fn bundles_that_are_not_needed_any_more_are_deleted() {
    let (_folder, received) = boat();
    let bundles = [(3, 7), (4, 8), (5, 9)].map(|(whales, version)| {
        let bundle = arrived(&received, whales, version);
        received.install(bundle.clone()).unwrap();
        received.pass_trial().unwrap();
        bundle
    });
    let kept = bundles.map(|bundle| received.folder_of(&bundle).exists());
    assert_eq!(kept, [false, true, true]);
}

#[test]
fn with_a_damaged_note_the_newest_bundle_is_used() {
    let (_folder, received) = boat();
    let [_, newer] = [(3, 7), (4, 8)].map(|(whales, version)| {
        let bundle = arrived(&received, whales, version);
        received.install(bundle.clone()).unwrap();
        received.pass_trial().unwrap();
        bundle
    });
    for damaged in [&b""[..], b"\xff", b"{}", b"{\"used\":null"] {
        fs::write(received.folder.join("in-use.json"), damaged).unwrap();
        let in_use = received.in_use().unwrap();
        assert_eq!(in_use.manifest, newer.manifest);
        assert!(!received.is_on_trial());
    }
}
