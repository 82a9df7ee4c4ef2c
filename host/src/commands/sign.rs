//! `flukewatch sign`: sign a bundle for boats.

use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::{self, BundleHead, MAX_VERSION, SignatureTerms};
use flukewatch_common::clock::{Clock, SystemClock, Timestamp};
use flukewatch_trust::SigningKey;
use std::path::PathBuf;

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// Sign a bundle, so that boats that trust the key use it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch sign azores.flukebundle --key publisher.key
  flukewatch sign azores.flukebundle --key publisher.key --days 90
  flukewatch sign azores.flukebundle --key publisher.key --version 12

Every part is verified first. A signature replaces an earlier one; the bundle's id stays the same. Sign last: enroll, calibrate and every \
other command that changes a bundle leave out its signature.

A boat does not go back from a higher version to a lower one. Without --version it is the time in seconds, so that a bundle signed later is a \
newer one. After --days a boat still uses the bundle that it has, with a warning, but does not accept it as a new one.

Exit codes: 0 success; 1 failure.")]
pub(crate) struct SignArgs {
    /// Bundle to sign, a folder or a .flukebundle file; it is replaced atomically
    bundle: PathBuf,
    /// Private key, as made by flukewatch keygen
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Version, which must rise [default: the time in seconds since 1970, or one more than that of the
    /// bundle's signature]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MAX_VERSION))]
    version: Option<u64>,
    /// For how many days boats accept it
    #[arg(long, value_name = "DAYS", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Write JSON: id, version, expires, key
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &SignArgs) -> anyhow::Result<()> {
    let key = SigningKey::read_file(&args.key)?;
    let head = BundleHead::read(&args.bundle)?;
    let terms = terms(
        SystemClock.now(),
        args.days,
        args.version,
        head.signature().map(|s| s.version()),
    )?;
    let signature = bundle::sign(&args.bundle, &key, terms)?;
    let id = head.id();
    let expires = signature.expires_text();
    if args.json {
        let signed = serde_json::json!({
            "id": id,
            "version": signature.version(),
            "expires": expires,
            "key": signature.key(),
        });
        println!("{}", serde_json::to_string_pretty(&signed)?);
    } else {
        println!(
            "signed {} (bundle {id}): version {}, expires {expires}, key {}",
            args.bundle.display(),
            signature.version(),
            signature.key()
        );
    }
    Ok(())
}

/// What is signed at `now`, where the bundle was signed before with the version `earlier`.
fn terms(
    now: Timestamp,
    days: u32,
    version: Option<u64>,
    earlier: Option<u64>,
) -> anyhow::Result<SignatureTerms> {
    let seconds = now.0.div_euclid(1000);
    let default = || -> anyhow::Result<u64> {
        let time = u64::try_from(seconds).context("the computer's clock is before 1970: set it")?;
        Ok(time.max(earlier.map_or(0, |earlier| earlier + 1)))
    };
    Ok(SignatureTerms {
        version: version.map_or_else(default, Ok)?,
        expires: Timestamp(seconds * 1000).plus_millis(i64::from(days) * DAY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_450_800_789);

    #[test]
    fn versions_rise_by_themselves() {
        let version = |version, earlier| terms(NOW, 1, version, earlier).unwrap().version;
        assert_eq!(version(None, None), 1_795_450_800);
        assert_eq!(version(None, Some(7)), 1_795_450_800);
        assert_eq!(version(None, Some(1_795_450_800)), 1_795_450_801);
        assert_eq!(version(None, Some(9_000_000_000)), 9_000_000_001);
        assert_eq!(version(Some(3), Some(7)), 3);
    }

    #[test]
    fn it_expires_in_whole_seconds_after_so_many_days() {
        let terms = terms(NOW, 400, None, None).unwrap();
        assert_eq!(terms.expires.to_string(), "2027-12-28T16:20:00.000Z");
    }
}
