//! A boat mirrors status and sightings as JSON to a broker on board.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_mqtt::{Connection, Dialer, Event, Settings, Subscription};
use flukewatch_test_support::mosquitto::Mosquitto;
use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::program::Running;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Subscribes to everything that a mirror publishes.
async fn listen(port: u16, client: &str) -> Connection {
    let url = format!("mqtt://127.0.0.1:{port}");
    let settings = Settings {
        subscriptions: vec![
            Subscription::at_least_once("flukewatch/balaena/#"),
            Subscription::at_least_once("homeassistant/#"),
        ],
        ..Settings::new(url.parse().unwrap(), client)
    };
    Dialer::new(settings).connect(None).await.unwrap()
}

/// The next message as its topic, content, and whether it was retained.
async fn next(connection: &mut Connection) -> (String, String, bool) {
    loop {
        let event = timeout(Duration::from_secs(60), connection.event()).await;
        if let Event::Received(message) = event.expect("a message").unwrap() {
            let content = String::from_utf8(message.payload.to_vec()).unwrap();
            return (message.topic, content, message.retained);
        }
    }
}

/// Waits for a message on `topic` that `is_expected`; returns its content.
async fn wait_for(
    connection: &mut Connection,
    topic: &str,
    is_expected: impl Fn(&Value) -> bool,
) -> Value {
    loop {
        let (got, content, _) = next(connection).await;
        let json = serde_json::from_str(&content).unwrap_or(Value::String(content));
        if got == topic && is_expected(&json) {
            return json;
        }
    }
}

#[tokio::test]
async fn a_display_on_board_gets_status_and_sightings_as_json() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    // Shore cannot be reached.
    let boat = Boat::new(folder.path(), "balaena", Camera::Stills(0.5), 1);
    boat.rewrite(|config| {
        format!(
            "{config}\n[mirror]\nbroker = \"mqtt://127.0.0.1:{}\"\ninterval_seconds = 1.0\nhome_assistant = \"homeassistant\"\n",
            broker.port()
        )
    });
    boat.set_stills(60);
    let mut display = listen(broker.port(), "display").await;
    let running = Running::start(boat.command());

    let available = "flukewatch/balaena/available";
    wait_for(&mut display, available, |v| v == "online").await;
    let discovery = "homeassistant/device/flukewatch_balaena/config";
    let device = wait_for(&mut display, discovery, |_| true).await;
    assert_eq!(device["availability_topic"], available);

    let sighting = "flukewatch/balaena/sighting";
    let known = wait_for(&mut display, sighting, |v| v["verdict"] == "known").await;
    assert!(known["whale"].is_string(), "{known}");
    assert_eq!(known["acknowledged"], false);
    let status = "flukewatch/balaena/status";
    let pending = wait_for(&mut display, status, |v| {
        v["pending_sightings"].as_u64() > Some(0)
    });
    let pending = pending.await;
    assert_eq!(
        (&pending["boat"], &pending["connected"]),
        (&Value::from("balaena"), &Value::from(false))
    );

    // One that subscribes later gets what is retained, and no sighting of the past.
    let mut late = listen(broker.port(), "late-display").await;
    let mut retained = vec![];
    while retained.len() < 4 {
        let (topic, _, was_retained) = next(&mut late).await;
        if was_retained {
            retained.push(topic);
        }
    }
    retained.sort();
    assert_eq!(
        retained,
        [
            available,
            "flukewatch/balaena/last_sighting",
            status,
            discovery
        ]
    );

    running.kill();
    wait_for(&mut display, available, |v| v == "offline").await;
}
