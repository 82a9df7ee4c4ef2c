//! `flukewatch-shore offer`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock, Timestamp};
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::authority::{Authority, AuthorityError};
use flukewatch_shore::bundles::{BundlesError, Library, Offer, OfferFolder, Signing};
use flukewatch_shore::random::system_random;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = "\
Example:
  flukewatch sign azores.flukebundle --key publisher.key
  flukewatch-shore offer azores.flukebundle --data station --boat balaena
      boat 'balaena' requests what it lacks of the bundle, as its link permits
  flukewatch-shore offers --data station
      show how far it is")]
pub(crate) struct OfferArgs {
    /// Bundle: a folder or a .flukebundle file, signed with 'flukewatch sign'
    bundle: PathBuf,
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Name of a boat that is offered the bundle; repeatable
    #[arg(long = "boat", value_name = "NAME", required_unless_present = "all")]
    boats: Vec<BoatId>,
    /// Offer it to every boat with a valid certificate
    #[arg(long)]
    all: bool,
    /// Accept a bundle that is not signed, for a lab
    ///
    /// Boats with trusted_keys reject it.
    #[arg(long)]
    allow_unsigned: bool,
}

pub(crate) fn run(args: OfferArgs) -> Result<ExitCode, CommandError> {
    let now = SystemClock.now();
    let mut random = system_random()?;
    let authority = Authority::open(&args.data)?;
    let mut boats = BTreeSet::from_iter(args.boats);
    if args.all {
        boats.extend(boats_with_certificates(
            authority.as_ref(),
            &args.data,
            now,
        )?);
    }
    if boats.is_empty() {
        return Err(CommandError::NoBoats);
    }
    let folder = OfferFolder::in_data(&args.data);
    let library = Library::in_data(&args.data);
    let lock = folder.lock()?;
    let signing = if args.allow_unsigned {
        Signing::Optional
    } else {
        Signing::Required
    };
    let (bundle, signature) = library.add(&args.bundle, signing, now)?;
    if let Some(signature) = signature.as_ref().filter(|s| s.is_expired(now)) {
        let expires = signature.expires_text();
        eprintln!(
            "flukewatch-shore: warning: the bundle's signature expired at {expires}; boats with trusted_keys reject it"
        );
    }
    let version = match &signature {
        Some(signature) => format!("version {}", signature.version()),
        None => "not signed".to_owned(),
    };
    let mut out = io::stdout().lock();
    for boat in boats {
        let certified = authority.as_ref().map(|a| a.boat_key(&boat, now).is_some());
        if certified == Some(false) {
            eprintln!(
                "flukewatch-shore: warning: boat {boat} has no valid certificate; run 'flukewatch-shore provision {boat}'"
            );
        }
        let offer = Offer::new(boat, &bundle, signature.clone(), &mut random, now);
        let valid = offer.message(&bundle).validate();
        valid.map_err(|source| BundlesError::Offer {
            path: args.bundle.clone(),
            source,
        })?;
        folder.write(&lock, &offer)?;
        let (boat, name, bytes) = (&offer.boat, bundle.name(), bundle.bytes());
        writeln!(
            out,
            "{boat}: offered {name}, {version}, at most {bytes} bytes"
        )?;
    }
    prune(&folder, &library);
    Ok(ExitCode::SUCCESS)
}

/// The boats with a valid certificate.
pub(super) fn boats_with_certificates(
    authority: Option<&Authority>,
    data: &Path,
    now: Timestamp,
) -> Result<Vec<BoatId>, CommandError> {
    let authority = authority.ok_or_else(|| AuthorityError::NoAuthority(data.to_owned()))?;
    let certificates = authority.certificates()?.into_iter();
    let valid = certificates.filter(|certificate| certificate.is_valid(now));
    Ok(valid.map(|certificate| certificate.boat).collect())
}

/// Deletes bundles that are not needed any more. That it fails does not undo what was done.
pub(super) fn prune(folder: &OfferFolder, library: &Library) {
    let pruned = folder
        .manifests()
        .and_then(|offered| library.prune(&offered));
    if let Err(error) = pruned {
        eprintln!("flukewatch-shore: warning: old bundles are kept: {error}");
    }
}
