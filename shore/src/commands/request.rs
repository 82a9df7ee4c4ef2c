//! `flukewatch-shore request`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::file_transfer::{EncounterFile, MAX_FILE_BYTES};
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::random::{new_id, system_random};
use flukewatch_shore::store::{NewFileRequest, Query, RequestOutcome, SqliteStore, Store};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use uuid::Uuid;

const DAY_MILLIS: i64 = 24 * 3_600_000;

#[derive(Args)]
#[command(after_help = "\
Examples:
  flukewatch-shore request --boat balaena 01936e2a-7c00-7000-8000-000000000001 --clip --data station
      the clip of this sighting's encounter
  flukewatch-shore request --boat balaena 01936e2a-7c00-7000-8000-000000000001 --crops --data station
      all recorded crops in colour
  flukewatch-shore requests --data station
      show how far they are")]
#[command(group(clap::ArgGroup::new("file").required(true).args(["clip", "crops"])))]
pub(crate) struct RequestArgs {
    /// Id of the sighting
    sighting: Uuid,
    /// Name of the boat that reported it
    #[arg(long, value_name = "NAME")]
    boat: BoatId,
    /// Request the clip: the camera's own frames around the encounter
    #[arg(long)]
    clip: bool,
    /// Request the crops that were recorded, in colour
    #[arg(long)]
    crops: bool,
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Give up after so many days
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u16).range(1..=30))]
    days: u16,
    /// Take no larger file, in megabytes
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=1100))]
    max_megabytes: u16,
    /// Let the boat send it over Iridium, too, as far as its budget permits
    #[arg(long)]
    over_any_link: bool,
}

pub(crate) fn run(args: &RequestArgs) -> Result<ExitCode, CommandError> {
    let store = SqliteStore::open_shared(&args.data)?;
    let (boat, sighting) = (&args.boat, args.sighting);
    if !is_of_boat(&store, boat, sighting)? {
        let boat = boat.clone();
        return Err(CommandError::UnknownSighting { boat, sighting });
    }
    let file = match args.clip {
        true => EncounterFile::Clip,
        false => EncounterFile::Crops,
    };
    let now = SystemClock.now();
    let request = NewFileRequest {
        id: new_id(&mut system_random()?, now),
        boat: boat.clone(),
        sighting,
        file,
        max_bytes: (u64::from(args.max_megabytes) * 1_000_000).min(MAX_FILE_BYTES),
        expires_at: now.plus_millis(i64::from(args.days) * DAY_MILLIS),
        over_any_link: args.over_any_link,
    };
    let (id, file) = (request.id, file.as_str());
    let mut out = io::stdout().lock();
    match store.request_file(&request, now)? {
        RequestOutcome::Requested => {
            writeln!(out, "{boat}: {file} of {sighting} requested: {id}")?;
        }
        RequestOutcome::AlreadyOpen(id) => {
            writeln!(out, "{boat}: {file} of {sighting} requested before: {id}")?;
        }
        RequestOutcome::AlreadyReceived(id) => {
            writeln!(out, "{boat}: {file} of {sighting} received before: {id}")?;
        }
        RequestOutcome::TooManyOpen => {
            return Err(CommandError::TooManyRequests(boat.clone()));
        }
        RequestOutcome::TooManyBytes(bytes) => {
            let boat = boat.clone();
            return Err(CommandError::TooManyRequestedBytes { boat, bytes });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the boat has reported the sighting, perhaps in a brief so far.
fn is_of_boat(store: &SqliteStore, boat: &BoatId, sighting: Uuid) -> Result<bool, CommandError> {
    if let Some(stored) = store.sighting(sighting)? {
        return Ok(stored.sighting.boat == *boat);
    }
    let query = Query {
        boat: Some(boat.clone()),
        limit: u64::MAX,
        ..Query::default()
    };
    let briefs = store.briefs(&query)?;
    Ok(briefs.iter().any(|stored| stored.sighting == sighting))
}
