//! A minimal shore.

use flukewatch_common::brief::Brief;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::picture_part::{self, PicturePart};
use flukewatch_common::sighting::{Ack, Acknowledged, MessageKind, Picture, Rejected, Sighting};
use flukewatch_common::wire::Message as _;
use flukewatch_common::{topic, wire};
use rumqttc_v4::{Client, Event, MqttOptions, Packet, PublishOptions, QoS};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// The messages that the test shore has received.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) sightings: HashMap<Uuid, Sighting>,
    pub(crate) briefs: HashMap<Uuid, Brief>,
    /// SHA-256 of each picture.
    pub(crate) pictures: HashMap<Uuid, [u8; 32]>,
    /// The first bytes of pictures that arrive in parts.
    parts: HashMap<Uuid, Vec<u8>>,
    /// All messages received, including retries.
    pub(crate) messages: usize,
}

impl Stored {
    /// Takes a part of a picture. Returns the answer.
    fn take(&mut self, message: &[u8]) -> Acknowledged {
        let part: PicturePart = wire::decode(message).unwrap();
        let has = self.parts.entry(part.sighting).or_default();
        if part.offset as usize == has.len() {
            has.extend(&part.bytes);
        }
        let answer =
            picture_part::answer(part.sighting, has.len() as u32, MessageDigest::of(message));
        if answer.revision < part.total {
            return answer;
        }
        self.pictures
            .insert(part.sighting, Sha256::digest(has).into());
        Acknowledged {
            kind: MessageKind::Picture,
            revision: 0,
            ..answer
        }
    }
}

/// A shore that stores in memory and loses every third ack.
pub(crate) struct Shore {
    pub(crate) stored: Arc<Mutex<Stored>>,
}

impl Shore {
    /// Subscribes to the broker at `port` until the test ends.
    pub(crate) fn start(port: u16) -> Self {
        Self::rejecting(port, |_| false)
    }

    /// The same; it rejects the sightings that `rejects` returns true for.
    pub(crate) fn rejecting(port: u16, rejects: fn(&Sighting) -> bool) -> Self {
        let stored = Arc::new(Mutex::new(Stored::default()));
        let theirs = stored.clone();
        std::thread::spawn(move || listen(port, &theirs, rejects));
        Self { stored }
    }

    pub(crate) fn counts(&self) -> (usize, usize) {
        let stored = self.stored.lock().unwrap();
        (stored.sightings.len(), stored.pictures.len())
    }
}

fn listen(port: u16, stored: &Mutex<Stored>, rejects: fn(&Sighting) -> bool) {
    let mut options = MqttOptions::new("test-shore", ("127.0.0.1", port));
    options.set_max_packet_size(wire::MAX_MESSAGE + 4096, wire::MAX_MESSAGE + 4096);
    let (client, mut connection) = Client::builder(options).capacity(1000).build();
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                for all in [topic::ALL_SIGHTINGS, topic::ALL_PICTURES, topic::ALL_BRIEFS] {
                    client.try_subscribe(all, QoS::AtLeastOnce).unwrap();
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                let topic = std::str::from_utf8(&message.topic).unwrap();
                let (boat, part) = topic::parse(topic).unwrap();
                let mut stored = stored.lock().unwrap();
                let whole = |sighting, revision| Acknowledged {
                    sighting,
                    kind: part,
                    revision,
                    message: None,
                };
                let acknowledged = match part {
                    MessageKind::Sighting => {
                        let sighting: Sighting = wire::decode(&message.payload).unwrap();
                        if rejects(&sighting) {
                            let rejection = Ack {
                                boat: boat.clone(),
                                stored: vec![],
                                rejected: vec![Rejected {
                                    kind: part,
                                    message: MessageDigest::of(&message.payload),
                                    reason: "invalid: a test".into(),
                                }],
                            };
                            let rejection = wire::encode(&rejection).unwrap();
                            let topic = topic::of_acks(&boat);
                            let _ = client.try_publish(
                                topic,
                                rejection,
                                PublishOptions::new(QoS::AtLeastOnce),
                            );
                            continue;
                        }
                        let (id, revision) = (sighting.id, sighting.revision);
                        stored.sightings.insert(id, sighting);
                        whole(id, revision)
                    }
                    MessageKind::Brief => {
                        let brief: Brief = wire::decode(&message.payload).unwrap();
                        let (id, revision) = (brief.sighting, brief.revision);
                        stored.briefs.insert(id, brief);
                        whole(id, revision)
                    }
                    MessageKind::Picture | MessageKind::PicturePart => {
                        if wire::kind(&message.payload) == Some(PicturePart::KIND) {
                            stored.take(&message.payload)
                        } else {
                            let picture: Picture = wire::decode(&message.payload).unwrap();
                            stored
                                .pictures
                                .insert(picture.sighting, Sha256::digest(&picture.jpeg).into());
                            whole(picture.sighting, 0)
                        }
                    }
                };
                stored.messages += 1;
                if !stored.messages.is_multiple_of(3) {
                    let ack = Ack {
                        boat: boat.clone(),
                        stored: vec![acknowledged],
                        rejected: vec![],
                    };
                    let ack = wire::encode(&ack).unwrap();
                    let _ = client.try_publish(
                        topic::of_acks(&boat),
                        ack,
                        PublishOptions::new(QoS::AtLeastOnce),
                    );
                }
            }
            Ok(_) => {}
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
