//! A broker that is not ours: mosquitto, where it is installed.

use crate::boat::{Boat, sample, until};
use flukewatch_shore::serve::{self, BrokerChoice, Running, Settings};
use flukewatch_shore::store::Query;
use rumqttc::{AsyncClient, MqttOptions, QoS};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Mosquitto(Child);

impl Mosquitto {
    fn program() -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::env::split_paths(&path)
            .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")]);
        places.map(|p| p.join("mosquitto")).find(|p| p.is_file())
    }

    async fn start(program: &Path, port: u16, folder: &Path) -> Self {
        let config = folder.join("mosquitto.conf");
        std::fs::write(
            &config,
            format!("listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n"),
        )
        .unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let broker = Self(child.unwrap());
        until("mosquitto listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        })
        .await;
        broker
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sightings_survive_the_restart_of_an_outside_broker() {
    let Some(program) = Mosquitto::program() else {
        eprintln!("skipped: mosquitto not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let broker = Mosquitto::start(&program, port, folder.path()).await;
    let running = outside(port, folder.path()).await;
    assert!(running.health().is_connected() && running.mqtt().is_none());

    let (first, picture) = sample::sighting("balaena", 1);
    let mut boat = Boat::connect("127.0.0.1", port, "balaena").await;
    boat.sighting(&first).await;
    boat.picture(&picture).await;
    boat.receipted(2).await;

    drop(broker);
    let health = running.health().clone();
    until("shore notices", || !health.is_connected()).await;
    assert!(health.trouble().unwrap().contains(&port.to_string()));
    let _broker = Mosquitto::start(&program, port, folder.path()).await;
    until("shore is back", || health.is_connected()).await;

    let mut boat = Boat::connect("127.0.0.1", port, "balaena").await;
    boat.sighting(&first).await;
    boat.sighting(&sample::sighting("balaena", 2).0).await;
    boat.receipted(2).await;
    let kept = running
        .store()
        .sightings(&Query {
            limit: 10,
            ..Query::default()
        })
        .unwrap();
    assert_eq!(kept.total, 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_an_outside_broker_should_have_refused_is_survived() {
    let Some(program) = Mosquitto::program() else {
        eprintln!("skipped: mosquitto not installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Mosquitto::start(&program, port, folder.path()).await;
    let running = outside(port, folder.path()).await;

    let mut options = MqttOptions::new("rude", "127.0.0.1", port);
    options.set_max_packet_size(4 << 20, 4 << 20);
    let (rude, mut events) = AsyncClient::new(options, 4);
    let topic = "flukewatch/v1/balaena/sighting";
    rude.publish(topic, QoS::AtLeastOnce, false, vec![7; 2 << 20])
        .await
        .unwrap();
    let sending = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let store = running.store().clone();
    let listed = || {
        store
            .refused_counts()
            .unwrap()
            .iter()
            .any(|c| c.reason == "too-large" && c.total == 1)
    };
    until("the refusal is listed", listed).await;
    sending.abort();

    let health = running.health().clone();
    until("shore is back", || health.is_connected()).await;
    let mut boat = Boat::connect("127.0.0.1", port, "balaena").await;
    boat.sighting(&sample::sighting("balaena", 1).0).await;
    boat.receipted(1).await;
    running.stop().await;
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A station on the broker at `port`.
async fn outside(port: u16, folder: &Path) -> Running {
    let broker = BrokerChoice::Outside(format!("mqtt://127.0.0.1:{port}").parse().unwrap());
    serve::start(Settings::new(
        folder.join("data"),
        "127.0.0.1:0".parse().unwrap(),
        broker,
    ))
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_without_its_broker_shows_what_it_has_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let running = outside(port, folder.path()).await;
    assert!(!running.health().is_connected());
    assert!(
        running
            .health()
            .trouble()
            .unwrap()
            .contains("cannot be reached")
    );
    running.stop().await;
}
