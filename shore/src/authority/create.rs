//! Creates an authority.

use super::error::AuthorityError;
use super::files::{AuthorityFiles, create_private_folder};
use super::issuer::Issuer;
use super::registry::Registry;
use super::serial::Serial;
use super::validity::Validity;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::clock::Timestamp;
use flukewatch_trust::SigningKey;
use rand::CryptoRng;
use std::fs;
use std::path::Path;

/// Creates the authority of a data folder: complete, or not at all. Where another process is faster, its
/// authority stays.
///
/// # Errors
/// When the folder cannot be written, or the clock was never set.
pub(super) fn create(
    data: &Path,
    random: &mut impl CryptoRng,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let validity = Validity::of_authority(now)?;
    let unfinished = data.join(format!("authority.{}.new", std::process::id()));
    let created = create_in(
        &AuthorityFiles::in_folder(unfinished.clone()),
        random,
        validity,
    );
    let files = AuthorityFiles::in_data(data);
    let result = created.and_then(|()| {
        fs::rename(&unfinished, files.folder())
            .and_then(|()| fs::File::open(data)?.sync_all())
            .map_err(AuthorityError::io("create", files.folder()))
    });
    if result.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&unfinished);
        if files.registry().is_file() {
            return Ok(());
        }
    }
    result
}

fn create_in(
    files: &AuthorityFiles,
    random: &mut impl CryptoRng,
    validity: Validity,
) -> Result<(), AuthorityError> {
    let folder = files.folder();
    // What a process of the same id left behind.
    let _ = fs::remove_dir_all(folder);
    create_private_folder(folder).map_err(AuthorityError::io("create", folder))?;
    let boats = folder.join("boats");
    create_private_folder(&boats).map_err(AuthorityError::io("create", &boats))?;

    let ca_key = random_key(random);
    ca_key.create_file(&files.ca_key())?;
    let certificate = Issuer::ca_certificate(&ca_key, Serial::random(random), validity)?;
    write_certificate(&files.ca_certificate(), &certificate)?;

    let issuer = Issuer::new(&ca_key)?;
    let (station, station_key) = (files.station(), random_key(random));
    station_key.create_file(&station.key)?;
    let certificate = issuer.station(&station_key, Serial::random(random), validity)?;
    write_certificate(&station.certificate, &certificate)?;
    // Its certificate is made when the names of the broker are known.
    random_key(random).create_file(&files.server().key)?;

    let registry = Registry::new(validity.until);
    let list = issuer.revocation_list(&registry)?;
    write_certificate(&files.revocation_list(), &list)?;
    registry.write(&files.registry())
}

/// A new key.
pub(super) fn random_key(random: &mut impl CryptoRng) -> SigningKey {
    let mut seed = [0; 32];
    random.fill_bytes(&mut seed);
    SigningKey::from_seed(seed)
}

/// Writes a certificate or revocation list.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_certificate(file: &Path, pem: &str) -> Result<(), AuthorityError> {
    write_atomically(file, pem.as_bytes()).map_err(AuthorityError::io("write", file))
}
