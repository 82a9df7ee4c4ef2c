//! A boat's MQTT side, and a station for it to talk to.

pub(crate) use crate::sample;

use flukewatch_common::sighting::{
    Ack, Acknowledged, BoatId, MessageKind, Picture, Rejected, Sighting,
};
use flukewatch_common::{topic, wire};
use flukewatch_shore::station::{BrokerConfig, Station, StationConfig};
use rumqttc_v4::{AsyncClient, Event, MqttOptions, Packet, PublishOptions, QoS};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Time after which a test fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
/// How long a test waits for something that must not happen.
pub(crate) const QUIET_PERIOD: Duration = Duration::from_millis(400);

/// Starts a station with an embedded broker on free ports.
pub(crate) async fn start_station(data: &Path) -> Station {
    let any = "127.0.0.1:0".parse().unwrap();
    Station::start(StationConfig::new(
        data.to_owned(),
        any,
        BrokerConfig::Embedded(any),
    ))
    .await
    .unwrap()
}

pub(crate) struct Boat {
    pub(crate) name: BoatId,
    client: AsyncClient,
    acks: mpsc::UnboundedReceiver<Ack>,
    /// Rejections that were received and not expected yet.
    rejected: Vec<Rejected>,
    polling: JoinHandle<()>,
}

impl Drop for Boat {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

impl Boat {
    /// Connects and subscribes to acknowledgements.
    pub(crate) async fn connect(host: &str, port: u16, name: &str) -> Self {
        let name: BoatId = name.parse().unwrap();
        let mut options = MqttOptions::new(format!("boat-{name}"), (host, port));
        options
            .set_keep_alive(10)
            .set_max_packet_size(300_000, 300_000);
        let (client, mut events) = AsyncClient::builder(options).capacity(64).build();
        client
            .subscribe(topic::of_acks(&name), QoS::AtLeastOnce)
            .await
            .unwrap();
        let (report, acks) = mpsc::unbounded_channel();
        let (ready, mut subscribed) = mpsc::unbounded_channel();
        let polling = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let _ = report.send(wire::decode::<Ack>(&p.payload).unwrap());
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = ready.send(());
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        tokio::time::timeout(TIMEOUT, subscribed.recv())
            .await
            .unwrap()
            .unwrap();
        Self {
            name,
            client,
            acks,
            rejected: vec![],
            polling,
        }
    }

    pub(crate) async fn connect_to(station: &Station, name: &str) -> Self {
        let broker = &station.brokers()[0].url;
        Self::connect(&broker.host, broker.port, name).await
    }

    pub(crate) async fn send(&self, topic: &str, bytes: Vec<u8>) {
        self.client
            .publish(topic, bytes, PublishOptions::new(QoS::AtLeastOnce))
            .await
            .unwrap();
    }

    pub(crate) async fn send_sighting(&self, sighting: &Sighting) {
        self.send(
            &topic::of_message(&self.name, MessageKind::Sighting),
            wire::encode(sighting).unwrap(),
        )
        .await;
    }

    pub(crate) async fn send_picture(&self, picture: &Picture) {
        self.send(
            &topic::of_message(&self.name, MessageKind::Picture),
            wire::encode(picture).unwrap(),
        )
        .await;
    }

    /// Waits until `count` messages have been acknowledged.
    pub(crate) async fn expect_acks(&mut self, count: usize) -> Vec<(Uuid, MessageKind)> {
        let messages = self.expect_acknowledged(count).await;
        messages.iter().map(|a| (a.sighting, a.kind)).collect()
    }

    /// The same, with revisions.
    pub(crate) async fn expect_acknowledged(&mut self, count: usize) -> Vec<Acknowledged> {
        let mut messages = vec![];
        while messages.len() < count {
            let ack = tokio::time::timeout(TIMEOUT, self.acks.recv())
                .await
                .expect("acknowledgement missing")
                .unwrap();
            assert_eq!(ack.boat, self.name);
            messages.extend(ack.stored);
            self.rejected.extend(ack.rejected);
        }
        messages
    }

    /// Waits until `count` messages have been rejected.
    pub(crate) async fn expect_rejected(&mut self, count: usize) -> Vec<Rejected> {
        while self.rejected.len() < count {
            let ack = tokio::time::timeout(TIMEOUT, self.acks.recv())
                .await
                .expect("rejection missing")
                .unwrap();
            assert_eq!((ack.boat, ack.stored), (self.name.clone(), vec![]));
            self.rejected.extend(ack.rejected);
        }
        std::mem::take(&mut self.rejected)
    }

    /// Asserts that nothing is acknowledged.
    pub(crate) async fn expect_no_ack(&mut self) {
        while let Ok(ack) = tokio::time::timeout(QUIET_PERIOD, self.acks.recv()).await {
            let ack = ack.unwrap();
            assert_eq!(ack.stored, [], "unexpected acknowledgement");
            self.rejected.extend(ack.rejected);
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !condition() {
        assert!(started.elapsed() < TIMEOUT, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
