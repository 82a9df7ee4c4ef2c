//! `flukewatch-shore withdraw`

use super::error::CommandError;
use super::offer::prune;
use clap::Args;
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::bundles::{Library, OfferFolder};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct WithdrawArgs {
    /// Name of the boat
    boat: BoatId,
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

pub(crate) fn run(args: &WithdrawArgs) -> Result<ExitCode, CommandError> {
    let folder = OfferFolder::in_data(&args.data);
    let lock = folder.lock()?;
    folder.remove(&lock, &args.boat)?;
    prune(&folder, &Library::in_data(&args.data));
    writeln!(io::stdout(), "{}: offer withdrawn", args.boat)?;
    Ok(ExitCode::SUCCESS)
}
