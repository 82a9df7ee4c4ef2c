//! Which bundles are used: those that a trusted key signed, none older than what was accepted before.

use super::signature::Signature;
use crate::clock::Timestamp;
use crate::sha256::sha256_hex;
use flukewatch_trust::PublicKey;
use serde::{Deserialize, Serialize};

/// Which bundles are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleTrust {
    /// Every bundle, signed or not: for a lab. Only a signature that is not valid for its bundle is
    /// rejected.
    Everyone,
    /// Bundles with a signature by one of these keys.
    Keys(TrustedKeys),
}

/// Keys, and what is needed to reject a bundle that they signed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKeys {
    /// The keys of the publishers.
    pub keys: Vec<PublicKey>,
    /// The current time; `None` where it is unknown, e.g. on a computer without a clock battery.
    pub now: Option<Timestamp>,
    /// The bundle that is in use.
    pub accepted: Accepted,
}

/// What was accepted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// No bundle yet.
    Nothing,
    /// A bundle, and it is unknown which one. Neither version nor expiry are then checked: a boat at sea
    /// must not stop watching because a file on its disk is damaged.
    Unknown,
    /// This bundle.
    Bundle(AcceptedBundle),
}

/// A bundle that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceptedBundle {
    /// The SHA-256 of its manifest, 64 hexadecimal digits.
    pub manifest_sha256: String,
    /// The version of its signature.
    pub version: u64,
}

/// Why a bundle is not used although it is undamaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// It has no signature.
    #[error("not signed; sign it with `flukewatch sign`")]
    Unsigned,
    /// Manifest, version or expiry were changed after it was signed.
    #[error(
        "altered after {key} signed it; copy the bundle again, or sign it again with `flukewatch sign`"
    )]
    Altered {
        /// The key that the signature names.
        key: Box<PublicKey>,
    },
    /// It is signed by another key.
    #[error(
        "signed by {key}, which is not in trusted_keys; add the key, or sign it with a trusted one"
    )]
    Foreign {
        /// The key that signed it.
        key: Box<PublicKey>,
    },
    /// A newer one was accepted before.
    #[error(
        "version {version} is older than version {accepted}, which was accepted before; sign it again, or accept it with \
         `flukewatch-edge trust --accept`"
    )]
    Older {
        /// The version of its signature.
        version: u64,
        /// The version that was accepted.
        accepted: u64,
    },
    /// It is new, and its signature has expired.
    #[error(
        "its signature expired at {expires}, and the clock says {now}; sign it again, or accept it with \
         `flukewatch-edge trust --accept`"
    )]
    Expired {
        /// When it expired, RFC 3339 UTC.
        expires: String,
        /// The time of the check.
        now: Timestamp,
    },
    /// It is new, and whether its signature has expired is unknown.
    #[error(
        "its signature expires at {expires}, and the date is unknown; set the computer's clock, or accept it with \
         `flukewatch-edge trust --accept`"
    )]
    DateUnknown {
        /// When it expires, RFC 3339 UTC.
        expires: String,
    },
}

impl BundleTrust {
    /// Whether the bundle with this manifest, given as the bytes of its file, is used.
    ///
    /// The bundle in use only needs a signature by a trusted key: that it expires while a boat is at sea
    /// is not a reason to stop watching.
    ///
    /// # Errors
    /// When it is not, with the reason.
    pub fn check(&self, manifest: &[u8], signature: Option<&Signature>) -> Result<(), TrustError> {
        if let Some(signature) = signature
            && signature.verify(manifest).is_err()
        {
            return Err(TrustError::Altered {
                key: Box::new(*signature.key()),
            });
        }
        match self {
            Self::Everyone => Ok(()),
            Self::Keys(trusted) => trusted.check(manifest, signature),
        }
    }

    /// Whether a part of a bundle may be left to be verified when it is read, by a checksum that does not
    /// protect against malice.
    pub(super) fn accepts_checksums(&self) -> bool {
        *self == Self::Everyone
    }
}

impl TrustedKeys {
    /// As [`BundleTrust::check`], with a signature that is valid for the manifest.
    fn check(&self, manifest: &[u8], signature: Option<&Signature>) -> Result<(), TrustError> {
        let signature = signature.ok_or(TrustError::Unsigned)?;
        if !self.keys.contains(signature.key()) {
            return Err(TrustError::Foreign {
                key: Box::new(*signature.key()),
            });
        }
        let version = signature.version();
        match &self.accepted {
            Accepted::Unknown => return Ok(()),
            Accepted::Bundle(in_use) if in_use.manifest_sha256 == sha256_hex(manifest) => {
                return Ok(());
            }
            Accepted::Bundle(in_use) if version < in_use.version => {
                return Err(TrustError::Older {
                    version,
                    accepted: in_use.version,
                });
            }
            Accepted::Bundle(_) | Accepted::Nothing => {}
        }
        let expires = signature.expires_text();
        match self.now {
            None => Err(TrustError::DateUnknown { expires }),
            Some(now) if signature.is_expired(now) => Err(TrustError::Expired { expires, now }),
            Some(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::SignatureTerms;
    use flukewatch_trust::SigningKey;

    const EXPIRES: Timestamp = Timestamp(1_827_619_200_000);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32])
    }

    fn signed(seed: u8, manifest: &[u8], version: u64) -> Signature {
        let terms = SignatureTerms {
            version,
            expires: EXPIRES,
        };
        Signature::new(&key(seed), manifest, terms).unwrap()
    }

    /// Trusts keys 1 and 2, on the day before the expiry.
    fn trust(accepted: Accepted) -> TrustedKeys {
        TrustedKeys {
            keys: vec![key(1).public(), key(2).public()],
            now: Some(EXPIRES.plus_millis(-86_400_000)),
            accepted,
        }
    }

    fn accepted(manifest: &[u8], version: u64) -> Accepted {
        Accepted::Bundle(AcceptedBundle {
            manifest_sha256: sha256_hex(manifest),
            version,
        })
    }

    fn check(trusted: TrustedKeys, signature: &Signature) -> Result<(), TrustError> {
        BundleTrust::Keys(trusted).check(b"new", Some(signature))
    }

    #[test]
    fn each_trusted_key_is_accepted_and_no_other() {
        for (seed, expected) in [(1, true), (2, true), (3, false)] {
            let result = check(trust(Accepted::Nothing), &signed(seed, b"new", 5));
            let foreign = TrustError::Foreign {
                key: Box::new(key(seed).public()),
            };
            assert_eq!(result, if expected { Ok(()) } else { Err(foreign) });
        }
    }

    #[test]
    fn a_bundle_without_a_signature_or_with_that_of_another_is_rejected() {
        let trusting = BundleTrust::Keys(trust(Accepted::Nothing));
        assert_eq!(trusting.check(b"new", None), Err(TrustError::Unsigned));
        let altered = Err(TrustError::Altered {
            key: Box::new(key(1).public()),
        });
        let of_another = signed(1, b"another", 5);
        for trust in [trusting, BundleTrust::Everyone] {
            assert_eq!(trust.check(b"new", Some(&of_another)), altered);
        }
        // What is in use is verified like every other.
        let in_use = trust(accepted(b"new", 5));
        assert_eq!(check(in_use, &of_another), altered);
    }

    #[test]
    fn a_lab_accepts_unsigned_and_foreign_bundles() {
        let lab = BundleTrust::Everyone;
        assert_eq!(lab.check(b"new", None), Ok(()));
        assert_eq!(lab.check(b"new", Some(&signed(9, b"new", 1))), Ok(()));
    }

    #[test]
    fn versions_do_not_fall() {
        for (version, expected) in [
            (6, Ok(())),
            (5, Ok(())),
            (
                4,
                Err(TrustError::Older {
                    version: 4,
                    accepted: 5,
                }),
            ),
        ] {
            let trusting = trust(accepted(b"old", 5));
            assert_eq!(check(trusting, &signed(1, b"new", version)), expected);
        }
    }

    #[test]
    fn an_expired_bundle_stays_in_use_but_is_not_accepted() {
        let expired = TrustError::Expired {
            expires: "2027-12-01T00:00:00Z".into(),
            now: EXPIRES,
        };
        let unknown = TrustError::DateUnknown {
            expires: "2027-12-01T00:00:00Z".into(),
        };
        for (now, error) in [(Some(EXPIRES), expired), (None, unknown)] {
            let at = |accepted| TrustedKeys {
                now,
                ..trust(accepted)
            };
            let signature = signed(1, b"new", 5);
            assert_eq!(check(at(Accepted::Nothing), &signature), Err(error.clone()));
            assert_eq!(check(at(accepted(b"old", 4)), &signature), Err(error));
            // In use, whatever its version.
            assert_eq!(check(at(accepted(b"new", 6)), &signature), Ok(()));
            assert_eq!(check(at(Accepted::Unknown), &signature), Ok(()));
        }
        let foreign = check(trust(accepted(b"new", 5)), &signed(3, b"new", 5));
        assert!(matches!(foreign, Err(TrustError::Foreign { .. })));
        let foreign = check(trust(Accepted::Unknown), &signed(3, b"new", 5));
        assert!(matches!(foreign, Err(TrustError::Foreign { .. })));
    }
}
