//! `flukewatch-shore quarantine`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_shore::api::QuarantinedJson;
use flukewatch_shore::store::{SqliteStore, Store};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Args)]
#[command(after_help = "\
Examples:
  flukewatch-shore quarantine --data station
  flukewatch-shore quarantine --data station --release 01936e2a-7c00-7000-8000-000000000001")]
pub(crate) struct QuarantineArgs {
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Store this sighting like all others
    #[arg(long, value_name = "ID", conflicts_with = "delete")]
    release: Option<Uuid>,
    /// Delete this sighting
    #[arg(long, value_name = "ID")]
    delete: Option<Uuid>,
    /// Print JSON like GET /api/v1/quarantine
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &QuarantineArgs) -> Result<ExitCode, CommandError> {
    let mut out = io::stdout().lock();
    let change = args.release.or(args.delete);
    if let Some(id) = change {
        let store = SqliteStore::open_shared(&args.data)?;
        let (done, what) = if args.release.is_some() {
            let now = SystemClock.now();
            (store.release_quarantined(id, now)?, "released")
        } else {
            (store.delete_quarantined(id)?, "deleted")
        };
        if done == 0 {
            return Err(CommandError::NotInQuarantine(id));
        }
        writeln!(out, "{id}: {what}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = SqliteStore::open_read_only(&args.data)?.quarantine()?;
    let all: Vec<QuarantinedJson> = all.into_iter().map(QuarantinedJson::from).collect();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
    } else if all.is_empty() {
        writeln!(out, "nothing in quarantine")?;
    } else {
        for QuarantinedJson {
            sighting,
            revision,
            boat,
            reason,
            received,
        } in all
        {
            writeln!(
                out,
                "{received}  {boat}  {sighting}  revision {revision}: {reason}"
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
