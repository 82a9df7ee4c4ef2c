//! Makes certificates and the revocation list.

use super::error::AuthorityError;
use super::registry::Registry;
use super::serial::Serial;
use super::server_name::ServerName;
use super::validity::{STATION_NAME, Validity, date_time};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ED25519,
    RevokedCertParams, SanType, SerialNumber,
};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The name in the broker's certificate. A boat's name has neither capitals nor spaces.
const SERVER_NAME: &str = "Flukewatch broker";

/// What a certificate says, apart from whose key it is.
struct Subject<'a> {
    name: &'a str,
    serial: Serial,
    validity: Validity,
    usage: ExtendedKeyUsagePurpose,
}

/// The authority's key, ready to sign.
pub(super) struct Issuer {
    issuer: rcgen::Issuer<'static, KeyPair>,
}

impl Issuer {
    /// The issuer with this key.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(super) fn new(key: &SigningKey) -> Result<Self, AuthorityError> {
        let issuer = rcgen::Issuer::new(ca_params(key)?, key_pair(key)?);
        Ok(Self { issuer })
    }

    /// The authority's own certificate, in PEM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn ca_certificate(
        key: &SigningKey,
        serial: Serial,
        validity: Validity,
    ) -> Result<String, AuthorityError> {
        let mut params = ca_params(key)?;
        params.serial_number = Some(serial_number(serial));
        params.not_before = date_time(validity.from)?;
        params.not_after = date_time(validity.until)?;
        Ok(params.self_signed(&key_pair(key)?)?.pem())
    }

    /// The station's certificate, in PEM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn station(
        &self,
        key: &SigningKey,
        serial: Serial,
        validity: Validity,
    ) -> Result<String, AuthorityError> {
        let subject = Subject {
            name: STATION_NAME,
            serial,
            validity,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        };
        self.sign(key, subject, vec![])
    }

    /// A boat's certificate, in PEM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn boat(
        &self,
        boat: &BoatId,
        key: &SigningKey,
        serial: Serial,
        validity: Validity,
    ) -> Result<String, AuthorityError> {
        let subject = Subject {
            name: boat.as_str(),
            serial,
            validity,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        };
        self.sign(key, subject, vec![])
    }

    /// The broker's certificate, in PEM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn server(
        &self,
        names: &BTreeSet<ServerName>,
        key: &SigningKey,
        serial: Serial,
        validity: Validity,
    ) -> Result<String, AuthorityError> {
        let subject = Subject {
            name: SERVER_NAME,
            serial,
            validity,
            usage: ExtendedKeyUsagePurpose::ServerAuth,
        };
        let names: Result<Vec<SanType>, rcgen::Error> =
            names.iter().map(subject_alt_name).collect();
        self.sign(key, subject, names?)
    }

    fn sign(
        &self,
        key: &SigningKey,
        subject: Subject<'_>,
        names: Vec<SanType>,
    ) -> Result<String, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, subject.name);
        params.serial_number = Some(serial_number(subject.serial));
        params.not_before = date_time(subject.validity.from)?;
        params.not_after = date_time(subject.validity.until)?;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![subject.usage];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key_pair(key)?, &self.issuer)?;
        Ok(certificate.pem())
    }

    /// The list of revoked certificates, in PEM. It is valid as long as the authority: the broker rejects
    /// every boat after the list has expired, and it is made again at each change anyway.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn revocation_list(&self, registry: &Registry) -> Result<String, AuthorityError> {
        let revoked = registry.certificates.iter().filter_map(|certificate| {
            let revocation_time = date_time(certificate.revoked?);
            Some(revocation_time.map(|revocation_time| RevokedCertParams {
                serial_number: serial_number(certificate.serial),
                revocation_time,
                reason_code: None,
                invalidity_date: None,
            }))
        });
        let list = CertificateRevocationListParams {
            // Not the current time: a list from the future, made before the clock was set back, would lock
            // all boats out.
            this_update: date_time(Timestamp(0))?,
            next_update: date_time(registry.authority_expires)?,
            crl_number: SerialNumber::from(registry.revocation_list),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect::<Result<_, _>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

/// What the authority's certificate says, apart from serial number and dates. Made from the key, so that
/// the certificate need not be read to sign others.
fn ca_params(key: &SigningKey) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    // Different for each authority, so that one is not taken for the other.
    let id: String = key.public().to_bytes()[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Flukewatch authority {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn key_pair(key: &SigningKey) -> Result<KeyPair, AuthorityError> {
    Ok(KeyPair::from_pkcs8_pem_and_sign_algo(
        &key.to_pem(),
        &PKCS_ED25519,
    )?)
}

fn serial_number(serial: Serial) -> SerialNumber {
    SerialNumber::from_slice(serial.as_bytes())
}

fn subject_alt_name(name: &ServerName) -> Result<SanType, rcgen::Error> {
    Ok(match name.as_str().parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.as_str().try_into()?),
    })
}
