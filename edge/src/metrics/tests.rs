use super::*;
use crate::detector_meter::DetectorHealth;
use crate::health::{Counters, HealthSources, InputHealth, OutboxHealth, UnrecordedHealth};
use crate::link_budget::{CarriedBytes, LinkHealth, PendingKind};
use crate::machine::{DiskHealth, MachineHealth, Temperature};
use crate::stage::Stages;
use flukewatch_common::clock::Timestamp;
use flukewatch_inference::engine::status::EngineStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn health() -> Health {
    let counters = Counters::default();
    (0..7).for_each(|_| counters.frame());
    counters.broken_frame();
    counters.set_connected(true);
    let camera = |name: &str, state: &str| CameraHealth {
        name: name.into(),
        state: state.into(),
        frames: 30,
        dropped: 2,
        missed: 3,
        searched: 21,
        recent_frames: 20,
        recent_searched: 15,
        last_frame_milliseconds_ago: (state == "streaming").then_some(250),
        ..CameraHealth::default()
    };
    let mut inputs = InputHealth {
        // A name that would break the format if it were not escaped.
        cameras: vec![
            camera("bow", "streaming"),
            camera("a \"b\" \\ \n#", CAMERA_STATES[3]),
        ],
        ..InputHealth::default()
    };
    inputs.position.state = "no_fix".into();
    Health::collect(HealthSources {
        boat: "balaena",
        bundle: "abc",
        signature: None,
        bundle_update: None,
        engine: &EngineStatus::default(),
        detector: Some(DetectorHealth {
            engine: "tract".into(),
            accelerator: "preparing".into(),
            frames: 50,
            errors: 2,
            recent_frames: 40,
            recent_errors: 1,
            mean_milliseconds: Some(125.0),
            slowest_milliseconds: Some(250.0),
        }),
        counters: &counters,
        pending: Default::default(),
        now: Timestamp(0),
        uptime: Duration::ZERO,
        inputs,
        machine: MachineHealth {
            temperatures: vec![Temperature {
                sensor: "cpu-thermal".into(),
                celsius: 54.25,
                severity: Severity::Ok,
            }],
            disk: Some(DiskHealth {
                free_bytes: 123_456_789_012,
                total_bytes: 1 << 40,
                severity: Severity::Warning,
            }),
        },
        outbox: OutboxHealth {
            in_flight: 4,
            ..OutboxHealth::default()
        },
        levels: crate::levels::Levels::default(),
        link: LinkHealth {
            class: LinkClass::Iridium,
            bytes_left: Some(18_400),
            carried: vec![CarriedBytes {
                class: LinkClass::Lte,
                bytes: 77,
            }],
            pending: vec![PendingKind {
                kind: "pictures".into(),
                messages: 6,
                bytes: 600,
                seconds: None,
            }],
            ..LinkHealth::default()
        },
        stages: Stages::default().health(),
        unrecorded: UnrecordedHealth {
            encounters: 2,
            started: vec![],
        },
    })
}

/// A metric as parsed: its type and samples, each with its labels.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    samples: Vec<(BTreeMap<String, String>, f64)>,
}

/// Parses the text format, and rejects what `promtool check metrics` rejects: samples without HELP
/// and TYPE before them, a metric in two places, invalid names, a label or a series twice, counters
/// that do not end in `_total`.
fn read(text: &str) -> BTreeMap<String, Metric> {
    assert!(text.ends_with('\n'), "the last line is not terminated");
    let mut all: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(!words.is_empty() && is_name(name), "{line}");
            assert!(!all.contains_key(name), "{name} occurs twice");
            current = name.to_owned();
            all.insert(current.clone(), Metric::default());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, current, "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            all.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let end = line.find(['{', ' ']).unwrap();
            assert_eq!(line[..end], current, "{line}");
            let (labels, value) = match line[end..].strip_prefix('{') {
                Some(rest) => labels(rest),
                None => (BTreeMap::new(), line[end..].trim_start()),
            };
            let value: f64 = value.parse().unwrap_or_else(|e| panic!("{line}: {e}"));
            let metric = all.get_mut(&current).unwrap();
            assert!(
                ["counter", "gauge"].contains(&metric.kind.as_str()),
                "{line}"
            );
            assert!(
                metric.samples.iter().all(|(l, _)| *l != labels),
                "{line} twice"
            );
            metric.samples.push((labels, value));
        }
    }
    all
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `name="value",..} rest`, in which a value has its `\\`, `"` and line breaks escaped.
fn labels(mut text: &str) -> (BTreeMap<String, String>, &str) {
    let mut all = BTreeMap::new();
    loop {
        let (name, rest) = text.split_once("=\"").unwrap();
        assert!(is_name(name), "{name}");
        let mut value = String::new();
        let mut letters = rest.char_indices();
        let end = loop {
            match letters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    same @ ('\\' | '"') => same,
                    other => panic!("unknown escape \\{other}"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(all.insert(name.to_owned(), value).is_none(), "{name} twice");
        match rest[end + 1..].strip_prefix(',') {
            Some(more) => text = more,
            None => return (all, rest[end + 1..].strip_prefix("} ").unwrap()),
        }
    }
}

fn value(all: &BTreeMap<String, Metric>, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: BTreeSet<(&str, &str)> = labels.iter().copied().collect();
    let metric = all.get(name).unwrap_or_else(|| panic!("{name} is missing"));
    let found = metric.samples.iter().find(|(labels, _)| {
        let has: BTreeSet<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        has == wanted
    });
    found
        .unwrap_or_else(|| panic!("{name} {labels:?}: {metric:?}"))
        .1
}

#[test]
fn all_that_health_counts_can_be_read() {
    let all = read(&text(&health(), &Rejections::default()).unwrap());
    for (name, labels, expected) in [
        ("flukewatch_frames_total", &[][..], 7.0),
        ("flukewatch_broken_frames_total", &[], 1.0),
        ("flukewatch_broker_connected", &[], 1.0),
        ("flukewatch_outbox_in_flight_messages", &[], 4.0),
        ("flukewatch_outbox_writable", &[], 1.0),
        (
            "flukewatch_camera_dropped_frames_total",
            &[("camera", "bow")],
            2.0,
        ),
        (
            "flukewatch_camera_searched_frames_total",
            &[("camera", "bow")],
            21.0,
        ),
        (
            "flukewatch_camera_searched_fraction",
            &[("camera", "bow")],
            0.75,
        ),
        ("flukewatch_detector_frames_total", &[], 50.0),
        ("flukewatch_detector_errors_total", &[], 2.0),
        ("flukewatch_detector_mean_seconds", &[], 0.125),
        ("flukewatch_detector_slowest_seconds", &[], 0.25),
        (
            "flukewatch_camera_missed_frames_total",
            &[("camera", "a \"b\" \\ \n#")],
            3.0,
        ),
        (
            "flukewatch_camera_state",
            &[("camera", "bow"), ("state", "streaming")],
            1.0,
        ),
        (
            "flukewatch_camera_state",
            &[("camera", "bow"), ("state", CAMERA_STATES[3])],
            0.0,
        ),
        (
            "flukewatch_camera_last_frame_age_seconds",
            &[("camera", "bow")],
            0.25,
        ),
        ("flukewatch_position_state", &[("state", "no_fix")], 1.0),
        (
            "flukewatch_temperature_celsius",
            &[("sensor", "cpu-thermal")],
            54.25,
        ),
        ("flukewatch_disk_free_bytes", &[], 123_456_789_012.0),
        ("flukewatch_disk_severity", &[], 1.0),
        ("flukewatch_link_class", &[("link", "iridium")], 1.0),
        ("flukewatch_link_class", &[("link", "harbour")], 0.0),
        ("flukewatch_link_left_bytes", &[], 18_400.0),
        ("flukewatch_link_bytes_total", &[("link", "lte")], 77.0),
        (
            "flukewatch_link_pending_messages",
            &[("kind", "pictures")],
            6.0,
        ),
    ] {
        assert_eq!(value(&all, name, labels), expected, "{name} {labels:?}");
    }
    let info = &all["flukewatch_info"].samples[0].0;
    assert_eq!((&*info["boat"], &*info["bundle"]), ("balaena", "abc"));
    assert_eq!(
        (&*info["detector_engine"], &*info["detector_accelerator"]),
        ("tract", "preparing")
    );
}

#[test]
fn unknown_values_are_left_out() {
    let bare = Health::of(&Counters::default(), InputHealth::default());
    let all = read(&text(&bare, &Rejections::default()).unwrap());
    for unknown in [
        "flukewatch_position_fix_age_seconds",
        "flukewatch_clock_ahead_seconds",
        "flukewatch_camera_searched_fraction",
        "flukewatch_detector_frames_total",
        "flukewatch_detector_mean_seconds",
        "flukewatch_disk_free_bytes",
        "flukewatch_temperature_celsius",
    ] {
        assert!(!all.contains_key(unknown), "{unknown}");
    }
    assert_eq!(
        value(&all, "flukewatch_outbox_oldest_pending_seconds", &[]),
        0.0
    );
}
