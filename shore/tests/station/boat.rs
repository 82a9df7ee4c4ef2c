//! A boat, as far as MQTT sees it, and a station to talk to.

pub(crate) use crate::sample;

use flukewatch_common::sighting::{BoatId, Part, Picture, Receipt, Sighting};
use flukewatch_common::{topic, wire};
use flukewatch_shore::serve::{self, BrokerChoice, Running, Settings};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How long a test waits for what must not come.
pub const SILENCE: Duration = Duration::from_millis(400);

/// A station with its own broker on free ports.
pub async fn station(data: &Path) -> Running {
    let any = "127.0.0.1:0".parse().unwrap();
    serve::start(Settings::new(
        data.to_owned(),
        any,
        BrokerChoice::Embedded(any),
    ))
    .await
    .unwrap()
}

pub struct Boat {
    pub name: BoatId,
    client: AsyncClient,
    receipts: mpsc::UnboundedReceiver<Receipt>,
    polling: JoinHandle<()>,
}

impl Drop for Boat {
    fn drop(&mut self) {
        self.polling.abort();
    }
}

impl Boat {
    /// Connects and listens for receipts.
    pub async fn connect(host: &str, port: u16, name: &str) -> Self {
        let name: BoatId = name.parse().unwrap();
        let mut options = MqttOptions::new(format!("boat-{name}"), host, port);
        options
            .set_keep_alive(Duration::from_secs(10))
            .set_max_packet_size(300_000, 300_000);
        let (client, mut events) = AsyncClient::new(options, 64);
        client
            .subscribe(topic::of_receipts(&name), QoS::AtLeastOnce)
            .await
            .unwrap();
        let (tell, receipts) = mpsc::unbounded_channel();
        let (ready, mut subscribed) = mpsc::unbounded_channel();
        let polling = tokio::spawn(async move {
            loop {
                match events.poll().await {
                    Ok(Event::Incoming(Packet::Publish(p))) => {
                        let _ = tell.send(wire::decode::<Receipt>(&p.payload).unwrap());
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        let _ = ready.send(());
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        tokio::time::timeout(PATIENCE, subscribed.recv())
            .await
            .unwrap()
            .unwrap();
        Self {
            name,
            client,
            receipts,
            polling,
        }
    }

    pub async fn at(running: &Running, name: &str) -> Self {
        Self::connect(&running.broker().host, running.broker().port, name).await
    }

    pub async fn send(&self, topic: &str, bytes: Vec<u8>) {
        self.client
            .publish(topic, QoS::AtLeastOnce, false, bytes)
            .await
            .unwrap();
    }

    pub async fn sighting(&self, sighting: &Sighting) {
        self.send(
            &topic::of_part(&self.name, Part::Sighting),
            wire::encode(sighting).unwrap(),
        )
        .await;
    }

    pub async fn picture(&self, picture: &Picture) {
        self.send(
            &topic::of_part(&self.name, Part::Picture),
            wire::encode(picture).unwrap(),
        )
        .await;
    }

    /// Waits until `count` parts have been receipted.
    pub async fn receipted(&mut self, count: usize) -> Vec<(Uuid, Part)> {
        let mut parts = vec![];
        while parts.len() < count {
            let receipt = tokio::time::timeout(PATIENCE, self.receipts.recv())
                .await
                .expect("no receipt")
                .unwrap();
            assert_eq!(receipt.boat, self.name);
            parts.extend(receipt.stored);
        }
        parts
    }

    /// Makes sure that no receipt comes.
    pub async fn nothing(&mut self) {
        if let Ok(receipt) = tokio::time::timeout(SILENCE, self.receipts.recv()).await {
            panic!("a receipt that must not come: {receipt:?}");
        }
    }
}

/// Waits until `true`.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
