//! The list of certificates.

use super::error::AuthorityError;
use super::serial::Serial;
use super::server_name::ServerName;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::PublicKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

const VERSION: u32 = 1;

/// The largest file that is read, in bytes: some 50,000 certificates.
const MAX_BYTES: u64 = 16 << 20;

/// A boat's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoatCertificate {
    /// The boat.
    pub boat: BoatId,
    /// Its key, which also verifies its messages.
    pub public_key: PublicKey,
    /// The number that the revocation list names it by.
    pub serial: Serial,
    /// When it was made.
    #[serde(with = "rfc3339")]
    pub issued: Timestamp,
    /// When it expires.
    #[serde(with = "rfc3339")]
    pub expires: Timestamp,
    /// When it was revoked; `None` where it was not.
    #[serde(with = "rfc3339::option")]
    pub revoked: Option<Timestamp>,
}

impl BoatCertificate {
    /// Whether the certificate identifies its boat at `now`.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.expires
    }
}

/// All that the authority has issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Registry {
    version: u32,
    /// When the certificates of authority, station and broker expire.
    #[serde(with = "rfc3339")]
    pub(super) authority_expires: Timestamp,
    /// The number of the last revocation list.
    pub(super) revocation_list: u64,
    /// What the broker's certificate names.
    pub(super) server_names: BTreeSet<ServerName>,
    /// In the order in which they were made.
    pub(super) certificates: Vec<BoatCertificate>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Registry {
    /// That of an authority without boats.
    pub(super) fn new(authority_expires: Timestamp) -> Self {
        Self {
            version: VERSION,
            authority_expires,
            revocation_list: 0,
            server_names: BTreeSet::new(),
            certificates: vec![],
        }
    }

    /// Reads and checks a registry.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or was written by a newer program.
    pub(super) fn read(file: &Path) -> Result<Self, AuthorityError> {
        let read_error = || AuthorityError::io("read", file);
        let mut bytes = vec![];
        let opened = File::open(file).map_err(read_error())?;
        opened
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(read_error())?;
        let damaged = |problem: String| AuthorityError::Damaged {
            file: file.to_owned(),
            problem,
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(damaged(format!("it has more than {MAX_BYTES} bytes")));
        }
        let parse_error = |error: serde_json::Error| damaged(error.to_string());
        let Version { version } = serde_json::from_slice(&bytes).map_err(parse_error)?;
        if version > VERSION {
            return Err(AuthorityError::Newer {
                file: file.to_owned(),
                version,
            });
        }
        let registry: Self = serde_json::from_slice(&bytes).map_err(parse_error)?;
        registry.check().map_err(damaged)?;
        Ok(registry)
    }

    fn check(&self) -> Result<(), String> {
        let mut serials = BTreeSet::new();
        let mut current = BTreeSet::new();
        for certificate in &self.certificates {
            if !serials.insert(certificate.serial) {
                return Err(format!("serial {} occurs twice", certificate.serial));
            }
            if certificate.revoked.is_none() && !current.insert(&certificate.boat) {
                let boat = &certificate.boat;
                return Err(format!("{boat} has two certificates that are not revoked"));
            }
        }
        Ok(())
    }

    /// Writes the registry.
    ///
    /// # Errors
    /// When the file cannot be written; it is then unchanged.
    pub(super) fn write(&self, file: &Path) -> Result<(), AuthorityError> {
        let damaged = |error: serde_json::Error| AuthorityError::Damaged {
            file: file.to_owned(),
            problem: error.to_string(),
        };
        let mut json = serde_json::to_vec_pretty(self).map_err(damaged)?;
        json.push(b'\n');
        write_atomically(file, &json).map_err(AuthorityError::io("write", file))
    }

    /// The boat's certificate that is not revoked, if it has one.
    pub(super) fn current(&self, boat: &BoatId) -> Option<&BoatCertificate> {
        let mut newest_first = self.certificates.iter().rev();
        newest_first.find(|c| c.boat == *boat && c.revoked.is_none())
    }

    /// Revokes the boat's current certificate. Returns whether it had one.
    pub(super) fn revoke(&mut self, boat: &BoatId, now: Timestamp) -> bool {
        let mut revoked = false;
        for certificate in &mut self.certificates {
            if certificate.boat == *boat && certificate.revoked.is_none() {
                certificate.revoked = Some(now);
                revoked = true;
            }
        }
        revoked
    }
}

/// Timestamps as text in UTC.
mod rfc3339 {
    use flukewatch_common::clock::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        parse(&String::deserialize(from)?)
    }

    fn parse<E: de::Error>(text: &str) -> Result<Timestamp, E> {
        let time: jiff::Timestamp = text.parse().map_err(E::custom)?;
        Ok(Timestamp(time.as_millisecond()))
    }

    pub(super) mod option {
        use super::{Deserialize, Deserializer, Serializer, Timestamp};

        pub(in super::super) fn serialize<S: Serializer>(
            time: &Option<Timestamp>,
            to: S,
        ) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => to.collect_str(time),
                None => to.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            from: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(from)?;
            text.as_deref().map(super::parse).transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_trust::SigningKey;

    fn certificate(boat: &str, serial: u8) -> BoatCertificate {
        BoatCertificate {
            boat: boat.parse().unwrap(),
            public_key: SigningKey::from_seed([serial; 32]).public(),
            serial: format!("{serial:032x}").parse().unwrap(),
            issued: Timestamp(1_795_450_800_123),
            expires: Timestamp(1_895_450_800_000),
            revoked: None,
        }
    }

    #[test]
    fn a_registry_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("certificates.json");
        let mut registry = Registry::new(Timestamp(2_000_000_000_000));
        registry.server_names.insert("shore.local".parse().unwrap());
        let revoked = BoatCertificate {
            revoked: Some(Timestamp(1_795_450_900_000)),
            ..certificate("balaena", 1)
        };
        registry.certificates = vec![revoked, certificate("balaena", 2), certificate("orca", 3)];
        registry.write(&file).unwrap();
        assert_eq!(Registry::read(&file).unwrap(), registry);
        let balaena = "balaena".parse().unwrap();
        assert_eq!(registry.current(&balaena), Some(&registry.certificates[1]));
        assert!(registry.revoke(&balaena, Timestamp(0)));
        assert_eq!(registry.current(&balaena), None);
        assert!(!registry.revoke(&balaena, Timestamp(0)));
    }

    #[test]
    fn a_certificate_is_valid_until_it_expires_or_is_revoked() {
        let mut certificate = certificate("balaena", 1);
        assert!(certificate.is_valid(certificate.issued));
        assert!(!certificate.is_valid(certificate.expires));
        certificate.revoked = Some(certificate.expires);
        assert!(!certificate.is_valid(certificate.issued));
    }

    #[test]
    fn a_damaged_registry_names_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("certificates.json");
        let mut registry = Registry::new(Timestamp(2_000_000_000_000));
        registry.certificates = vec![certificate("balaena", 1)];
        let good = serde_json::to_string(&registry).unwrap();
        let two_current = {
            let mut registry = registry.clone();
            registry.certificates.push(certificate("balaena", 2));
            serde_json::to_string(&registry).unwrap()
        };
        let one_serial = {
            let mut registry = registry.clone();
            registry.certificates.push(certificate("orca", 1));
            serde_json::to_string(&registry).unwrap()
        };
        for bad in [
            String::new(),
            good[..good.len() / 2].to_owned(),
            good.replace("balaena", "../balaena"),
            good.replace("ed25519:", "rsa:"),
            good.replace("2026-", "2026/"),
            good.replace("000000000001", "01"),
            two_current,
            one_serial,
            "[".repeat(100_000),
        ] {
            std::fs::write(&file, &bad).unwrap();
            let error = Registry::read(&file).unwrap_err();
            assert!(matches!(error, AuthorityError::Damaged { .. }), "{error}");
            assert!(error.to_string().contains(file.to_str().unwrap()));
        }
        std::fs::write(&file, [0xff; 100]).unwrap();
        let error = Registry::read(&file).unwrap_err();
        assert!(matches!(error, AuthorityError::Damaged { .. }), "{error}");
        std::fs::write(&file, r#"{"version":2,"boats":[]}"#).unwrap();
        let error = Registry::read(&file).unwrap_err();
        assert!(
            matches!(error, AuthorityError::Newer { version: 2, .. }),
            "{error}"
        );
    }
}
