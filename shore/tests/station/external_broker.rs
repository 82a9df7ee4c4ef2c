//! An external broker: mosquitto, where it is installed.

use crate::fixtures::{Boat, sample, wait_until};
use flukewatch_mqtt::TlsFiles;
use flukewatch_shore::station::{BrokerConfig, ExternalBrokers, Station, StationConfig};
use flukewatch_shore::store::Query;
use flukewatch_test_support::mosquitto::Mosquitto;
use flukewatch_test_support::port;
use rumqttc_v4::{AsyncClient, MqttOptions, PublishOptions, QoS};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn ingest_reconnects_after_an_external_broker_restarts() {
    let Some(mut broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = broker.port();
    let station = start_external(port, folder.path()).await;
    assert!(station.health().is_connected() && station.mqtt_address().is_none());

    let (first, picture) = sample::sighting("balaena", 1);
    let mut boat = Boat::connect("127.0.0.1", port, "balaena").await;
    boat.send_sighting(&first).await;
    boat.send_picture(&picture).await;
    boat.expect_acks(2).await;

    broker.kill();
    let health = station.health().clone();
    wait_until("shore is disconnected", || !health.is_connected()).await;
    assert!(health.issue().unwrap().contains(&port.to_string()));
    broker.restart();
    wait_until("shore is reconnected", || health.is_connected()).await;

    let mut boat = Boat::connect("127.0.0.1", port, "balaena").await;
    boat.send_sighting(&first).await;
    boat.send_sighting(&sample::sighting("balaena", 2).0).await;
    boat.expect_acks(2).await;
    let listing = station
        .store()
        .sightings(&Query {
            limit: 10,
            ..Query::default()
        })
        .unwrap();
    assert_eq!(listing.total, 2);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_message_on_an_external_broker_disturbs_nothing() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = broker.port();
    let station = start_external(port, folder.path()).await;

    let mut options = MqttOptions::new("misbehaving", ("127.0.0.1", port));
    options.set_max_packet_size(4 << 20, 4 << 20);
    let (client, mut events) = AsyncClient::builder(options).capacity(4).build();
    let topic = "flukewatch/v1/balaena/sighting";
    client
        .publish(
            topic,
            vec![7; 2 << 20],
            PublishOptions::new(QoS::AtLeastOnce),
        )
        .await
        .unwrap();
    let sending = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    // With MQTT 5, the broker does not pass on what the station cannot receive.
    let mut boat = Boat::connect("127.0.0.1", port, "balaena").await;
    boat.send_sighting(&sample::sighting("balaena", 1).0).await;
    boat.expect_acks(1).await;
    sending.abort();
    assert!(station.health().is_connected());
    assert_eq!(station.store().rejected_counts().unwrap(), []);
    station.shutdown().await;
}

/// Starts a station on the broker at `port`.
async fn start_external(port: u16, folder: &Path) -> Station {
    let broker = BrokerConfig::External(ExternalBrokers {
        urls: vec![format!("mqtt://127.0.0.1:{port}").parse().unwrap()],
        tls: TlsFiles::default(),
        group: None,
        accept_unsigned: true,
    });
    Station::start(StationConfig::new(
        folder.join("data"),
        "127.0.0.1:0".parse().unwrap(),
        broker,
    ))
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_starts_without_its_broker_and_reports_the_issue() {
    let folder = tempfile::tempdir().unwrap();
    let port = port::free();
    let station = start_external(port, folder.path()).await;
    assert!(!station.health().is_connected());
    assert!(
        station
            .health()
            .issue()
            .unwrap()
            .contains("connection to broker")
    );
    station.shutdown().await;
}
