//! The MQTT topics of messages and acks.
//!
//! `flukewatch/v1/<boat>/sighting`, `flukewatch/v1/<boat>/picture` and `flukewatch/v1/<boat>/brief` go from boat to shore, `flukewatch/v1/<boat>/ack`
//! back, all at QoS 1. `flukewatch/v1/<boat>/presence` goes from boat to shore and to boats of the same
//! name, at QoS 0. `flukewatch/v1/<boat>/status` goes from boat to shore, at QoS 1, and is retained; the others are not.
//!
//! A bundle travels on three topics: `flukewatch/v1/<boat>/offer` from shore to boat, at QoS 1 and retained, `flukewatch/v1/<boat>/request`
//! from boat to shore, at QoS 1, with requests and reports, and `flukewatch/v1/<boat>/content` back, at QoS 0.
//!
//! Files that stay aboard travel on two: `flukewatch/v1/<boat>/command` from shore to boat, at QoS 1 and retained, and `flukewatch/v1/<boat>/chunk`
//! from boat to shore, at QoS 1.
//!
//! `flukewatch/v1/<boat>/settings` goes from shore to boat, at QoS 1 and retained.

use crate::sighting::{BoatId, MessageKind};

/// All sightings of all boats, for shore to subscribe to.
pub const ALL_SIGHTINGS: &str = "flukewatch/v1/+/sighting";
/// All pictures of all boats, for shore to subscribe to.
pub const ALL_PICTURES: &str = "flukewatch/v1/+/picture";
/// All briefs of all boats, for shore to subscribe to.
pub const ALL_BRIEFS: &str = "flukewatch/v1/+/brief";

/// The presence of all boats, for shore to subscribe to.
pub const ALL_PRESENCES: &str = "flukewatch/v1/+/presence";

/// The status of all boats, for shore to subscribe to.
pub const ALL_STATUSES: &str = "flukewatch/v1/+/status";

/// The requests and reports of all boats about bundles, for shore to subscribe to.
pub const ALL_REQUESTS: &str = "flukewatch/v1/+/request";

/// The chunks of files of all boats, for shore to subscribe to.
pub const ALL_CHUNKS: &str = "flukewatch/v1/+/chunk";

/// The topic on which `boat` publishes messages of kind `part`.
pub fn of_message(boat: &BoatId, part: MessageKind) -> String {
    match part {
        MessageKind::Sighting => format!("flukewatch/v1/{boat}/sighting"),
        MessageKind::Picture | MessageKind::PicturePart => format!("flukewatch/v1/{boat}/picture"),
        MessageKind::Brief => format!("flukewatch/v1/{boat}/brief"),
    }
}

/// The topic on which `boat` receives acks.
pub fn of_acks(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/ack")
}

/// The topic on which `boat` reports its presence.
pub fn of_presence(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/presence")
}

/// The topic on which `boat` reports its status.
pub fn of_status(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/status")
}

/// The topic on which `boat` is offered a bundle.
pub fn of_offer(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/offer")
}

/// The topic on which `boat` requests pieces of a bundle, and reports what became of it.
pub fn of_requests(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/request")
}

/// The topic on which `boat` receives pieces of a bundle.
pub fn of_content(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/content")
}

/// The topic on which `boat` learns which files are wanted of it.
pub fn of_commands(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/command")
}

/// The topic on which `boat` sends chunks of these files.
pub fn of_chunks(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/chunk")
}

/// The boat that sends a chunk on a topic; `None` for any other topic.
pub fn parse_chunk(topic: &str) -> Option<BoatId> {
    let boat = topic.strip_prefix("flukewatch/v1/")?;
    boat.strip_suffix("/chunk")?.parse().ok()
}

/// The topic on which `boat` receives settings.
pub fn of_settings(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/settings")
}

/// The boat that requests or reports on a topic; `None` for any other topic.
pub fn parse_request(topic: &str) -> Option<BoatId> {
    let boat = topic.strip_prefix("flukewatch/v1/")?;
    boat.strip_suffix("/request")?.parse().ok()
}

/// The boat that reports its presence on a topic; `None` for any other topic.
pub fn parse_presence(topic: &str) -> Option<BoatId> {
    let boat = topic.strip_prefix("flukewatch/v1/")?;
    boat.strip_suffix("/presence")?.parse().ok()
}

/// The boat that reports its status on a topic; `None` for any other topic.
pub fn parse_status(topic: &str) -> Option<BoatId> {
    let boat = topic.strip_prefix("flukewatch/v1/")?;
    boat.strip_suffix("/status")?.parse().ok()
}

/// The boat and the message kind that a topic names; `None` for any other topic. Parts of pictures are on the topic of
/// pictures.
pub fn parse(topic: &str) -> Option<(BoatId, MessageKind)> {
    let (boat, part) = topic.strip_prefix("flukewatch/v1/")?.split_once('/')?;
    let part = match part {
        "sighting" => MessageKind::Sighting,
        "picture" => MessageKind::Picture,
        "brief" => MessageKind::Brief,
        _ => return None,
    };
    Some((boat.parse().ok()?, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_boat_and_message_kind() {
        let boat: BoatId = "balaena".parse().unwrap();
        for part in [
            MessageKind::Sighting,
            MessageKind::Picture,
            MessageKind::Brief,
        ] {
            assert_eq!(parse(&of_message(&boat, part)), Some((boat.clone(), part)));
        }
        assert_eq!(parse(&of_acks(&boat)), None);
        assert_eq!(parse("flukewatch/v1/a/b/sighting"), None);
        assert_eq!(parse(&of_presence(&boat)), None);
        assert_eq!(parse_presence(&of_presence(&boat)), Some(boat.clone()));
        assert_eq!(parse(&of_status(&boat)), None);
        assert_eq!(parse_status(&of_status(&boat)), Some(boat.clone()));
        assert_eq!(parse_status(&of_presence(&boat)), None);
        assert_eq!(parse_status("flukewatch/v1/a/b/status"), None);
        assert_eq!(parse(&of_requests(&boat)), None);
        assert_eq!(parse_request(&of_requests(&boat)), Some(boat.clone()));
        assert_eq!(parse_request(&of_offer(&boat)), None);
        assert_eq!(parse_request("flukewatch/v1/a/b/request"), None);
        assert_eq!(parse_presence("flukewatch/v1/a/b/presence"), None);
        assert_eq!(parse(&of_chunks(&boat)), None);
        assert_eq!(parse_chunk(&of_chunks(&boat)), Some(boat.clone()));
        assert_eq!(parse_chunk(&of_commands(&boat)), None);
        assert_eq!(parse_chunk("flukewatch/v1/a/b/chunk"), None);
    }
}
