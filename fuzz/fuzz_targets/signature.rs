//! The signature of a bundle.
#![no_main]

use flukewatch_common::bundle::{Signature, SignatureTerms};
use flukewatch_common::clock::Timestamp;
use flukewatch_fuzz::seeds;
use flukewatch_trust::SigningKey;

const MANIFEST: &[u8] = b"{}";

fn sample() -> Option<Vec<u8>> {
    let terms = SignatureTerms {
        version: 1_795_450_800,
        expires: Timestamp(1_827_619_200_000),
    };
    let key = SigningKey::from_seed([1; 32]);
    Some(Signature::new(&key, MANIFEST, terms).ok()?.to_bytes())
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [sample().unwrap_or_else(|| panic!("the sample cannot be signed"))]);
    },
    |bytes: &[u8]| {
        if let Ok(signature) = Signature::from_bytes(bytes) {
            let written = signature.to_bytes();
            assert_eq!(Signature::from_bytes(&written).ok().as_ref(), Some(&signature));
            // Only the seed is signed by its key.
            if signature.verify(MANIFEST).is_ok() {
                assert_eq!(Some(written), sample());
            }
        }
    }
);
