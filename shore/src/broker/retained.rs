//! Retained messages: the last one of each topic, for clients that subscribe later.

use super::delivery::Delivery;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last retained message of each topic. In memory only.
#[derive(Debug, Default)]
pub(super) struct Retained {
    by_topic: BTreeMap<Arc<str>, Delivery>,
}

impl Retained {
    /// Keeps `message` in place of the earlier one of its topic; an empty one removes it.
    pub(super) fn keep(&mut self, message: &Delivery) {
        if message.payload.is_empty() {
            self.by_topic.remove(&message.topic);
            return;
        }
        let retained = Delivery {
            retain: true,
            ..message.clone()
        };
        self.by_topic.insert(message.topic.clone(), retained);
    }

    /// All messages, by topic.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Delivery> {
        self.by_topic.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rumqttc_v4::QoS;

    fn message(topic: &str, payload: &'static [u8]) -> Delivery {
        Delivery {
            topic: topic.into(),
            payload: Bytes::from_static(payload),
            qos: QoS::AtLeastOnce,
            retain: false,
        }
    }

    fn kept(retained: &Retained) -> Vec<(&str, &[u8], bool)> {
        let all = retained.iter();
        all.map(|m| (&*m.topic, &*m.payload, m.retain)).collect()
    }

    #[test]
    fn the_last_message_of_a_topic_is_kept_until_an_empty_one() {
        let mut retained = Retained::default();
        for (topic, payload) in [("b", &b"1"[..]), ("a", b"2"), ("b", b"3")] {
            retained.keep(&message(topic, payload));
        }
        assert_eq!(kept(&retained), [("a", &b"2"[..], true), ("b", b"3", true)]);
        retained.keep(&message("a", b""));
        assert_eq!(kept(&retained), [("b", &b"3"[..], true)]);
    }
}
