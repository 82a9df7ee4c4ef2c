//! A mosquitto broker that can be killed, and a minimal shore.

use flukewatch_common::sighting::{Ack, Acknowledged, MessageKind, Picture, Sighting};
use flukewatch_common::{topic, wire};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A mosquitto on a free loopback port.
pub(crate) struct Mosquitto {
    program: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// `None` where mosquitto is not installed.
    pub(crate) fn start() -> Option<Self> {
        let places = [
            "/usr/sbin/mosquitto",
            "/usr/bin/mosquitto",
            "/usr/local/sbin/mosquitto",
        ];
        let Some(program) = places.iter().map(Path::new).find(|p| p.exists()) else {
            eprintln!("skipped: mosquitto not installed");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n"
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Self {
            program: program.to_owned(),
            folder,
            port,
            process: None,
        };
        broker.restart();
        Some(broker)
    }

    pub(crate) fn restart(&mut self) {
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(child);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "mosquitto does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Like a power cut: nothing is flushed.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The messages that the test shore has received.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) sightings: HashMap<Uuid, Sighting>,
    /// SHA-256 of each picture.
    pub(crate) pictures: HashMap<Uuid, [u8; 32]>,
    /// All messages received, including retries.
    pub(crate) messages: usize,
}

/// A shore that stores in memory and loses every third ack.
pub(crate) struct Shore {
    pub(crate) stored: Arc<Mutex<Stored>>,
}

impl Shore {
    /// Subscribes to the broker at `port` until the test ends.
    pub(crate) fn start(port: u16) -> Self {
        let stored = Arc::new(Mutex::new(Stored::default()));
        let theirs = stored.clone();
        std::thread::spawn(move || listen(port, &theirs));
        Self { stored }
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        let stored = self.stored.lock().unwrap();
        (stored.sightings.len(), stored.pictures.len())
    }
}

fn listen(port: u16, stored: &Mutex<Stored>) {
    let mut options = MqttOptions::new("test-shore", "127.0.0.1", port);
    options.set_max_packet_size(wire::MAX_MESSAGE + 4096, wire::MAX_MESSAGE + 4096);
    let (client, mut connection) = Client::new(options, 1000);
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                for all in [topic::ALL_SIGHTINGS, topic::ALL_PICTURES] {
                    client.try_subscribe(all, QoS::AtLeastOnce).unwrap();
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let (boat, part) = topic::parse(&message.topic).unwrap();
                let mut stored = stored.lock().unwrap();
                let (id, revision) = match part {
                    MessageKind::Sighting => {
                        let sighting: Sighting = wire::decode(&message.payload).unwrap();
                        let (id, revision) = (sighting.id, sighting.revision);
                        stored.sightings.insert(id, sighting);
                        (id, revision)
                    }
                    MessageKind::Picture => {
                        let picture: Picture = wire::decode(&message.payload).unwrap();
                        stored
                            .pictures
                            .insert(picture.sighting, Sha256::digest(&picture.jpeg).into());
                        (picture.sighting, 0)
                    }
                };
                stored.messages += 1;
                if !stored.messages.is_multiple_of(3) {
                    let ack = Ack {
                        boat: boat.clone(),
                        stored: vec![Acknowledged {
                            sighting: id,
                            kind: part,
                            revision,
                        }],
                    };
                    let ack = wire::encode(&ack).unwrap();
                    let _ = client.try_publish(topic::of_acks(&boat), QoS::AtLeastOnce, false, ack);
                }
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
