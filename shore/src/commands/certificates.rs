//! `flukewatch-shore certificates`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock, Timestamp};
use flukewatch_shore::authority::{Authority, AuthorityError, BoatCertificate};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct CertificatesArgs {
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &CertificatesArgs) -> Result<ExitCode, CommandError> {
    let authority = Authority::open(&args.data)?
        .ok_or_else(|| AuthorityError::NoAuthority(args.data.clone()))?;
    let certificates = authority.certificates()?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &certificates)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemClock.now();
    writeln!(
        out,
        "{:32}  {:7}  {:24}  {:24}  serial",
        "boat", "state", "issued (UTC)", "expires (UTC)"
    )?;
    for certificate in &certificates {
        writeln!(
            out,
            "{:32}  {:7}  {:24}  {:24}  {}",
            certificate.boat.as_str(),
            state(certificate, now),
            certificate.issued.to_string(),
            certificate.expires.to_string(),
            certificate.serial
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn state(certificate: &BoatCertificate, now: Timestamp) -> &'static str {
    if certificate.revoked.is_some() {
        "revoked"
    } else if certificate.is_valid(now) {
        "valid"
    } else {
        "expired"
    }
}
