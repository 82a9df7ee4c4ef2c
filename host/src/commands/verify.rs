//! `flukewatch verify`: who signed a bundle.

use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::{
    Accepted, Bundle, BundleError, BundleHead, BundleTrust, TrustError, TrustedKeys,
};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_trust::PublicKey;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Verify who signed a bundle, and that nothing was altered since.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch verify azores.flukebundle --trusted publisher.key.pub
  flukewatch verify azores.flukebundle --trusted ed25519:...

Verifies the signature and the SHA-256 of every part. Without --trusted it shows who signed the bundle, and accepts every key: compare it with \
the publisher's. Whether a boat has used a newer one, the boat says: flukewatch-edge trust.

Exit codes: 0 valid; 1 the bundle cannot be read or is damaged; 3 not signed, altered, signed by another key, or expired.")]
pub(crate) struct VerifyArgs {
    /// Bundle, a folder or a .flukebundle file
    bundle: PathBuf,
    /// Key that may have signed it, or a file with one (repeatable) [default: any]
    #[arg(long, value_name = "KEY|FILE")]
    trusted: Vec<String>,
    /// Write JSON: id, valid, error, version, expires, key
    #[arg(long)]
    json: bool,
}

/// Exit code if the bundle should not be used.
const INVALID: u8 = 3;

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let path = &args.bundle;
    let head = BundleHead::read(path)?;
    let keys = if args.trusted.is_empty() {
        head.signature().map(|s| *s.key()).into_iter().collect()
    } else {
        let keys = args.trusted.iter().map(|key| read_key(key));
        keys.collect::<anyhow::Result<_>>()?
    };
    let trust = BundleTrust::Keys(TrustedKeys {
        keys,
        now: Some(SystemClock.now()),
        accepted: Accepted::Nothing,
    });
    let error = reason(Bundle::open_trusted(path, &trust))?;
    let signature = head.signature();
    if args.json {
        let verified = serde_json::json!({
            "id": head.id(),
            "valid": error.is_none(),
            "error": error.as_ref().map(ToString::to_string),
            "version": signature.map(|s| s.version()),
            "expires": signature.map(|s| s.expires_text()),
            "key": signature.map(|s| s.key()),
        });
        println!("{}", serde_json::to_string_pretty(&verified)?);
    } else {
        println!("bundle   {}", head.id());
        if let Some(signature) = signature {
            println!("version  {}", signature.version());
            println!("expires  {}", signature.expires_text());
            println!("key      {}", signature.key());
        }
        match &error {
            None if args.trusted.is_empty() => {
                println!("valid; whether the key is the publisher's is for you to compare")
            }
            None => println!("valid, by a trusted key"),
            Some(error) => println!("INVALID: {error}"),
        }
    }
    Ok(match error {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(INVALID),
    })
}

/// Why the bundle should not be used, if it can be opened otherwise.
fn reason(opened: Result<Bundle, BundleError>) -> anyhow::Result<Option<TrustError>> {
    match opened {
        Ok(_) => Ok(None),
        Err(BundleError::Untrusted { source, .. }) => Ok(Some(source)),
        Err(other) => Err(other.into()),
    }
}

/// A key, or the one in a file.
fn read_key(text: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = text.parse() {
        return Ok(key);
    }
    PublicKey::read_file(Path::new(text)).with_context(|| format!("--trusted {text}"))
}
