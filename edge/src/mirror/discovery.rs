//! Home Assistant's discovery: one device with its sensors, in one retained message.
//!
//! The format is that of Home Assistant's MQTT integration since 2024.11 (device discovery), with its abbreviations written out.

use serde_json::{Map, Value, json};

/// A sensor of the device: its key, name, template of its value, and more properties.
type Sensor = (&'static str, &'static str, &'static str, Value);

/// The topic and the content for `boat`, whose topics begin with `topic`.
pub(super) fn message(prefix: &str, topic: &str, boat: &str) -> (String, Value) {
    let id = format!("flukewatch_{}", boat.replace('-', "_"));
    let mut components = Map::new();
    for (key, name, template, properties) in sensors() {
        let mut component = json!({
            "platform": "sensor",
            "name": name,
            "unique_id": format!("{id}_{key}"),
            "state_topic": format!("{topic}/{boat}/status"),
            "value_template": template,
        });
        if let (Value::Object(component), Value::Object(more)) = (&mut component, properties) {
            component.extend(more);
        }
        components.insert(key.to_owned(), component);
    }
    components.insert("problem".to_owned(), problem(&id, topic, boat));
    components.insert("last_whale".to_owned(), last_whale(&id, topic, boat));
    let content = json!({
        "device": {
            "identifiers": [id],
            "name": format!("Flukewatch {boat}"),
            "manufacturer": "Flukewatch",
            "sw_version": env!("CARGO_PKG_VERSION"),
        },
        "origin": { "name": "flukewatch-edge", "sw_version": env!("CARGO_PKG_VERSION") },
        "availability_topic": format!("{topic}/{boat}/available"),
        "components": components,
    });
    (format!("{prefix}/device/{id}/config"), content)
}

fn sensors() -> [Sensor; 6] {
    let total = json!({ "state_class": "total_increasing" });
    let now = json!({ "state_class": "measurement" });
    [
        (
            "sightings",
            "Sightings",
            "{{ value_json.sightings }}",
            total,
        ),
        (
            "pending",
            "Pending messages",
            "{{ value_json.pending_sightings + value_json.pending_pictures }}",
            now,
        ),
        (
            "oldest_pending",
            "Oldest pending message",
            "{{ value_json.oldest_pending_seconds }}",
            json!({ "device_class": "duration", "unit_of_measurement": "s" }),
        ),
        ("link", "Link", "{{ value_json.link }}", json!({})),
        (
            "temperature",
            "Temperature",
            "{{ value_json.temperature_celsius }}",
            json!({ "device_class": "temperature", "unit_of_measurement": "°C" }),
        ),
        (
            "disk_free",
            "Free disk space",
            "{{ value_json.disk_free_bytes }}",
            json!({ "device_class": "data_size", "unit_of_measurement": "B" }),
        ),
    ]
}

fn problem(id: &str, topic: &str, boat: &str) -> Value {
    json!({
        "platform": "binary_sensor",
        "name": "Problem",
        "unique_id": format!("{id}_problem"),
        "device_class": "problem",
        "state_topic": format!("{topic}/{boat}/status"),
        "value_template": "{{ 'OFF' if value_json.severity == 'ok' else 'ON' }}",
        "json_attributes_topic": format!("{topic}/{boat}/status"),
    })
}

fn last_whale(id: &str, topic: &str, boat: &str) -> Value {
    json!({
        "platform": "sensor",
        "name": "Last whale",
        "unique_id": format!("{id}_last_whale"),
        "state_topic": format!("{topic}/{boat}/last_sighting"),
        "value_template": "{{ value_json.whale or value_json.verdict }}",
        "json_attributes_topic": format!("{topic}/{boat}/last_sighting"),
    })
}
