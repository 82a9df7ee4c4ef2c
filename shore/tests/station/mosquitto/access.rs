//! Which topics a boat can use.

use super::client::{Client, NOT_AUTHORIZED, Options};
use super::fixture::{Broker, options};
use flukewatch_common::wire::MAX_MESSAGE;
use flukewatch_trust::SEAL_BYTES;

const OWN: [&str; 7] = [
    "sighting", "picture", "brief", "chunk", "status", "presence", "request",
];
/// What only the station writes.
const OF_STATION: [&str; 4] = ["ack", "command", "offer", "content"];

#[test]
fn a_boat_writes_its_topics_and_reads_its_answers() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let balaena = broker.provision("balaena");
    let (mut station, mut boat) = (broker.connect_station(), broker.connect(&balaena));
    assert!(station.subscribe("flukewatch/v1/#").unwrap() < 0x80);
    for topic in OWN {
        let topic = format!("flukewatch/v1/balaena/{topic}");
        assert_eq!(
            boat.publish(&topic, b"from the boat").unwrap(),
            0,
            "{topic}"
        );
        assert_eq!(station.message(), (topic, b"from the boat".to_vec()));
    }
    for topic in OF_STATION.into_iter().chain(["presence"]) {
        let topic = format!("flukewatch/v1/balaena/{topic}");
        assert!(boat.subscribe(&topic).unwrap() < 0x80);
        assert_eq!(station.publish(&topic, b"to the boat").unwrap(), 0);
        assert_eq!(boat.message(), (topic, b"to the boat".to_vec()));
    }
}

#[test]
fn the_station_can_share_its_subscription_and_sees_the_last_status() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let mut boat = broker.connect(&broker.provision("balaena"));
    let status = "flukewatch/v1/balaena/status";
    assert!(boat.retain(status, b"well").unwrap() < 0x80);
    let mut station = broker.connect_station();
    assert!(station.subscribe("flukewatch/v1/+/status").unwrap() < 0x80);
    assert_eq!(station.message(), (status.into(), b"well".to_vec()));
    let shared = "$share/ingest/flukewatch/v1/+/sighting";
    assert!(station.subscribe(shared).unwrap() < 0x80);
    let sighting = "flukewatch/v1/balaena/sighting";
    assert_eq!(boat.publish(sighting, b"fluke").unwrap(), 0);
    assert_eq!(station.message(), (sighting.into(), b"fluke".to_vec()));
}

#[test]
fn a_boat_cannot_write_other_topics() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let mut attacker = broker.connect(&broker.provision("attacker"));
    let mut station = broker.connect_station();
    assert!(station.subscribe("#").unwrap() < 0x80);
    for topic in [
        "flukewatch/v1/balaena/sighting",
        "flukewatch/v1/balaena/presence",
        "flukewatch/v1/balaena/ack",
        "flukewatch/v1/attacker/ack",
        "flukewatch/v1/attacker/command",
        "flukewatch/v1/attacker/offer",
        "flukewatch/v1/attacker/content",
        "flukewatch/v1/balaena/offer",
        "flukewatch/v1/balaena/request",
        "flukewatch/v1/balaena/content",
        "flukewatch/v1/balaena/chunk",
        "flukewatch/v1/balaena/command",
        "flukewatch/v1/attacker/sighting/more",
        "flukewatch/v1/attacker",
        "flukewatch/v1/station/sighting",
        "flukewatch/v2/attacker/sighting",
        "other",
    ] {
        let reason = attacker.publish(topic, b"forged").unwrap();
        assert_eq!(reason, NOT_AUTHORIZED, "{topic}");
    }
    let own = "flukewatch/v1/attacker/sighting";
    attacker.publish(own, b"true").unwrap();
    assert_eq!(station.message(), (own.into(), b"true".to_vec()));
    station.expect_no_message();
}

#[test]
fn a_boat_cannot_read_other_topics() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let mut attacker = broker.connect(&broker.provision("attacker"));
    let mut boat = broker.connect(&broker.provision("balaena"));
    let mut station = broker.connect_station();
    for filter in [
        "#",
        "flukewatch/v1/#",
        "flukewatch/v1/+/sighting",
        "flukewatch/v1/balaena/+",
        "flukewatch/v1/balaena/ack",
        "flukewatch/v1/balaena/presence",
        "flukewatch/v1/+/request",
        "flukewatch/v1/+/content",
        "flukewatch/v1/+/command",
        "flukewatch/v1/+/chunk",
        "$SYS/#",
    ] {
        // mosquitto grants any filter, and checks each message.
        attacker.subscribe(filter).unwrap();
    }
    for topic in OWN {
        let topic = format!("flukewatch/v1/balaena/{topic}");
        assert!(boat.retain(&topic, b"secret").unwrap() < 0x80);
    }
    for topic in OF_STATION {
        let topic = format!("flukewatch/v1/balaena/{topic}");
        assert!(station.publish(&topic, b"secret").unwrap() < 0x80);
    }
    let offer = "flukewatch/v1/balaena/offer";
    assert!(station.retain(offer, b"secret").unwrap() < 0x80);
    // Neither as it is published nor retained.
    attacker.subscribe("flukewatch/v1/balaena/status").unwrap();
    attacker.subscribe(offer).unwrap();
    attacker.expect_no_message();
    let own = "flukewatch/v1/attacker/ack";
    station.publish(own, b"for you").unwrap();
    assert_eq!(attacker.message(), (own.into(), b"for you".to_vec()));
}

#[test]
fn a_last_will_reaches_the_boat_s_own_topics_only() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let attacker = broker.provision("attacker");
    let mut station = broker.connect_station();
    station.subscribe("#").unwrap();
    let die_with_will = |topic: &str| {
        let options = Options {
            will: Some((topic, "lost")),
            ..options(&attacker)
        };
        // A broker may also reject the connection.
        if let Ok(client) = Client::connect(broker.address(), &options) {
            client.abort();
        }
    };
    for topic in [
        "flukewatch/v1/balaena/status",
        "flukewatch/v1/balaena/ack",
        "flukewatch/v1/attacker/ack",
        "flukewatch/v1/balaena/offer",
        "flukewatch/v1/attacker/offer",
        "flukewatch/v1/station/status",
    ] {
        die_with_will(topic);
    }
    station.expect_no_message();
    let own = "flukewatch/v1/attacker/status";
    die_with_will(own);
    assert_eq!(station.message(), (own.into(), b"lost".to_vec()));
}

#[test]
fn another_boat_s_client_id_disturbs_it_not() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let (balaena, attacker) = (broker.provision("balaena"), broker.provision("attacker"));
    let mut boat = broker.connect(&balaena);
    let mut station = broker.connect_station();
    for client_id in ["balaena", "station", "any"] {
        let options = Options {
            client_id,
            ..options(&attacker)
        };
        let mut client = Client::connect(broker.address(), &options).unwrap();
        assert!(client.is_connected());
        assert!(boat.is_connected() && station.is_connected(), "{client_id}");
    }
}

#[test]
fn the_largest_message_passes_and_a_larger_one_ends_its_connection() {
    let Some(broker) = Broker::start() else {
        return;
    };
    let (balaena, attacker) = (broker.provision("balaena"), broker.provision("attacker"));
    let mut boat = broker.connect(&balaena);
    let mut station = broker.connect_station();
    station.subscribe("flukewatch/v1/+/picture").unwrap();
    let topic = "flukewatch/v1/balaena/picture";
    let largest = vec![7; MAX_MESSAGE + SEAL_BYTES];
    assert!(boat.publish(topic, &largest).unwrap() < 0x80);
    assert_eq!(station.message(), (topic.into(), largest));

    let mut client = broker.connect(&attacker);
    let sent = client.publish("flukewatch/v1/attacker/picture", &vec![7; 400_000]);
    assert!(sent.is_err() || client.is_closed());
    assert!(boat.is_connected() && station.is_connected());
    station.expect_no_message();
}
