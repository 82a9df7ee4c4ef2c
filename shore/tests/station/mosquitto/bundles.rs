//! Bundles over a broker with certificates: offers, requests and pieces are signed end to end.

use super::fixture::{any_port, identity};
use crate::bundle_boat::{BundleBoat, Keys, run, run_ok};
use crate::fixtures::wait_until;
use crate::sample_bundle::{bundle, sign};
use flukewatch_common::bundle_transfer::TransferProgress;
use flukewatch_common::wire;
use flukewatch_mqtt::{Settings, TlsFiles};
use flukewatch_shore::authority::{self, Authority};
use flukewatch_shore::station::{
    BrokerConfig, MosquittoConfig, Station, StationConfig, StationError,
};
use flukewatch_shore::store::TransferStage;
use flukewatch_trust::{PublicKey, Purpose, SigningKey, seal};
use std::path::Path;

/// A station with mosquitto; `None` where that is not installed.
async fn start(data: &Path) -> Option<Station> {
    let config = BrokerConfig::Mosquitto(MosquittoConfig {
        address: any_port(),
        server_names: vec![],
        program: None,
    });
    match Station::start(StationConfig::new(data.to_owned(), any_port(), config)).await {
        Err(StationError::Mosquitto(error)) => {
            eprintln!("skipped: {error}");
            None
        }
        started => Some(started.unwrap()),
    }
}

async fn connect(station: &Station, name: &str, files: &authority::TlsFiles) -> BundleBoat {
    let settings = Settings {
        tls: TlsFiles {
            ca: Some(files.ca.clone()),
            certificate: Some(files.certificate.clone()),
            key: Some(files.key.clone()),
        },
        ..Settings::new(station.brokers()[0].url.clone(), name)
    };
    let keys = Keys {
        boat: SigningKey::read_file(&files.key).unwrap(),
        station: PublicKey::read_file(&files.key.with_file_name("station.pub")).unwrap(),
    };
    BundleBoat::connect(name, settings, Some(keys)).await
}

fn unauthenticated(station: &Station) -> u64 {
    let counts = station.store().rejected_counts().unwrap();
    let count = counts.iter().find(|c| c.reason == "unauthenticated");
    count.map_or(0, |c| c.total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_travels_signed_to_every_boat_with_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = folder.path().join("azores.flukebundle");
    bundle("azores").save(&path).unwrap();
    sign(&path, 7);
    let Some(station) = start(&data).await else {
        return;
    };
    let bundle = path.to_str().unwrap();
    let without_boats = run(&["offer", bundle, "--all"], &data).await;
    assert_eq!(without_boats.status.code(), Some(1));
    let authority = Authority::open(&data).unwrap().unwrap();
    let files = ["balaena", "mysticeta"].map(|boat| identity(&authority, folder.path(), boat));
    let printed = run_ok(&["offer", bundle, "--all"], &data).await;
    let boats: Vec<&str> = printed
        .lines()
        .filter_map(|l| l.split(':').next())
        .collect();
    assert_eq!(boats, ["balaena", "mysticeta"]);
    let unknown = run(&["offer", bundle, "--boat", "orca"], &data).await;
    assert!(unknown.status.success());
    let warning = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        warning.contains("orca has no valid certificate"),
        "{warning}"
    );

    let mut boat = connect(&station, "balaena", &files[0]).await;
    let offered = boat.offer().await;
    let bytes = offered.manifest_bytes.into();
    boat.download(offered.id, offered.manifest, bytes).await;

    // What the boat has not signed is recorded, and not answered.
    let request = wire::encode(&boat.request(offered.id, offered.manifest, 0)).unwrap();
    let other = SigningKey::read_file(&files[1].key).unwrap();
    let forged = [
        request.clone(),
        seal(&other, Purpose::BoatMessage, &request),
        seal(&other, Purpose::StationMessage, &request),
    ];
    for (sent, message) in (1..).zip(forged) {
        boat.publish(message).await;
        wait_until("it is recorded", || unauthenticated(&station) == sent).await;
    }
    boat.expect_nothing().await;

    let mut neighbour = connect(&station, "mysticeta", &files[1]).await;
    let theirs = neighbour.offer().await;
    assert_ne!(theirs.id, offered.id);
    boat.report(offered.id, 5, TransferProgress::Active).await;
    boat.expect_cleared().await;
    let transfers = station.store().last_transfers().unwrap();
    let stages: Vec<TransferStage> = transfers.iter().map(|t| t.stage).collect();
    let (active, open) = (TransferStage::Active, TransferStage::Offered);
    assert_eq!(stages, [active, open, open]);
    neighbour
        .download(theirs.id, theirs.manifest, theirs.manifest_bytes.into())
        .await;
    station.shutdown().await;
}
