//! `flukewatch-shore missing`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_shore::api::BoatJson;
use flukewatch_shore::boat_settings::SettingsFolder;
use flukewatch_shore::store::{BoatStatus, Gap, SqliteStore, Store};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code if sightings are missing.
const MISSING: u8 = 4;

#[derive(Args)]
pub(crate) struct MissingArgs {
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON like GET /api/v1/boats
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &MissingArgs) -> Result<ExitCode, CommandError> {
    let boats = SqliteStore::open_read_only(&args.data)?.boats()?;
    let mut out = io::stdout().lock();
    if args.json {
        let now = SystemClock.now();
        let folder = SettingsFolder::in_data(&args.data);
        let json = |boat: &BoatStatus| -> Result<BoatJson, CommandError> {
            let sent = folder.read(&boat.boat)?;
            Ok(BoatJson::new(boat, sent.as_ref(), now))
        };
        let boats: Vec<BoatJson> = boats.iter().map(json).collect::<Result<_, _>>()?;
        serde_json::to_writer_pretty(&mut out, &boats)?;
        writeln!(out)?;
    } else if boats.is_empty() {
        writeln!(out, "no boats")?;
    } else {
        for boat in &boats {
            writeln!(out, "{}", line(boat))?;
        }
    }
    Ok(if boats.iter().any(|b| b.missing > 0) {
        ExitCode::from(MISSING)
    } else {
        ExitCode::SUCCESS
    })
}

fn line(boat: &BoatStatus) -> String {
    let missing = if boat.gaps.is_empty() {
        "none".to_owned()
    } else {
        format!("{} ({})", boat.missing, ranges(&boat.gaps))
    };
    let mut text = format!(
        "{}: {} sightings, last sequence {}, missing {missing}, last seen {}",
        boat.boat, boat.sightings, boat.last_sequence, boat.last_seen
    );
    if !boat.repeated.is_empty() {
        let (count, numbers) = (boat.duplicate_sequences, ranges(&boat.repeated));
        text +=
            &format!("\n  repeated {count} ({numbers}): several sightings have the same number");
    }
    if boat.outboxes > 1 {
        let outboxes = boat.outboxes;
        text += &format!(
            "\n  {outboxes} outboxes: the boat replaced a lost or damaged one, and numbers start at 1 in each"
        );
    }
    if boat.duplicates_in_outbox > 0 {
        let count = boat.duplicates_in_outbox;
        text += &format!(
            "\n  {count} repeated in one outbox: two computers had this boat's name, or an outbox was copied; rename one"
        );
    }
    text
}

fn ranges(gaps: &[Gap]) -> String {
    let ranges: Vec<String> = gaps.iter().map(range).collect();
    ranges.join(", ")
}

fn range(gap: &Gap) -> String {
    if gap.first == gap.last {
        gap.first.to_string()
    } else {
        format!("{}-{}", gap.first, gap.last)
    }
}
