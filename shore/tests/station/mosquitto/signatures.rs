//! Messages of boats and acknowledgements of the station are signed end to end.

use super::fixture::{any_port, identity, new_authority};
use crate::fixtures::{QUIET_PERIOD, TIMEOUT, sample, wait_until};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::presence::Presence;
use flukewatch_common::sighting::{Ack, MessageKind, Sighting};
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{Connection, Dialer, Event, Outgoing, Settings, Subscription, TlsFiles};
use flukewatch_shore::authority::{self, Authority};
use flukewatch_shore::station::{
    BrokerConfig, ExternalBrokers, MosquittoConfig, Station, StationConfig, StationError,
};
use flukewatch_shore::store::Query;
use flukewatch_test_support::mosquitto::Mosquitto as TestBroker;
use flukewatch_trust::{PublicKey, Purpose, SigningKey, open, seal};
use std::path::Path;
use tempfile::TempDir;
use tokio::time::timeout;

/// A station with mosquitto; `None` where that is not installed.
async fn start(folder: &TempDir) -> Option<Station> {
    let config = MosquittoConfig {
        address: any_port(),
        server_names: vec![],
        program: None,
    };
    let config = BrokerConfig::Mosquitto(config);
    let config = StationConfig::new(folder.path().join("data"), any_port(), config);
    match Station::start(config).await {
        Err(StationError::Mosquitto(error)) => {
            eprintln!("skipped: {error}");
            None
        }
        started => Some(started.unwrap()),
    }
}

/// A boat with its identity.
struct Boat {
    connection: Connection,
    key: SigningKey,
    station: PublicKey,
}

impl Boat {
    /// Connects `name` with the identity of a boat in `files`.
    async fn connect(station: &Station, name: &str, files: &authority::TlsFiles) -> Self {
        let settings = Settings {
            tls: TlsFiles {
                ca: Some(files.ca.clone()),
                certificate: Some(files.certificate.clone()),
                key: Some(files.key.clone()),
            },
            subscriptions: vec![Subscription::at_least_once(format!(
                "flukewatch/v1/{name}/ack"
            ))],
            ..Settings::new(station.brokers()[0].url.clone(), name)
        };
        let connection = Dialer::new(settings).connect(None).await.unwrap();
        let key = SigningKey::read_file(&files.key).unwrap();
        let station = files.key.with_file_name("station.pub");
        Self {
            connection,
            station: PublicKey::read_file(&station).unwrap(),
            key,
        }
    }

    async fn publish(&self, topic: String, message: Vec<u8>) {
        let message = Outgoing::at_least_once(topic, message);
        let publisher = self.connection.publisher();
        publisher.publish(message, None).await.unwrap();
    }

    async fn send(&self, sighting: &Sighting, message: Vec<u8>) {
        let topic = topic::of_message(&sighting.boat, MessageKind::Sighting);
        self.publish(topic, message).await;
    }

    /// The next acknowledgement, which the station must have signed.
    async fn ack(&mut self) -> Ack {
        loop {
            let event = timeout(TIMEOUT, self.connection.event()).await.unwrap();
            if let Event::Received(message) = event.unwrap() {
                let ack = open(&self.station, Purpose::StationMessage, &message.payload);
                return wire::decode(ack.unwrap()).unwrap();
            }
        }
    }

    async fn expect_no_ack(&mut self) {
        while let Ok(event) = timeout(QUIET_PERIOD, self.connection.event()).await {
            let event = event.unwrap();
            assert!(!matches!(event, Event::Received(_)), "{event:?}");
        }
    }
}

fn stored(station: &Station) -> u64 {
    let query = Query {
        limit: 1,
        ..Query::default()
    };
    station.store().sightings(&query).unwrap().total
}

fn unauthenticated(station: &Station) -> u64 {
    let counts = station.store().rejected_counts().unwrap();
    let count = counts.iter().find(|c| c.reason == "unauthenticated");
    count.map_or(0, |c| c.total)
}

fn provision(data: &Path, boat: &str) -> authority::TlsFiles {
    let authority = Authority::open(data).unwrap().unwrap();
    identity(&authority, data, boat)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_sighting_is_stored_and_its_acknowledgement_names_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let Some(station) = start(&folder).await else {
        return;
    };
    assert!(station.health().is_connected());
    let files = provision(&folder.path().join("data"), "balaena");
    let mut boat = Boat::connect(&station, "balaena", &files).await;
    let (sighting, _) = sample::sighting("balaena", 1);
    let message = wire::encode(&sighting).unwrap();
    let sealed = seal(&boat.key, Purpose::BoatMessage, &message);
    for _ in 0..2 {
        boat.send(&sighting, sealed.clone()).await;
        let stored = boat.ack().await.stored;
        assert_eq!(stored.len(), 1);
        assert_eq!(stored[0].sighting, sighting.id);
        assert_eq!(stored[0].message, Some(MessageDigest::of(&message)));
    }
    assert_eq!(stored(&station), 1);

    // What only shore rejects is answered, as without signatures.
    let damaged = seal(&boat.key, Purpose::BoatMessage, b"FLKW");
    boat.send(&sighting, damaged).await;
    let rejected = boat.ack().await.rejected;
    assert_eq!(rejected[0].message, MessageDigest::of(b"FLKW"));
    assert_eq!(unauthenticated(&station), 0);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_its_boat_has_not_signed_is_recorded_and_not_answered() {
    let folder = tempfile::tempdir().unwrap();
    let Some(station) = start(&folder).await else {
        return;
    };
    let data = folder.path().join("data");
    let files = provision(&data, "balaena");
    let other = provision(&data, "mysticeta");
    let mut boat = Boat::connect(&station, "balaena", &files).await;
    let other = SigningKey::read_file(&other.key).unwrap();
    let (sighting, _) = sample::sighting("balaena", 1);
    let message = wire::encode(&sighting).unwrap();
    let mut altered = seal(&boat.key, Purpose::BoatMessage, &message);
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let forged = [
        message.clone(),
        seal(&other, Purpose::BoatMessage, &message),
        seal(&boat.key, Purpose::StationMessage, &message),
        altered,
        b"FLKS".to_vec(),
    ];
    for (sent, message) in (1..).zip(forged) {
        boat.send(&sighting, message).await;
        wait_until("it is recorded", || unauthenticated(&station) == sent).await;
    }
    let presence = Presence {
        boat: sighting.boat.clone(),
        instance: sighting.id,
        epoch: sighting.id,
    };
    let presence = wire::encode(&presence).unwrap();
    boat.publish(topic::of_presence(&sighting.boat), presence.clone())
        .await;
    boat.expect_no_ack().await;
    assert_eq!(stored(&station), 0);
    // A signed presence is answered.
    let presence = seal(&boat.key, Purpose::BoatMessage, &presence);
    boat.publish(topic::of_presence(&sighting.boat), presence)
        .await;
    assert_eq!(boat.ack().await.stored, []);
    station.shutdown().await;
}

/// A broker without certificates: as one that was taken over, it passes on what anyone sends.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_boat_is_not_believed_whatever_the_broker_passes_on() {
    let Some(broker) = TestBroker::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let authority = new_authority(&data);
    let revoked = identity(&authority, &data, "balaena");
    let (sighting, _) = sample::sighting("balaena", 1);
    authority.revoke(&sighting.boat, SystemClock.now()).unwrap();
    let valid = identity(&authority, &data, "mysticeta");

    let config = BrokerConfig::External(ExternalBrokers {
        urls: vec![broker.url().parse().unwrap()],
        tls: TlsFiles::default(),
        group: None,
        accept_unsigned: false,
    });
    let station = Station::start(StationConfig::new(data, any_port(), config));
    let station = station.await.unwrap();
    let mut boat = Boat::connect(&station, "balaena", &revoked).await;
    let message = wire::encode(&sighting).unwrap();
    let message = seal(&boat.key, Purpose::BoatMessage, &message);
    boat.send(&sighting, message).await;
    wait_until("it is recorded", || unauthenticated(&station) == 1).await;
    boat.expect_no_ack().await;
    assert_eq!(stored(&station), 0);

    let mut boat = Boat::connect(&station, "mysticeta", &valid).await;
    let (sighting, _) = sample::sighting("mysticeta", 1);
    let message = wire::encode(&sighting).unwrap();
    let message = seal(&boat.key, Purpose::BoatMessage, &message);
    boat.send(&sighting, message).await;
    assert_eq!(boat.ack().await.stored[0].sighting, sighting.id);
    station.shutdown().await;
}
