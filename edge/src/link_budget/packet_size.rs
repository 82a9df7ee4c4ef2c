//! How many bytes a message takes on the wire.

use flukewatch_trust::SEAL_BYTES;

/// The header of a packet that publishes: its kind, its length (three bytes from 16 KiB on), the length of the
/// topic, the id of a message at QoS 1 and the length of the properties (MQTT 5).
const PUBLISH_HEADER: u64 = 1 + 3 + 2 + 2 + 1;
/// A packet that acknowledges another, or probes a connection.
const SHORT_PACKET: u64 = 4;
/// Headers of IP and TCP (40 bytes), and of a TLS record (22), of each packet.
const TRANSPORT: u64 = 62;
/// A TLS handshake with certificates of both sides, without session resumption.
const TLS_HANDSHAKE: u64 = 3_500;
/// Establishing and ending a TCP connection.
const TCP_HANDSHAKE: u64 = 280;
/// Connecting and subscribing, without the topic and content of the last will.
const MQTT_HANDSHAKE: u64 = 400;

/// Counts the bytes of messages of a boat. The counts are upper limits, but for what IP has to repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketSize {
    signature: u64,
    is_encrypted: bool,
}

impl PacketSize {
    /// Messages with signatures if `is_signed`, over TLS if `is_encrypted`.
    pub fn new(is_signed: bool, is_encrypted: bool) -> Self {
        let signature = if is_signed { SEAL_BYTES as u64 } else { 0 };
        Self {
            signature,
            is_encrypted,
        }
    }

    /// A message that is sent or received: its topic, its content without the signature, and, at QoS 1, the
    /// broker's or boat's acknowledgement.
    pub fn message(&self, topic: &str, content: u64, at_least_once: bool) -> u64 {
        let answer = if at_least_once {
            TRANSPORT + SHORT_PACKET
        } else {
            0
        };
        TRANSPORT + self.packet(topic, content) + answer
    }

    /// The packet that publishes a message, without the headers below MQTT.
    pub fn packet(&self, topic: &str, content: u64) -> u64 {
        PUBLISH_HEADER + topic.len() as u64 + self.signature + content
    }

    /// Connecting to the broker, with a last will on `topic`.
    pub fn connection(&self, topic: &str, last_will: u64) -> u64 {
        let tls = if self.is_encrypted { TLS_HANDSHAKE } else { 0 };
        TCP_HANDSHAKE + tls + MQTT_HANDSHAKE + self.packet(topic, last_will)
    }

    /// An attempt to connect that failed.
    pub fn failed_connection(&self) -> u64 {
        TCP_HANDSHAKE
    }

    /// A probe of an idle connection, and the answer.
    pub fn probe(&self) -> u64 {
        2 * (TRANSPORT + SHORT_PACKET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::sighting::MessageKind;
    use flukewatch_common::topic;

    #[test]
    fn all_parts_are_counted() {
        let signed = PacketSize::new(true, true);
        let topic = "flukewatch/v1/balaena/status";
        assert_eq!(signed.packet(topic, 100), 9 + 28 + 68 + 100);
        assert_eq!(signed.message(topic, 100, false), 62 + 205);
        assert_eq!(signed.message(topic, 100, true), 62 + 205 + 66);
        // The longest brief: its payload, the envelope, and the topic of a boat with a long name.
        let topic_of_brief =
            topic::of_message(&"a".repeat(32).parse().unwrap(), MessageKind::Brief);
        assert_eq!(signed.packet(&topic_of_brief, 161 + 11), 301);
        let plain = PacketSize::new(false, false);
        assert_eq!(plain.packet(topic, 100), 9 + 28 + 100);
        let handshakes = signed.connection(topic, 0) - plain.connection(topic, 0);
        assert_eq!(handshakes, 3_500 + 68);
    }
}
