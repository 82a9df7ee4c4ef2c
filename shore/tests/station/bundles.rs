//! Bundles over the air, from the command line of the station to a boat.

use crate::browse::get;
use crate::bundle_boat::{BundleBoat, FromStation, run, run_ok};
use crate::fixtures::{Boat, sample, start_station, wait_until};
use crate::sample_bundle::{bundle, sign};
use flukewatch_common::bundle::delivery::Delivery;
use flukewatch_common::bundle::{BundleHead, BundleTrust};
use flukewatch_common::bundle_transfer::{ContentId, ContentRequest, MAX_PIECE, TransferProgress};
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{Settings, TlsFiles};
use flukewatch_shore::station::{BrokerConfig, ExternalBrokers, Station, StationConfig};
use flukewatch_shore::store::TransferStage;
use flukewatch_test_support::mosquitto::Mosquitto;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A signed bundle in `folder`.
fn signed(folder: &Path, name: &str, version: u64) -> PathBuf {
    let path = folder.join(format!("{name}.flukebundle"));
    bundle(name).save(&path).unwrap();
    sign(&path, version);
    path
}

async fn offer(data: &Path, bundle: &Path, boat: &str) -> String {
    let arguments = ["offer", bundle.to_str().unwrap(), "--boat", boat];
    run_ok(&arguments, data).await
}

fn stage(station: &Station) -> Option<TransferStage> {
    let transfers = station.store().last_transfers().unwrap();
    transfers.first().map(|transfer| transfer.stage)
}

async fn wait_for(station: &Station, expected: TransferStage) {
    wait_until("the report is stored", || stage(station) == Some(expected)).await;
}

fn rejected(station: &Station, reason: &str) -> u64 {
    let counts = station.store().rejected_counts().unwrap();
    let count = counts.iter().find(|count| count.reason == reason);
    count.map_or(0, |count| count.total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boat_receives_a_bundle_and_reports_what_becomes_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = signed(folder.path(), "azores", 7);
    let station = start_station(&data).await;
    let http = station.http_address();
    let printed = offer(&data, &path, "balaena").await;
    assert!(
        printed.starts_with("balaena: offered azores, version 7, at most 15"),
        "{printed}"
    );
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    let offered = boat.offer().await;
    drop(boat);
    // The broker retains it.
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    assert_eq!(boat.next().await, FromStation::Offer(offered.clone(), true));

    let manifest_bytes = u64::from(offered.manifest_bytes);
    let manifest = boat
        .download(offered.id, offered.manifest, manifest_bytes)
        .await;
    let head = BundleHead::from_bytes(&path, manifest, Some(&offered.signature)).unwrap();
    let aboard = folder.path().join("aboard");
    let delivery = Delivery::begin(&aboard, head, &BundleTrust::Everyone).unwrap();
    for missing in delivery.missing().unwrap() {
        let content: ContentId = missing.sha256.parse().unwrap();
        let bytes = boat.download(offered.id, content, missing.bytes).await;
        delivery.receive(&missing.sha256, 0, &bytes).unwrap();
    }
    let received = delivery
        .assemble(&folder.path().join("received"), &BundleTrust::Everyone)
        .unwrap();
    assert_eq!(received.id(), bundle("azores").id());
    assert_eq!(received.signature().unwrap().version(), 7);

    let receiving = TransferProgress::Receiving {
        received: 1500,
        total: 6000,
    };
    boat.report(offered.id, 1000, receiving).await;
    wait_for(&station, TransferStage::Receiving).await;
    let transfers = &get(http, "/api/v1/boats").await.json()[0]["bundle_transfers"];
    let transfer = &transfers[0];
    assert_eq!(transfers.as_array().unwrap().len(), 1);
    assert_eq!(transfer["offer"], offered.id.to_string());
    assert_eq!(transfer["name"], "azores");
    assert_eq!(transfer["version"], 7);
    assert_eq!(transfer["manifest_sha256"], offered.manifest.to_string());
    assert_eq!(transfer["progress"], "receiving");
    assert_eq!(transfer["received_bytes"], 1500);
    assert_eq!(transfer["total_bytes"], 6000);
    assert_eq!(transfer["boat_time"], "1970-01-01T00:00:01.000Z");
    assert_eq!(transfer["withdrawn_at"], serde_json::Value::Null);
    let page = get(http, "/boats").await.text();
    for expected in [
        "azores, version 7",
        "receiving since 20",
        "<progress max=\"6000\" value=\"1500\"",
        "2 kB of 6 kB received (25 %)",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }

    boat.report(offered.id, 2000, TransferProgress::Testing)
        .await;
    boat.report(offered.id, 3000, TransferProgress::OnTrial)
        .await;
    wait_for(&station, TransferStage::OnTrial).await;
    let page = get(http, "/boats").await.text();
    assert!(page.contains("on trial since 20"), "{page}");
    assert!(!page.contains("<progress"), "{page}");

    // The offer stands until the boat has dealt with it.
    boat.report(offered.id, 4000, TransferProgress::Active)
        .await;
    boat.expect_cleared().await;
    assert_eq!(stage(&station), Some(TransferStage::Active));
    let transfer = &get(http, "/api/v1/boats").await.json()[0]["bundle_transfers"][0];
    assert_eq!(transfer["progress"], "active");
    assert_eq!(transfer["received_bytes"], 6000);
    let page = get(http, "/boats").await.text();
    assert!(page.contains("active since 20"), "{page}");
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    boat.expect_nothing().await;
    assert!(!data.join("offers/balaena.json").exists());
    let listed = run_ok(&["offers", "--json"], &data).await;
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed[0]["boat"], &listed[0]["progress"]),
        (&"balaena".into(), &"active".into())
    );

    // What is stale is answered so, and cleared once more.
    boat.send(&boat.request(offered.id, offered.manifest, 0))
        .await;
    let mut answers = [boat.next().await, boat.next().await];
    answers.sort_by_key(|answer| *answer == FromStation::OfferCleared);
    assert!(
        matches!(&answers[0], FromStation::Piece(piece) if piece.piece.is_none()),
        "{answers:?}"
    );
    assert_eq!(answers[1], FromStation::OfferCleared);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_bundle_says_why_and_can_be_offered_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = signed(folder.path(), "azores", 7);
    let station = start_station(&data).await;
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    offer(&data, &path, "balaena").await;
    let first = boat.offer().await;
    let reason = "self-test failed: <b>golden</b> 3 of 8".to_owned();
    boat.report(first.id, 1, TransferProgress::Rejected { reason })
        .await;
    boat.expect_cleared().await;
    let page = get(station.http_address(), "/boats").await.text();
    assert!(page.contains("rejected 20"), "{page}");
    assert!(
        page.contains("self-test failed: &#60;b&#62;golden&#60;/b&#62; 3 of 8"),
        "{page}"
    );
    let listed = run_ok(&["offers"], &data).await;
    assert!(
        listed.contains("rejected") && listed.contains("self-test failed"),
        "{listed}"
    );

    offer(&data, &path, "balaena").await;
    let second = boat.offer().await;
    assert_eq!(second.manifest, first.manifest);
    assert_ne!(second.id, first.id);
    // Withdrawn while the station runs.
    run_ok(&["withdraw", "balaena"], &data).await;
    boat.expect_cleared().await;
    let page = get(station.http_address(), "/boats").await.text();
    assert!(page.contains("withdrawn 20"), "{page}");
    let boats = get(station.http_address(), "/api/v1/boats").await.json();
    let progress = |index: usize| boats[0]["bundle_transfers"][index]["progress"].clone();
    assert_eq!(
        (progress(0), progress(1)),
        ("offered".into(), "rejected".into())
    );
    let again = run(&["withdraw", "balaena"], &data).await;
    assert_eq!(again.status.code(), Some(1));
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_read_nothing_and_disturb_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = signed(folder.path(), "azores", 7);
    let other = signed(folder.path(), "madeira", 1);
    let station = start_station(&data).await;
    offer(&data, &path, "balaena").await;
    offer(&data, &other, "mysticeta").await;
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    let mine = boat.offer().await;
    let mut neighbour = BundleBoat::connect_to(&station, 0, "mysticeta").await;
    let theirs = neighbour.offer().await;

    // Not its offer, not of its bundle, or not there.
    let good = boat.request(mine.id, mine.manifest, 0);
    let lock = ContentId::of(b"lock");
    for hostile in [
        boat.request(theirs.id, theirs.manifest, 0),
        boat.request(theirs.id, mine.manifest, 0),
        boat.request(Uuid::nil(), mine.manifest, 0),
        boat.request(mine.id, theirs.manifest, 0),
        boat.request(mine.id, lock, 0),
        boat.request(mine.id, mine.manifest, u64::from(mine.manifest_bytes)),
        boat.request(mine.id, mine.manifest, u64::MAX),
        ContentRequest {
            max_bytes: 0,
            ..good.clone()
        },
    ] {
        assert_eq!(boat.ask(&hostile).await, None, "{hostile:?}");
    }
    let model = bundle("azores").manifest.parts["model"].clone();
    let greedy = ContentRequest {
        max_bytes: u32::MAX,
        ..boat.request(mine.id, model.sha256.parse().unwrap(), 0)
    };
    let piece = boat.ask(&greedy).await.unwrap();
    assert_eq!(piece, vec![7; MAX_PIECE as usize]);

    // What is not a request of this boat is recorded, and not answered.
    let of_neighbour = ContentRequest {
        boat: neighbour.name.clone(),
        ..boat.request(theirs.id, theirs.manifest, 0)
    };
    boat.send(&of_neighbour).await;
    wait_until("it is recorded", || rejected(&station, "wrong_boat") == 1).await;
    let request = wire::encode(&good).unwrap();
    boat.publish(request[..request.len() - 1].to_vec()).await;
    boat.publish([&request[..], &[0; 999]].concat()).await;
    wait_until("both are recorded", || rejected(&station, "corrupt") == 2).await;
    boat.publish(b"noise".to_vec()).await;
    wait_until("it is recorded", || {
        rejected(&station, "unknown_format") == 1
    })
    .await;
    let impossible = TransferProgress::Receiving {
        received: 2,
        total: 1,
    };
    boat.report(mine.id, 0, impossible).await;
    wait_until("it is recorded", || rejected(&station, "invalid") == 1).await;
    let page = get(station.http_address(), "/api/v1/rejected").await.text();
    assert!(page.contains("flukewatch/v1/balaena/request"), "{page}");

    // Reports on offers to others, and on none, change nothing.
    boat.report(theirs.id, 0, TransferProgress::Active).await;
    boat.report(Uuid::nil(), 0, TransferProgress::Active).await;
    // Far more at a time than is answered delays no sighting.
    let mut sending = Boat::connect_to(&station, "balaena").await;
    for _ in 0..300 {
        let request = wire::encode(&greedy).unwrap();
        sending.send(&topic::of_requests(&boat.name), request).await;
    }
    let (sighting, _) = sample::sighting("balaena", 1);
    sending.send_sighting(&sighting).await;
    sending.expect_acks(1).await;
    let content = neighbour
        .download(theirs.id, theirs.manifest, theirs.manifest_bytes.into())
        .await;
    assert_eq!(ContentId::of(&content), theirs.manifest);
    let transfers = station.store().last_transfers().unwrap();
    assert!(transfers.iter().all(|t| t.stage == TransferStage::Offered));
    station.shutdown().await;
}

/// Starts a station on these brokers, perhaps as one of a group.
async fn start_on(brokers: &[&Mosquitto], data: &Path, group: Option<&str>) -> Station {
    let urls = brokers.iter().map(|broker| broker.url().parse().unwrap());
    let broker = BrokerConfig::External(ExternalBrokers {
        urls: urls.collect(),
        tls: TlsFiles::default(),
        group: group.map(str::to_owned),
        accept_unsigned: true,
    });
    let any = "127.0.0.1:0".parse().unwrap();
    let station = Station::start(StationConfig::new(data.to_owned(), any, broker));
    station.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_stands_on_each_broker_and_ends_on_each() {
    let brokers = (Mosquitto::start(""), Mosquitto::start(""));
    let (Some(first), Some(second)) = brokers else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = signed(folder.path(), "azores", 7);
    let station = start_on(&[&first, &second], &data, None).await;
    offer(&data, &path, "balaena").await;
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    let offered = boat.offer().await;
    let mut elsewhere = BundleBoat::connect_to(&station, 1, "balaena").await;
    assert_eq!(elsewhere.offer().await, offered);
    // It is answered on the broker that the request came from.
    let bytes = offered.manifest_bytes.into();
    elsewhere
        .download(offered.id, offered.manifest, bytes)
        .await;
    elsewhere
        .report(offered.id, 1, TransferProgress::Active)
        .await;
    elsewhere.expect_cleared().await;
    boat.expect_cleared().await;
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_was_withdrawn_while_the_station_was_off_ends_at_its_start() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = signed(folder.path(), "azores", 7);
    let station = start_on(&[&broker], &data, None).await;
    offer(&data, &path, "balaena").await;
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    let offered = boat.offer().await;
    station.shutdown().await;
    run_ok(&["withdraw", "balaena"], &data).await;
    let listed = run_ok(&["offers"], &data).await;
    assert!(listed.contains("withdrawn"), "{listed}");
    drop(boat);

    let settings = Settings::new(broker.url().parse().unwrap(), "bundles-balaena");
    let mut boat = BundleBoat::connect("balaena", settings, None).await;
    assert_eq!(boat.next().await, FromStation::Offer(offered, true));
    let station = start_on(&[&broker], &data, None).await;
    boat.expect_cleared().await;
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    boat.expect_nothing().await;
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_made_again_where_the_broker_has_lost_it() {
    let Some(mut broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = signed(folder.path(), "azores", 7);
    let station = start_on(&[&broker], &data, None).await;
    offer(&data, &path, "balaena").await;
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    let offered = boat.offer().await;
    broker.kill();
    broker.restart();
    let mut boat = BundleBoat::connect_to(&station, 0, "balaena").await;
    assert_eq!(boat.offer().await, offered);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stations_that_share_a_broker_answer_for_their_own_offers_only() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = ["first", "second"].map(|name| folder.path().join(name));
    let path = signed(folder.path(), "azores", 7);
    let group = Some("stations");
    let first = start_on(&[&broker], &data[0], group).await;
    let second = start_on(&[&broker], &data[1], group).await;
    offer(&data[0], &path, "balaena").await;
    let mut boat = BundleBoat::connect_to(&first, 0, "balaena").await;
    let offered = boat.offer().await;
    // Each answer is a piece, and none says that the offer is unknown.
    let model = bundle("azores").manifest.parts["model"].clone();
    let content = model.sha256.parse().unwrap();
    boat.download(offered.id, content, model.bytes).await;
    boat.report(offered.id, 1, TransferProgress::Active).await;
    boat.expect_cleared().await;
    assert_eq!(stage(&first), Some(TransferStage::Active));
    assert_eq!(stage(&second), None);
    boat.expect_nothing().await;
    first.shutdown().await;
    second.shutdown().await;
}
