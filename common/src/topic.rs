//! Where on the broker what travels.
//!
//! `flukewatch/v1/<boat>/sighting` and `flukewatch/v1/<boat>/picture` go from boat to shore, `flukewatch/v1/<boat>/receipt`
//! back. All at QoS 1, none retained.

use crate::sighting::{BoatId, Part};

/// All sightings of all boats, for shore to subscribe to.
pub const ALL_SIGHTINGS: &str = "flukewatch/v1/+/sighting";
/// All pictures of all boats, for shore to subscribe to.
pub const ALL_PICTURES: &str = "flukewatch/v1/+/picture";

/// Where `boat` publishes a `part`.
pub fn of_part(boat: &BoatId, part: Part) -> String {
    match part {
        Part::Sighting => format!("flukewatch/v1/{boat}/sighting"),
        Part::Picture => format!("flukewatch/v1/{boat}/picture"),
    }
}

/// Where `boat` hears what shore has stored.
pub fn of_receipts(boat: &BoatId) -> String {
    format!("flukewatch/v1/{boat}/receipt")
}

/// The boat and the part that a topic names; `None` for any other topic.
pub fn parse_part(topic: &str) -> Option<(BoatId, Part)> {
    let (boat, part) = topic.strip_prefix("flukewatch/v1/")?.split_once('/')?;
    let part = match part {
        "sighting" => Part::Sighting,
        "picture" => Part::Picture,
        _ => return None,
    };
    Some((boat.parse().ok()?, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_boat_and_part() {
        let boat: BoatId = "balaena".parse().unwrap();
        for part in [Part::Sighting, Part::Picture] {
            assert_eq!(
                parse_part(&of_part(&boat, part)),
                Some((boat.clone(), part))
            );
        }
        assert_eq!(parse_part(&of_receipts(&boat)), None);
        assert_eq!(parse_part("flukewatch/v1/a/b/sighting"), None);
    }
}
