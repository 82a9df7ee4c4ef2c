use super::*;
use crate::health::{Counters, Health, InputHealth};
use std::collections::BTreeSet;

#[test]
fn home_assistant_gets_one_device_with_unique_sensors() {
    let (topic, device) = discovery::message("homeassistant", "flukewatch", "north-star");
    assert_eq!(topic, "homeassistant/device/flukewatch_north_star/config");
    assert_eq!(
        device["availability_topic"],
        "flukewatch/north-star/available"
    );
    assert_eq!(device["device"]["identifiers"][0], "flukewatch_north_star");
    let components = device["components"].as_object().unwrap();
    let ids: BTreeSet<&str> = components
        .values()
        .map(|c| c["unique_id"].as_str().unwrap())
        .collect();
    assert_eq!((components.len(), ids.len()), (8, 8));
    for component in components.values() {
        let topic = component["state_topic"].as_str().unwrap();
        assert!(
            ["status", "last_sighting"]
                .iter()
                .any(|last| topic == format!("flukewatch/north-star/{last}")),
            "{topic}"
        );
    }
}

/// The names in the templates are fields of what is published.
#[test]
fn every_template_names_a_field() {
    let (_, device) = discovery::message("homeassistant", "flukewatch", "balaena");
    let health = Health::of(&Counters::default(), InputHealth::default());
    let status = serde_json::to_value(status::MirrorStatus::of(&health)).unwrap();
    for component in device["components"].as_object().unwrap().values() {
        let template = component["value_template"].as_str().unwrap();
        if component["state_topic"] != "flukewatch/balaena/status" {
            continue;
        }
        for field in template.split("value_json.").skip(1) {
            let name: String = field
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            assert!(status.get(&name).is_some(), "{name} of {template}");
        }
    }
}
