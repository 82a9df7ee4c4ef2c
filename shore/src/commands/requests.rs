//! `flukewatch-shore requests`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_shore::api::FileRequestJson;
use flukewatch_shore::store::{SqliteStore, Store};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use uuid::Uuid;

#[derive(Args)]
#[command(after_help = "\
Examples:
  flukewatch-shore requests --data station
  flukewatch-shore requests --data station --cancel 01936e2a-7c00-7000-8000-000000000001")]
pub(crate) struct RequestsArgs {
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Cancel this request, and delete what has arrived
    #[arg(long, value_name = "ID")]
    cancel: Option<Uuid>,
    /// Print JSON like GET /api/v1/requests
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RequestsArgs) -> Result<ExitCode, CommandError> {
    let mut out = io::stdout().lock();
    if let Some(id) = args.cancel {
        let store = SqliteStore::open_shared(&args.data)?;
        if !store.cancel_file_request(id, SystemClock.now())? {
            return Err(CommandError::NotRequested(id));
        }
        writeln!(out, "{id}: cancelled")?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = SqliteStore::open_read_only(&args.data)?.file_requests(None)?;
    let all: Vec<FileRequestJson> = all.iter().map(FileRequestJson::from).collect();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &all)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:36}  {:24}  {:16}  {:36}  {:5}  {:>23}  {:11}  reason",
        "request", "requested (UTC)", "boat", "sighting", "file", "received bytes", "progress"
    )?;
    for request in &all {
        writeln!(out, "{}", line(request))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(request: &FileRequestJson) -> String {
    let received = match request.total_bytes {
        Some(total) => format!("{} of {total}", request.received_bytes),
        None => "-".to_owned(),
    };
    format!(
        "{:36}  {:24}  {:16}  {:36}  {:5}  {received:>23}  {:11}  {}",
        request.id,
        request.requested_at,
        request.boat,
        request.sighting,
        request.file,
        request.progress,
        request.reason.as_deref().unwrap_or("-")
    )
}
