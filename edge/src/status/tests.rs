use super::*;
use crate::detector_meter::DetectorHealth;
use crate::health::{Counters, InputHealth, UnrecordedHealth};
use crate::link_budget::{LinkHealth, PendingKind};
use crate::machine::{MachineHealth, Temperature};
use crate::outbox::SetAside;
use flukewatch_common::boat_settings::{SettingsProgress, SettingsReport};

fn healthy() -> Health {
    let counters = Counters::default();
    counters.set_connected(true);
    let camera = CameraHealth {
        name: "bow".into(),
        state: "streaming".into(),
        mode: Some("1920 x 1080 MJPEG at 30 fps".into()),
        last_searched_milliseconds_ago: Some(40),
        ..CameraHealth::default()
    };
    let inputs = InputHealth {
        cameras: vec![camera],
        ..InputHealth::default()
    };
    Health::of(&counters, inputs)
}

/// The status of `subject`.
fn found(health: &Health, subject: &str) -> (Severity, String) {
    let all = items(health);
    let found = all.iter().find(|i| i.subject == subject);
    let found = found.unwrap_or_else(|| panic!("{subject}: {all:?}"));
    (found.severity, found.message.clone())
}

#[test]
fn a_healthy_boat_is_ok() {
    let health = healthy();
    let items = items(&health);
    assert_eq!(worst(&items), Severity::Ok, "{items:?}");
    assert_eq!(
        found(&health, "camera bow").1,
        "1920 x 1080 MJPEG at 30 fps"
    );
    assert_eq!(
        summary(&health),
        "0 frames, 0 sightings, 0 messages pending"
    );
}

#[test]
fn a_camera_is_green_while_it_is_searched() {
    let mut health = healthy();
    health.cameras[0].trouble = Some("7 of 10 frames cannot be used".into());
    assert_eq!(found(&health, "camera bow").0, Severity::Warning);
    health.cameras[0].last_searched_milliseconds_ago = Some(45_000);
    let message = "no frame searched for 45 seconds: 7 of 10 frames cannot be used";
    let critical = (Severity::Critical, message.into());
    assert_eq!(found(&health, "camera bow"), critical);
    // A detector that never worked.
    health.cameras[0].last_searched_milliseconds_ago = None;
    assert_eq!(
        found(&health, "camera bow").0,
        Severity::Ok,
        "it has just started"
    );
    health.uptime_seconds = 60;
    assert_eq!(found(&health, "camera bow").0, Severity::Critical);
}

#[test]
fn pictures_without_a_view_are_said() {
    let mut health = healthy();
    health.cameras[0].picture = Some(PictureFault::Blurred);
    health.cameras[0].picture_seconds = Some(400);
    let (severity, message) = found(&health, "camera bow");
    assert_eq!(severity, Severity::Warning);
    let expected = "pictures for 6 minutes blurred: clean the lens";
    assert!(message.ends_with(expected), "{message}");
    health.cameras[0].picture = Some(PictureFault::Frozen);
    assert_eq!(found(&health, "camera bow").0, Severity::Critical);
    assert!(!health.cameras[0].is_searched(&health.levels));
}

#[test]
fn a_camera_whose_frames_are_mostly_skipped_is_a_warning() {
    let mut health = healthy();
    (
        health.cameras[0].recent_frames,
        health.cameras[0].recent_searched,
    ) = (1800, 1764);
    let message = "1920 x 1080 MJPEG at 30 fps; 98 % of its frames searched";
    assert_eq!(found(&health, "camera bow"), (Severity::Ok, message.into()));
    health.cameras[0].recent_searched = 1260;
    let (severity, message) = found(&health, "camera bow");
    assert_eq!(severity, Severity::Warning);
    assert!(
        message.contains("; 70 % of its frames searched: the computer is too slow"),
        "{message}"
    );
    assert!(
        health.cameras[0].is_searched(&health.levels),
        "it is not blind"
    );
    health.levels.searched_fraction = 0.6;
    assert_eq!(found(&health, "camera bow").0, Severity::Ok);
    // Too few to judge, and a replay.
    (
        health.cameras[0].recent_frames,
        health.cameras[0].recent_searched,
    ) = (9, 0);
    assert_eq!(found(&health, "camera bow").0, Severity::Ok);
    (
        health.cameras[0].recent_frames,
        health.cameras[0].recent_searched,
    ) = (1800, 0);
    health.cameras[0].state = "replaying".into();
    assert_eq!(found(&health, "camera bow").0, Severity::Ok);
}

#[test]
fn a_detector_that_is_slow_or_fails_is_a_warning() {
    let mut health = healthy();
    assert!(items(&health).iter().all(|i| i.subject != "detector"));
    let fast = DetectorHealth {
        engine: "tract 0.23.9 f32".into(),
        recent_frames: 300,
        mean_milliseconds: Some(41.7),
        ..DetectorHealth::default()
    };
    health.detector = Some(fast.clone());
    let message = "tract 0.23.9 f32; 42 ms a frame";
    assert_eq!(found(&health, "detector"), (Severity::Ok, message.into()));
    health.detector = Some(DetectorHealth {
        mean_milliseconds: Some(400.0),
        ..fast.clone()
    });
    let message = "tract 0.23.9 f32; slow: 400 ms a frame";
    assert_eq!(
        found(&health, "detector"),
        (Severity::Warning, message.into())
    );
    health.levels.detector_milliseconds = 500.0;
    assert_eq!(found(&health, "detector").0, Severity::Ok);
    health.detector = Some(DetectorHealth {
        recent_errors: 7,
        ..fast
    });
    let message = "tract 0.23.9 f32; 42 ms a frame; failed on 7 of 300 frames in the last minute";
    assert_eq!(
        found(&health, "detector"),
        (Severity::Warning, message.into())
    );
    health.levels.detector_errors = 7;
    assert_eq!(found(&health, "detector").0, Severity::Ok);
}

#[test]
fn the_levels_decide() {
    let mut health = healthy();
    health.unidentified = 40;
    health.pending_sightings = 1;
    health.outbox.oldest_pending_seconds = Some(10 * 86_400);
    health.cameras[0].last_searched_milliseconds_ago = Some(5_000);
    assert_eq!(worst(&items(&health)), Severity::Ok);
    health.levels.unidentified = 30;
    assert_eq!(found(&health, "engine").0, Severity::Warning);
    health.levels.pending_days = 9.0;
    assert_eq!(found(&health, "outbox").0, Severity::Warning);
    health.levels.blind_seconds = 4.0;
    assert_eq!(found(&health, "camera bow").0, Severity::Critical);
}

#[test]
fn what_is_lost_slow_or_restarted_is_said() {
    let mut health = healthy();
    health.unrecorded = UnrecordedHealth {
        encounters: 2,
        started: vec!["2026-11-23T16:20:00.000Z".into()],
    };
    health.missing_clip_frames = 9;
    health.unidentified = 3;
    health.stages = vec![
        StageHealth {
            name: "identification".into(),
            restarts: 1,
            last_failure: Some("hung".into()),
            ..StageHealth::default()
        },
        StageHealth {
            name: "recorder".into(),
            busy_milliseconds: Some(25_000),
            ..StageHealth::default()
        },
    ];
    let message = "2 encounters seen and not recorded, the last at 2026-11-23T16:20:00.000Z";
    let critical = (Severity::Critical, message.into());
    assert_eq!(found(&health, "recordings"), critical);
    assert_eq!(found(&health, "clips").0, Severity::Warning);
    let restarted = (Severity::Warning, "restarted once: hung".into());
    assert_eq!(found(&health, "stage identification"), restarted);
    let busy = (
        Severity::Critical,
        "busy with one item for 25 seconds".into(),
    );
    assert_eq!(found(&health, "stage recorder"), busy);
    assert!(
        found(&health, "engine")
            .1
            .ends_with("; 3 encounters to identify")
    );
    health.configuration.fallback = Some("line 3: no such key".into());
    assert_eq!(found(&health, "configuration").0, Severity::Critical);
}

#[test]
fn each_problem_has_its_message_and_severity() {
    let mut health = healthy();
    health.cameras[0].state = "disconnected".into();
    health.cameras[0].trouble = Some("no such device".into());
    let message = "disconnected; reconnecting: no such device";
    assert_eq!(
        found(&health, "camera bow"),
        (Severity::Critical, message.into())
    );
    assert!(summary(&health).ends_with(&format!("; camera bow: {message}")));

    let mut health = healthy();
    health.pending_sightings = 3;
    health.outbox.oldest_pending_seconds = Some(7200);
    let message = "3 messages pending, the oldest for 2 hours";
    assert_eq!(found(&health, "outbox"), (Severity::Ok, message.into()));
    health.dead_letters = 2;
    assert_eq!(found(&health, "outbox").0, Severity::Warning);
    health.rejected = 1;
    let message = "2 dead letters, 1 rejected by shore since the start; list them with `flukewatch-edge outbox`";
    assert_eq!(found(&health, "outbox").1, message);
    health.sightings_in_memory = 2;
    assert_eq!(found(&health, "outbox").0, Severity::Critical);
    health.dropped_sightings = 1;
    assert!(found(&health, "outbox").1.contains("lost"));

    let mut health = healthy();
    health.outbox.set_aside = vec![SetAside {
        folder: "/boat/outbox-set-aside-2026".into(),
        reason: "its database is missing".into(),
        salvaged: None,
    }];
    let (severity, message) = found(&health, "outbox");
    assert_eq!(severity, Severity::Warning);
    assert!(message.contains("outbox-set-aside-2026: its database is missing"));
    health.twin = true;
    assert_eq!(found(&health, "broker").0, Severity::Critical);

    let mut health = healthy();
    health.invalid_signatures = 1;
    assert_eq!(found(&health, "broker").0, Severity::Warning);
    health.broker = Broker::Disconnected;
    assert_eq!(found(&health, "broker").0, Severity::Warning);
    for (state, severity) in [
        ("off", Severity::Ok),
        ("fix", Severity::Ok),
        ("timed_out", Severity::Warning),
        ("connecting", Severity::Warning),
        ("no_fix", Severity::Warning),
        ("stale_fix", Severity::Warning),
        ("something else", Severity::Warning),
    ] {
        health.position.state = state.into();
        assert_eq!(found(&health, "position").0, severity, "{state}");
    }
    health.time.implausible_time = Some("1980-01-06T16:20:00.000Z".into());
    let message = "computer's clock; the GNSS receiver's date 1980-01-06 is implausible";
    assert_eq!(found(&health, "time"), (Severity::Warning, message.into()));
    health.time.source = "gnss".into();
    health.time.system_clock_ahead_milliseconds = Some(-365 * 86_400_000);
    let message = "GNSS; the computer's clock is 365 days slow";
    assert_eq!(found(&health, "time"), (Severity::Ok, message.into()));

    health.machine = MachineHealth {
        temperatures: vec![Temperature {
            sensor: "cpu".into(),
            celsius: 96.0,
            severity: Severity::Critical,
        }],
        disk: None,
    };
    let message = "cpu: 96 °C";
    assert_eq!(
        found(&health, "temperature"),
        (Severity::Critical, message.into())
    );
    assert_eq!(worst(&items(&health)), Severity::Critical);
}

#[test]
fn an_expired_signature_is_a_warning() {
    let mut health = healthy();
    let signature = |expired| SignatureHealth {
        version: 7,
        key: "ed25519:key".into(),
        expires: "2027-12-01T00:00:00Z".into(),
        expired,
    };
    for (expired, severity) in [
        (Some(false), Severity::Ok),
        (None, Severity::Ok),
        (Some(true), Severity::Warning),
    ] {
        health.signature = Some(signature(expired));
        let (found, message) = found(&health, "bundle");
        assert_eq!(found, severity);
        assert!(message.contains("version 7") && message.contains("2027-12-01"));
    }
}

#[test]
fn a_budget_and_what_it_takes_are_said() {
    let mut health = healthy();
    assert!(items(&health).iter().all(|item| item.subject != "link"));
    let kind = |kind: &str, messages, seconds| PendingKind {
        kind: kind.into(),
        messages,
        bytes: 100,
        seconds,
    };
    health.link = LinkHealth {
        class: LinkClass::Vsat,
        bytes_per_hour: Some(20_000_000),
        bytes_left: Some(18_400),
        pending: vec![
            kind("identities", 0, Some(0)),
            kind("sightings", 2, Some(240)),
            kind("pictures", 3, None),
        ],
        ..LinkHealth::default()
    };
    let text = "vsat; 18.4 kB of 20.0 MB left in this hour; sightings in about 4 minutes; pictures over another link";
    assert_eq!(found(&health, "link"), (Severity::Ok, text.into()));
    health.link.fault = Some("no such file".into());
    let text = "vsat; cannot use uplink.link_file: no such file";
    assert_eq!(found(&health, "link"), (Severity::Warning, text.into()));
}

#[test]
fn settings_from_shore_are_said_and_a_warning_where_they_are_not_used() {
    let mut health = healthy();
    assert!(items(&health).iter().all(|item| item.subject != "settings"));
    let report = |progress, in_use, reason: &str| SettingsReport {
        revision: 3,
        in_use,
        progress,
        reason: reason.into(),
    };
    let values = vec!["clip.days=3".to_owned()];
    health.settings = Some(SettingsHealth {
        report: report(SettingsProgress::Active, 3, ""),
        values,
    });
    let text = "revision 3 from shore active; in use: clip.days=3";
    assert_eq!(found(&health, "settings"), (Severity::Ok, text.into()));
    health.settings = Some(SettingsHealth {
        report: report(SettingsProgress::RolledBack, 0, "a stage restarted 3 times"),
        values: vec![],
    });
    let text = "revision 3 from shore rolled back: a stage restarted 3 times; the file's values are in use";
    assert_eq!(found(&health, "settings"), (Severity::Warning, text.into()));
}
