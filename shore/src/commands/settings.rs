//! `flukewatch-shore settings`

use super::error::CommandError;
use super::offer::boats_with_certificates;
use clap::Args;
use flukewatch_common::boat_settings::{Setting, SettingKey, SettingsReport};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::api::SettingsJson;
use flukewatch_shore::authority::Authority;
use flukewatch_shore::boat_settings::{SentSettings, SettingsChange, SettingsFolder, has_failed};
use flukewatch_shore::store::{SqliteStore, Store, StoreError};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = after_help())]
pub(crate) struct SettingsArgs {
    /// Settings to send; without any, and without --from and --clear, list what was sent
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Name of a boat; repeatable
    #[arg(long = "boat", value_name = "NAME")]
    boats: Vec<BoatId>,
    /// Every boat with a valid certificate
    #[arg(long)]
    all: bool,
    /// Send what this file holds, and nothing of what was sent before
    ///
    /// A TOML file with sections and keys like those of a boat's edge.toml, e.g. [detector] threshold = 0.4.
    #[arg(long, value_name = "FILE.toml", conflicts_with_all = ["settings", "clear"])]
    from: Option<PathBuf>,
    /// Return to the boat's own file for everything that was sent before
    #[arg(long)]
    clear: bool,
    /// Print the list as JSON
    #[arg(long, conflicts_with_all = ["settings", "from", "clear"])]
    json: bool,
}

fn after_help() -> String {
    let mut help = "\
What is sent replaces values of the boat's file until it is cleared. Keys that are not named keep
what was sent before, unless the boat has rejected it or rolled it back. The boat tries new settings
for some minutes, and returns by itself to those before where its program fails with them.

Examples:
  flukewatch-shore settings --data station --boat balaena detector.threshold=0.4 clip.days=14
      find more flukes, and keep clips for two weeks
  flukewatch-shore settings --data station --all --from summer.toml
      send the settings of a file to all boats
  flukewatch-shore settings --data station --boat balaena --clear
      return to the boat's own file
  flukewatch-shore settings --data station
      list what was sent, and what became of it

Keys:
"
    .to_owned();
    for key in SettingKey::ALL {
        help += &format!("  {:31}  {}\n", key.as_str(), key.expected());
    }
    help += "\
See the boat's edge.example.toml for what they mean. Broker, identity, cameras, page and paths
cannot be set from shore.";
    help
}

/// What a boat was sent last, and what it has reported.
#[derive(Serialize)]
struct BoatSettingsJson {
    boat: String,
    #[serde(flatten)]
    settings: SettingsJson,
}

pub(crate) fn run(args: SettingsArgs) -> Result<ExitCode, CommandError> {
    let reports = reports(&args.data)?;
    if args.settings.is_empty() && args.from.is_none() && !args.clear {
        let mut only = BTreeSet::from_iter(args.boats);
        if args.all {
            only.clear();
        }
        return list(&args.data, &reports, &only, args.json);
    }
    let change = match &args.from {
        Some(file) => SettingsChange::from_file(file)?,
        None => SettingsChange {
            clear: args.clear,
            settings: args.settings,
        },
    };
    let now = SystemClock.now();
    let authority = Authority::open(&args.data)?;
    let mut boats = BTreeSet::from_iter(args.boats);
    if args.all {
        let certified = boats_with_certificates(authority.as_ref(), &args.data, now)?;
        boats.extend(certified);
    }
    if boats.is_empty() {
        return Err(CommandError::NoBoats);
    }
    let folder = SettingsFolder::in_data(&args.data);
    let lock = folder.lock()?;
    let mut out = io::stdout().lock();
    for boat in boats {
        let certified = authority.as_ref().map(|a| a.boat_key(&boat, now).is_some());
        if certified == Some(false) {
            eprintln!(
                "flukewatch-shore: warning: boat {boat} has no valid certificate; run 'flukewatch-shore provision {boat}'"
            );
        }
        let last = folder.read(&boat).unwrap_or_else(|error| {
            eprintln!("flukewatch-shore: warning: {error}");
            None
        });
        let reported = reports.get(&boat);
        let failed = last.as_ref().filter(|last| has_failed(last, reported));
        if let Some(last) = failed.filter(|_| !change.clear) {
            let revision = last.revision;
            eprintln!(
                "flukewatch-shore: warning: boat {boat} does not use revision {revision}; its values are left out"
            );
        }
        let sent = change.next(boat, last.as_ref(), reported, now);
        // A key may have been given twice.
        let sent = SentSettings {
            settings: sent.message().validate()?,
            ..sent
        };
        folder.write(&lock, &sent)?;
        let SentSettings { boat, revision, .. } = &sent;
        writeln!(
            out,
            "{boat}: sent revision {revision}: {}",
            values(&sent.values())
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn values(values: &[String]) -> String {
    if values.is_empty() {
        "all values of the boat's file".to_owned()
    } else {
        values.join(", ")
    }
}

/// What each boat has reported.
fn reports(data: &Path) -> Result<BTreeMap<BoatId, SettingsReport>, CommandError> {
    let boats = match SqliteStore::open_read_only(data) {
        Ok(store) => store.boats()?,
        // The station has not been started yet.
        Err(StoreError::NoData(_)) if data.is_dir() => vec![],
        Err(error) => return Err(error.into()),
    };
    let reported = boats.into_iter().filter_map(|boat| {
        let settings = boat.last_report?.condition.settings?;
        Some((boat.boat, settings))
    });
    Ok(reported.collect())
}

/// Lists the boats of `only`, or all.
fn list(
    data: &Path,
    reports: &BTreeMap<BoatId, SettingsReport>,
    only: &BTreeSet<BoatId>,
    json: bool,
) -> Result<ExitCode, CommandError> {
    let mut sent = BTreeMap::new();
    for one in SettingsFolder::in_data(data).all()? {
        match one {
            Ok(one) => {
                sent.insert(one.boat.clone(), one);
            }
            Err(error) => eprintln!("flukewatch-shore: warning: {error}"),
        }
    }
    let boats: BTreeSet<&BoatId> = sent.keys().chain(reports.keys()).collect();
    let boats = boats
        .into_iter()
        .filter(|boat| only.is_empty() || only.contains(*boat));
    let rows = boats.filter_map(|boat| {
        let settings = SettingsJson::new(sent.get(boat), reports.get(boat))?;
        Some(BoatSettingsJson {
            boat: boat.to_string(),
            settings,
        })
    });
    let rows: Vec<BoatSettingsJson> = rows.collect();
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &rows)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:32}  {:>8}  {:24}  {:11}  {:>6}  values, reason",
        "boat", "revision", "sent (UTC)", "progress", "in use"
    )?;
    for row in &rows {
        writeln!(out, "{}", line(row))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(row: &BoatSettingsJson) -> String {
    let BoatSettingsJson { boat, settings } = row;
    let in_use = match settings.in_use {
        None => "-".to_owned(),
        Some(0) => "file".to_owned(),
        Some(revision) => revision.to_string(),
    };
    let mut text = settings.values.as_deref().map_or("-".to_owned(), values);
    if let Some(reason) = &settings.reason {
        text += &format!("; {reason}");
    }
    format!(
        "{boat:32}  {:>8}  {:24}  {:11}  {in_use:>6}  {text}",
        settings.revision,
        settings.sent_at.as_deref().unwrap_or("-"),
        settings.progress,
    )
}
