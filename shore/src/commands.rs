//! What the subcommands do.

use crate::Serve;
use flukewatch_shore::pages::api::{BoatJson, SightingJson};
use flukewatch_shore::serve::{self, BrokerChoice, Reference, ServeError, Settings};
use flukewatch_shore::store::sqlite::SqliteStore;
use flukewatch_shore::store::{Query, Store, StoreError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal;

/// `gaps` found something missing.
const MISSING: u8 = 4;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("output failed: {0}")]
    Output(#[from] io::Error),
    #[error("output failed: {0}")]
    Json(#[from] serde_json::Error),
}

/// Runs a station until it is told to stop.
pub(crate) fn serve(told: Serve) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        open_to_others("the pages", "--http", told.http);
        let broker = match told.broker {
            Some(url) => BrokerChoice::Outside(url),
            None => {
                open_to_others("the broker", "--mqtt", told.mqtt);
                BrokerChoice::Embedded(told.mqtt)
            }
        };
        let mut settings = Settings::new(told.data, told.http, broker);
        settings.reference = told
            .bundle
            .zip(told.photos)
            .map(|(bundle, photos)| Reference { bundle, photos });
        let running = serve::start(settings).await?;
        let mqtt = match running.mqtt() {
            Some(address) => address.to_string(),
            None => running
                .broker()
                .to_string()
                .trim_start_matches("mqtt://")
                .to_owned(),
        };
        let ready = serde_json::json!({ "http": running.http().to_string(), "mqtt": mqtt });
        writeln!(io::stdout(), "{ready}")?;
        io::stdout().flush()?;
        tracing::info!(
            "pages at http://{}, boats publish to {}",
            running.http(),
            running.broker()
        );
        until_told().await?;
        tracing::info!("stopping");
        running.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn open_to_others(what: &str, option: &str, address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(
            "{what} ({option} {address}) can be reached from other machines, without a password"
        );
    }
}

async fn until_told() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            pressed = signal::ctrl_c() => pressed,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}

/// Lists what is missing.
pub(crate) fn gaps(data: &Path, json: bool) -> Result<ExitCode, CommandError> {
    let boats = SqliteStore::look(data)?.boats()?;
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(
            &mut out,
            &boats.iter().map(BoatJson::from).collect::<Vec<_>>(),
        )?;
        writeln!(out)?;
    } else if boats.is_empty() {
        writeln!(out, "no boat has been heard")?;
    } else {
        for b in &boats {
            let ranges = b.gaps.iter().map(|g| {
                if g.first == g.last {
                    g.first.to_string()
                } else {
                    format!("{}-{}", g.first, g.last)
                }
            });
            let ranges: Vec<String> = ranges.collect();
            let missing = if ranges.is_empty() {
                "nothing".to_owned()
            } else {
                format!("{} ({})", b.missing, ranges.join(", "))
            };
            writeln!(
                out,
                "{}: {} sightings up to number {}, missing {missing}, last heard {}",
                b.boat, b.sightings, b.highest_sequence, b.last_seen
            )?;
        }
    }
    Ok(if boats.iter().any(|b| b.missing > 0) {
        ExitCode::from(MISSING)
    } else {
        ExitCode::SUCCESS
    })
}

/// Lists sightings.
pub(crate) fn list(data: &Path, json: bool, limit: u64) -> Result<ExitCode, CommandError> {
    let listing = SqliteStore::look(data)?.sightings(&Query {
        limit,
        ..Query::default()
    })?;
    let sightings: Vec<SightingJson> = listing.sightings.iter().map(SightingJson::from).collect();
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &sightings)?;
        writeln!(out)?;
    } else {
        writeln!(
            out,
            "{:24}  {:16}  {:>6}  {:7}  {:20}  {:>5}  picture",
            "started (UTC)", "boat", "number", "verdict", "whale", "score"
        )?;
        for s in &sightings {
            let whale = s.whale.as_deref().unwrap_or("-");
            let score = s
                .score
                .map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
            writeln!(
                out,
                "{:24}  {:16}  {:>6}  {:7}  {:20}  {:>5}  {}",
                s.started, s.boat, s.sequence, s.verdict, whale, score, s.picture
            )?;
        }
        writeln!(out, "{} of {} sightings", sightings.len(), listing.total)?;
    }
    Ok(ExitCode::SUCCESS)
}
