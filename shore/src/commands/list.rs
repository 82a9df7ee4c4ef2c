//! `flukewatch-shore list`

use super::error::CommandError;
use clap::Args;
use flukewatch_shore::api::SightingJson;
use flukewatch_shore::store::{Query, SqliteStore, Store};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON like GET /api/v1/sightings
    #[arg(long)]
    json: bool,
    /// Maximum number of sightings
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: u64,
}

pub(crate) fn run(args: &ListArgs) -> Result<ExitCode, CommandError> {
    let listing = SqliteStore::open_read_only(&args.data)?.sightings(&Query {
        limit: args.limit,
        ..Query::default()
    })?;
    let sightings: Vec<SightingJson> = listing.sightings.iter().map(SightingJson::from).collect();
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &sightings)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:24}  {:16}  {:>8}  {:12}  {:20}  {:>5}  picture",
        "started (UTC)", "boat", "sequence", "verdict", "whale", "score"
    )?;
    for s in &sightings {
        let whale = s.whale.as_deref().unwrap_or("-");
        let score = s
            .score
            .map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
        writeln!(
            out,
            "{:24}  {:16}  {:>8}  {:12}  {:20}  {:>5}  {}",
            s.started, s.boat, s.sequence, s.verdict, whale, score, s.picture
        )?;
    }
    writeln!(out, "{} of {} sightings", sightings.len(), listing.total)?;
    Ok(ExitCode::SUCCESS)
}
