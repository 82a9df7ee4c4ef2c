//! `flukewatch-shore revoke`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::authority::{Authority, AuthorityError, Revocation};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct RevokeArgs {
    /// Name of the boat
    boat: BoatId,
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

pub(crate) fn run(args: &RevokeArgs) -> Result<ExitCode, CommandError> {
    let authority = Authority::open(&args.data)?
        .ok_or_else(|| AuthorityError::NoAuthority(args.data.clone()))?;
    let boat = &args.boat;
    match authority.revoke(boat, SystemClock.now())? {
        Revocation::Revoked => writeln!(
            io::stdout(),
            "{boat}: certificate revoked. A running station disconnects the boat within seconds."
        )?,
        Revocation::AlreadyRevoked => {
            writeln!(io::stdout(), "{boat}: certificate was revoked already.")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
