//! `flukewatch-shore offers`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::api::BundleTransferJson;
use flukewatch_shore::bundles::{Library, OfferFolder};
use flukewatch_shore::store::{BundleTransfer, SqliteStore, Store, StoreError};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(crate) struct OffersArgs {
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The last offer to a boat.
#[derive(Serialize)]
struct OfferJson {
    boat: String,
    #[serde(flatten)]
    transfer: BundleTransferJson,
}

pub(crate) fn run(args: &OffersArgs) -> Result<ExitCode, CommandError> {
    let transfers = transfers(&args.data)?;
    let mut out = io::stdout().lock();
    if args.json {
        let offers: Vec<OfferJson> = transfers
            .values()
            .map(|transfer| OfferJson {
                boat: transfer.offer.boat.to_string(),
                transfer: transfer.into(),
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &offers)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "{:32}  {:20}  {:>7}  {:24}  {:>23}  {:11}  reason",
        "boat", "bundle", "version", "offered (UTC)", "received bytes", "progress"
    )?;
    for transfer in transfers.values() {
        writeln!(out, "{}", line(transfer))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line(transfer: &BundleTransfer) -> String {
    let offer = &transfer.offer;
    let version = offer.version.map(|version| version.to_string());
    let received = transfer
        .bytes
        .map(|bytes| format!("{} of {}", bytes.received, bytes.total));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let progress = if transfer.is_withdrawn() {
        "withdrawn"
    } else {
        transfer.stage.as_str()
    };
    format!(
        "{:32}  {:20}  {:>7}  {:24}  {:>23}  {progress:11}  {}",
        offer.boat.as_str(),
        offer.name,
        or_none(version),
        offer.offered_at.to_string(),
        or_none(received),
        or_none(transfer.reason.clone())
    )
}

/// The last offer to each boat: what a station has recorded, and what it has not noticed yet.
fn transfers(data: &Path) -> Result<BTreeMap<BoatId, BundleTransfer>, CommandError> {
    let recorded = match SqliteStore::open_read_only(data) {
        Ok(store) => store.last_transfers()?,
        // The station has not been started yet.
        Err(StoreError::NoData(_)) if data.is_dir() => vec![],
        Err(error) => return Err(error.into()),
    };
    let by_boat = recorded.into_iter().map(|t| (t.offer.boat.clone(), t));
    let mut transfers: BTreeMap<BoatId, BundleTransfer> = by_boat.collect();
    let library = Library::in_data(data);
    let mut standing = BTreeSet::new();
    for offer in OfferFolder::in_data(data).all()? {
        let opened = offer.and_then(|offer| Ok((library.open(offer.manifest)?, offer)));
        let (bundle, offer) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                eprintln!("flukewatch-shore: warning: {error}");
                continue;
            }
        };
        standing.insert(offer.id);
        let offer = offer.recorded(&bundle);
        let known = transfers.get(&offer.boat);
        if known.is_none_or(|known| known.offer.id != offer.id) {
            transfers.insert(offer.boat.clone(), BundleTransfer::new(offer));
        }
    }
    let now = SystemClock.now();
    for transfer in transfers.values_mut() {
        if transfer.is_open() && !standing.contains(&transfer.offer.id) {
            transfer.withdrawn_at = Some(now);
        }
    }
    Ok(transfers)
}
