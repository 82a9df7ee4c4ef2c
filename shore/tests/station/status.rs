//! Status reports of boats, from the broker to the page.

use crate::browse::get;
use crate::fixtures::{Boat, TIMEOUT, start_station, wait_until};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::severity::Severity;
use flukewatch_common::status_report::StatusReport;
use flukewatch_common::{samples, topic, wire};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::station::Station;
use flukewatch_shore::store::{Contact, IncomingMessage, LastReport, SqliteStore, Store};
use rumqttc_v4::{AsyncClient, Event, LastWill, MqttOptions, Packet, PublishOptions, QoS};

fn last_will(report: &StatusReport) -> StatusReport {
    StatusReport {
        condition: None,
        ..report.clone()
    }
}

fn message(report: &StatusReport, retained: bool) -> IncomingMessage {
    let topic = topic::of_status(&report.boat);
    let mut message = validate(&topic, &wire::encode(report).unwrap());
    message.meta.retained = retained;
    message
}

/// A report of the connection with this number, made at `at`.
fn report(number: u32, at: i64) -> StatusReport {
    let mut report = samples::status_report();
    report.connection.number = number;
    let condition = report.condition.as_mut().unwrap();
    condition.at = Timestamp(at);
    condition.settings = Some(samples::settings_report());
    report
}

fn last_report(store: &dyn Store) -> Option<LastReport> {
    store.boats().unwrap().pop()?.last_report
}

#[test]
fn a_late_last_will_does_not_end_the_next_connection() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let accept = |report: &StatusReport, now: i64| {
        let batch = [message(report, false)];
        store.accept(&batch, Timestamp(now)).unwrap();
        last_report(&store).unwrap()
    };
    let (first, second) = (report(1, 1000), report(2, 2000));
    assert_eq!(accept(&first, 1100).offline_since, None);
    assert_eq!(
        accept(&last_will(&first), 1500).offline_since,
        Some(Timestamp(1500))
    );
    // Published twice, it ended once.
    assert_eq!(
        accept(&last_will(&first), 1600).offline_since,
        Some(Timestamp(1500))
    );
    let online = accept(&second, 2100);
    assert_eq!(online.offline_since, None);
    assert_eq!(Some(&online.condition), second.condition.as_ref());
    assert_eq!(accept(&last_will(&first), 2200), online);
    let boat = store.boats().unwrap().remove(0);
    assert_eq!(
        (boat.first_seen, boat.last_seen),
        (Timestamp(1100), Timestamp(2100)),
        "a last will is not a contact"
    );
}

#[test]
fn a_boat_times_out_without_reports() {
    let last = LastReport {
        received: Timestamp(0),
        offline_since: None,
        condition: samples::status_report().condition.unwrap(),
    };
    assert_eq!(last.contact(Timestamp(60_000)), Contact::Online);
    assert_eq!(last.contact(Timestamp(180_001)), Contact::TimedOut);
    let mut far_out = last.clone();
    far_out.condition.link = Some(samples::link_report());
    assert_eq!(far_out.contact(Timestamp(2_700_000)), Contact::Online);
    assert_eq!(far_out.contact(Timestamp(2_700_001)), Contact::TimedOut);
    let offline = LastReport {
        offline_since: Some(Timestamp(5)),
        ..last
    };
    assert_eq!(offline.contact(Timestamp(6)), Contact::Offline);
}

#[test]
fn a_retained_report_is_as_old_as_it_says() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let accept = |report: &StatusReport, retained: bool, now: i64| {
        let batch = [message(report, retained)];
        store.accept(&batch, Timestamp(now)).unwrap();
        last_report(&store)
    };
    let (first, second) = (report(1, 1000), report(2, 500_000));
    assert_eq!(accept(&last_will(&first), true, 5000), None);
    // Shore was off when the boat reported.
    let found = accept(&first, true, 900_000).unwrap();
    assert_eq!(found.received, Timestamp(1000));
    assert_eq!(found.contact(Timestamp(900_000)), Contact::TimedOut);
    // Shore received it, and connects again later.
    let found = accept(&second, false, 600_000).unwrap();
    assert_eq!(found.received, Timestamp(600_000));
    assert_eq!(accept(&second, true, 950_000).unwrap(), found);
    // The boat's connection ended meanwhile: it was connected when it reported.
    let found = accept(&last_will(&second), true, 990_000).unwrap();
    assert_eq!(found.offline_since, Some(Timestamp(600_000)));
    // A boat whose clock is ahead.
    let found = accept(&report(3, 9_999_999), true, 1_000_000).unwrap();
    assert_eq!(found.received, Timestamp(1_000_000));
}

/// Connects as a boat does, with `report`'s last will, and reports.
async fn connect_and_report(station: &Station, report: &StatusReport) -> rumqttc_v4::EventLoop {
    let broker = &station.brokers()[0].url;
    let mut options = MqttOptions::new("boat", (&broker.host, broker.port));
    let topic = topic::of_status(&report.boat);
    let will = wire::encode(&last_will(report)).unwrap();
    options.set_last_will(LastWill::new(&topic, will, QoS::AtLeastOnce, true));
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    let payload = wire::encode(report).unwrap();
    client
        .publish(
            topic,
            payload,
            PublishOptions::new(QoS::AtLeastOnce).retained(),
        )
        .await
        .unwrap();
    while !matches!(
        tokio::time::timeout(TIMEOUT, events.poll())
            .await
            .unwrap()
            .unwrap(),
        Event::Incoming(Packet::PubAck(_))
    ) {}
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_page_shows_the_status_until_the_boat_is_offline() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let report = samples::status_report();
    let connection = connect_and_report(&station, &report).await;
    let store = station.store().clone();
    wait_until("the report is stored", || {
        last_report(store.as_ref()).is_some()
    })
    .await;
    let http = station.http_address();
    let page = get(http, "/boats").await.text();
    for expected in [
        "<span class=\"severity warning\">warning</span>",
        "camera stern: no frames; restarting",
        "reported just now",
        "38.50000° N, 28.62500° W",
        "1 of 2 cameras searched",
        "7 messages pending, the oldest for 5 minutes",
        "version 0.1.0, bundle 0123456789ab",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let status = get(http, "/api/v1/boats").await.json()[0]["status"].clone();
    assert_eq!(
        (&status["contact"], &status["severity"], &status["latitude"]),
        (
            &"online".into(),
            &Severity::Warning.as_str().into(),
            &38.5.into()
        )
    );
    assert_eq!(
        (&status["pending_messages"], &status["cameras_searched"]),
        (&7.into(), &1.into())
    );
    assert_eq!(status["at"], "2026-11-23T16:20:00.000Z");

    drop(connection);
    wait_until("the boat is offline", || {
        last_report(store.as_ref()).unwrap().offline_since.is_some()
    })
    .await;
    let page = get(http, "/boats").await.text();
    assert!(
        page.contains("<span class=\"severity offline\">offline since 20"),
        "{page}"
    );
    let status = get(http, "/api/v1/boats").await.json()[0]["status"].clone();
    assert_eq!(status["contact"], "offline");
    assert!(status["offline_since"].is_string(), "{status}");

    // It reconnects, over a link with a budget.
    let mut again = report.clone();
    again.connection.number += 1;
    again.condition.as_mut().unwrap().link = Some(samples::link_report());
    let _connection = connect_and_report(&station, &again).await;
    wait_until("the boat is online", || {
        last_report(store.as_ref()).unwrap().offline_since.is_none()
    })
    .await;
    let page = get(http, "/boats").await.text();
    let expected = "link iridium: 19 kB of 30 kB left in this hour; 3 identities (2 kB) in about 4 minutes; \
                    40 sightings (80 kB) over another link; 40 pictures (2000 kB) over another link";
    assert!(page.contains(expected), "{page}");
    let link = get(http, "/api/v1/boats").await.json()[0]["status"]["link"].clone();
    assert_eq!(
        (&link["class"], &link["identities"]["seconds"]),
        (&"iridium".into(), &240.into())
    );
    assert_eq!(link["pictures"]["seconds"], serde_json::Value::Null);
    drop(store);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_report_is_listed_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let topic = topic::of_status(&boat.name);
    boat.send(&topic, b"noise".to_vec()).await;
    let mut report = samples::status_report();
    report.condition.as_mut().unwrap().problems = "<script>".repeat(99);
    boat.send(&topic, wire::encode(&report).unwrap()).await;
    let store = station.store().clone();
    wait_until("both are rejected", || {
        let counts = store.rejected_counts().unwrap();
        counts.iter().map(|c| c.total).sum::<u64>() == 2
    })
    .await;
    boat.expect_no_ack().await;
    assert_eq!(boat.expect_rejected(0).await, [], "a status has no answer");
    assert_eq!(last_report(store.as_ref()), None);
    drop(store);
    station.shutdown().await;
}
