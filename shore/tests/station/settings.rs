//! Settings of boats, from the command's file to the broker, the page and the API.

use crate::browse::get;
use crate::fixtures::{Boat, TIMEOUT, start_station, wait_until};
use flukewatch_common::boat_settings::{BoatSettings, Setting, SettingsReport};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::status_report::StatusReport;
use flukewatch_common::{samples, topic, wire};
use flukewatch_shore::boat_settings::{SentSettings, SettingsFolder};
use flukewatch_shore::station::Station;
use flukewatch_shore::store::Store;
use rumqttc_v4::{AsyncClient, Event, MqttOptions, Packet, QoS};
use std::path::Path;

/// Sends settings as the command does.
fn send(data: &Path, revision: u64, values: &[&str]) -> Vec<Setting> {
    let settings: Vec<Setting> = values.iter().map(|text| text.parse().unwrap()).collect();
    let folder = SettingsFolder::in_data(data);
    let sent = SentSettings {
        boat: samples::boat(),
        revision,
        sent_at: Timestamp(1_795_450_800_000),
        settings: settings.clone(),
    };
    folder.write(&folder.lock().unwrap(), &sent).unwrap();
    settings
}

/// The settings that a boat receives which subscribes now.
async fn received(station: &Station) -> BoatSettings {
    let broker = &station.brokers()[0].url;
    let options = MqttOptions::new("late", (&broker.host, broker.port));
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    let topic = topic::of_settings(&samples::boat());
    client.subscribe(topic, QoS::AtLeastOnce).await.unwrap();
    loop {
        let event = tokio::time::timeout(TIMEOUT, events.poll()).await.unwrap();
        if let Event::Incoming(Packet::Publish(message)) = event.unwrap() {
            return wire::decode(&message.payload).unwrap();
        }
    }
}

fn reported(store: &dyn Store) -> Option<SettingsReport> {
    let boat = store.boats().unwrap().pop()?;
    boat.last_report?.condition.settings
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_retained_for_the_boat_and_shown_with_what_it_reports() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let settings = send(data.path(), 3, &["clip.days=14", "uplink.link=vsat"]);
    let message = received(&station).await;
    assert_eq!((message.revision, message.validate()), (3, Ok(settings)));

    let boat = Boat::connect_to(&station, "balaena").await;
    let mut report: StatusReport = samples::status_report();
    report.condition.as_mut().unwrap().settings = Some(samples::settings_report());
    let status = topic::of_status(&boat.name);
    boat.send(&status, wire::encode(&report).unwrap()).await;
    let store = station.store().clone();
    wait_until("the report is stored", || {
        reported(store.as_ref()) == Some(samples::settings_report())
    })
    .await;
    let http = station.http_address();
    let page = get(http, "/boats").await.text();
    for expected in [
        "<span class=\"severity critical\">revision 3 rolled back</span>",
        "a stage restarted 3 times",
        "clip.days=14",
        "sent 2026-11-23 16:20:00",
        "in use: revision 2",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let shown = get(http, "/api/v1/boats").await.json()[0]["settings"].clone();
    let values = serde_json::json!(["clip.days=14", "uplink.link=vsat"]);
    assert_eq!(
        (&shown["progress"], &shown["values"]),
        (&"rolled_back".into(), &values)
    );
    assert_eq!(
        (&shown["revision"], &shown["in_use"]),
        (&3.into(), &2.into())
    );

    // Another message follows: the boat has not reported on it yet.
    send(data.path(), 4, &[]);
    while received(&station).await.revision < 4 {}
    let shown = get(http, "/api/v1/boats").await.json()[0]["settings"].clone();
    assert_eq!(
        (&shown["progress"], &shown["in_use"]),
        (&"sent".into(), &2.into())
    );
    assert_eq!(shown["reason"], serde_json::Value::Null);
    let page = get(http, "/boats").await.text();
    assert!(page.contains("revision 4 sent, not reported"), "{page}");
    drop(store);
    station.shutdown().await;
}
