//! Retained messages: the last one of each topic, for clients that subscribe later.

use super::delivery::Delivery;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The last retained message of each topic. In memory only.
#[derive(Debug, Default)]
pub(super) struct Retained {
    by_topic: BTreeMap<Arc<str>, Delivery>,
}

/// The limits of retained messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetainedLimits {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Retained {
    /// Keeps `message` in place of the earlier one of its topic; an empty one removes it. Returns whether
    /// the limits allow it.
    pub(super) fn keep(&mut self, message: &Delivery, limits: RetainedLimits) -> bool {
        if message.payload.is_empty() {
            self.by_topic.remove(&message.topic);
            return true;
        }
        let is_new = !self.by_topic.contains_key(&message.topic);
        if message.payload.len() > limits.bytes
            || (is_new && self.by_topic.len() >= limits.messages)
        {
            return false;
        }
        let retained = Delivery {
            retain: true,
            ..message.clone()
        };
        self.by_topic.insert(message.topic.clone(), retained);
        true
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
    use rumqttc::QoS;

    const LIMITS: RetainedLimits = RetainedLimits {
        messages: 2,
        bytes: 5,
    };

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
            assert!(retained.keep(&message(topic, payload), LIMITS));
        }
        assert_eq!(kept(&retained), [("a", &b"2"[..], true), ("b", b"3", true)]);
        assert!(retained.keep(&message("a", b""), LIMITS));
        assert_eq!(kept(&retained), [("b", &b"3"[..], true)]);
    }

    #[test]
    fn number_and_size_are_limited() {
        let mut retained = Retained::default();
        assert!(!retained.keep(&message("a", b"123456"), LIMITS));
        assert!(retained.keep(&message("a", b"12345"), LIMITS));
        assert!(retained.keep(&message("b", b"1"), LIMITS));
        assert!(!retained.keep(&message("c", b"1"), LIMITS));
        assert!(retained.keep(&message("b", b"2"), LIMITS));
        assert_eq!(kept(&retained).len(), 2);
    }
}
