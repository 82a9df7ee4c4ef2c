//! Two cameras of a boat see the same flukes at once: one encounter each, unless the cameras look in
//! different directions.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::station::Station;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// A whale of the catalogue, and one that is new.
const WHALES: [u32; 2] = [3, 77];

/// The sightings on shore of a boat whose cameras `port` and `starboard` show the same flukes at the
/// same time, mounted at these bearings.
fn seen(folder: &Path, bearings: [f64; 2]) -> Vec<Value> {
    let station = Station::start(&folder.join("shore"));
    let port = station.mqtt().port();
    let boat = Boat::new(&folder.join("boat"), "balaena", Camera::Video, port);
    boat.set_video(&[
        (None, 5),
        (Some(WHALES[0]), 8),
        (None, 15),
        (Some(WHALES[1]), 8),
        (None, 15),
    ]);
    boat.rewrite(|text| {
        let (before, rest) = text.split_once("[camera]\n").unwrap();
        let (keys, after) = rest.split_once("\n\n").unwrap();
        let cameras = ["port", "starboard"].into_iter().zip(bearings).map(|(name, bearing)| {
            format!(
                "[[camera]]\nname = \"{name}\"\n{keys}\nmount = {{ bearing_degrees = {bearing:?}, \
                 field_of_view_degrees = 60.0, height_metres = 4.0, horizon_row_fraction = 0.5 }}\n\n"
            )
        });
        format!("{before}{}{after}", cameras.collect::<String>())
    });
    boat.run(60).succeeded();
    boat.assert_delivered();
    assert_eq!(station.rejected("invalid"), 0);
    let all = station.has_all("balaena", 2 * WHALES.len() as u64);
    for sighting in &all {
        let id = sighting["encounter"].as_str().unwrap();
        let together = station.get(&format!("/api/v1/sightings?encounter={id}"));
        let count = all.iter().filter(|s| s["encounter"] == id).count();
        assert_eq!(together.as_array().unwrap().len(), count);
    }
    all
}

/// Cameras and verdicts by encounter, in the order of the first sightings.
fn encounters(sightings: &[Value]) -> Vec<Vec<(&str, &str)>> {
    let mut found: BTreeMap<u64, Vec<(&str, &str)>> = BTreeMap::new();
    for sighting in sightings {
        let first = sightings.iter().find(|s| s["id"] == sighting["encounter"]);
        let sequence = first.unwrap()["sequence"].as_u64().unwrap();
        let camera = sighting["camera"].as_str().unwrap();
        let verdict = sighting["verdict"].as_str().unwrap();
        found.entry(sequence).or_default().push((camera, verdict));
    }
    found
        .into_values()
        .map(|mut encounter| {
            encounter.sort_unstable();
            encounter
        })
        .collect()
}

#[test]
fn one_fluke_before_two_cameras_is_one_encounter() {
    let folder = tempfile::tempdir().unwrap();
    let all = seen(folder.path(), [350.0, 5.0]);
    let both = |verdict| vec![("port", verdict), ("starboard", verdict)];
    assert_eq!(encounters(&all), [both("known"), both("new")], "{all:?}");
    for sighting in &all {
        // The verdict of the second camera's rests on the crops of the first as well.
        let earlier = sighting["footage"]["earlier_crops"].as_u64().unwrap();
        assert_eq!(
            earlier > 0,
            sighting["encounter"] != sighting["id"],
            "{sighting}"
        );
        // The fluke is in the middle of the frame; the lower edge of its box is 32 of 104 rows below
        // the horizon: 4 m / tan(atan(32 / 180.1) + 0.06°) = 22.4 m.
        let relative = &sighting["relative_position"];
        let bearing = if sighting["camera"] == "port" {
            350.0
        } else {
            5.0
        };
        assert_eq!(relative["bearing_from_bow_degrees"], json!(bearing));
        assert_eq!(relative["bearing_degrees"], json!(null), "no heading");
        let range = relative["range_metres"].as_f64().unwrap();
        assert!((range - 22.4).abs() < 0.1, "{range}");
        assert_eq!(sighting["position"], json!(null));
    }
}

#[test]
fn flukes_in_two_directions_are_two_encounters() {
    let folder = tempfile::tempdir().unwrap();
    let all = seen(folder.path(), [270.0, 90.0]);
    let mut found = encounters(&all);
    found.sort_unstable();
    let expected = [
        vec![("port", "known")],
        vec![("port", "new")],
        vec![("starboard", "known")],
        vec![("starboard", "new")],
    ];
    assert_eq!(found, expected, "{all:?}");
}
