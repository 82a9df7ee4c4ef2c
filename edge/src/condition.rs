//! The health document in plain words, for people, scripts and the service manager's status line.

use crate::health::{Health, Link};
use crate::machine::{Level, hottest};
use serde::Serialize;

/// One thing that is said of the boat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Whether that is good.
    pub level: Level,
    /// What it is about, as `camera bow`.
    pub about: String,
    /// The words.
    pub words: String,
}

fn line(level: Level, about: impl Into<String>, words: impl Into<String>) -> Line {
    Line {
        level,
        about: about.into(),
        words: words.into(),
    }
}

/// All that there is to say.
pub fn lines(health: &Health) -> Vec<Line> {
    let mut lines = cameras(health);
    lines.push(outbox(health));
    lines.push(link(health));
    lines.push(position(health));
    lines.push(time(health));
    lines.push(engine(health));
    lines.extend(machine(health));
    lines
}

/// The worst of them.
pub fn worst(lines: &[Line]) -> Level {
    lines.iter().map(|l| l.level).max().unwrap_or_default()
}

/// In one line.
pub fn status(health: &Health) -> String {
    let waiting = health.queued_sightings + health.queued_pictures;
    let mut words = format!(
        "{} frames, {} sightings, {waiting} messages wait",
        health.frames, health.accepted
    );
    let bad = lines(health).into_iter().filter(|l| l.level > Level::Good);
    for Line {
        about, words: what, ..
    } in bad
    {
        words += &format!("; {about}: {what}");
    }
    words
}

fn cameras(health: &Health) -> Vec<Line> {
    let said = health.cameras.iter().map(|camera| {
        let about = format!("camera {}", camera.name);
        let mode = camera.mode.as_deref().unwrap_or("frames");
        let trouble = camera
            .trouble
            .as_deref()
            .map(|t| format!(": {t}"))
            .unwrap_or_default();
        match camera.state.as_str() {
            "streaming" => line(Level::Good, about, format!("sends {mode}")),
            "waiting" => line(Level::Warning, about, "is not open yet"),
            "stalled" => line(
                Level::Warning,
                about,
                format!("sends nothing and is started anew{trouble}"),
            ),
            "lost" => line(
                Level::Fault,
                about,
                format!("is lost and looked for{trouble}"),
            ),
            "failed" => line(Level::Fault, about, format!("has failed{trouble}")),
            "replaying" => line(Level::Good, about, "is a replay"),
            "over" => line(Level::Good, about, "has no more frames"),
            other => line(Level::Warning, about, format!("{other}{trouble}")),
        }
    });
    said.collect()
}

fn outbox(health: &Health) -> Line {
    let about = "outbox";
    let outbox = &health.outbox;
    if health.given_up > 0 {
        let words = format!("{} sightings are lost; the log names them", health.given_up);
        return line(Level::Fault, about, words);
    }
    if health.in_memory > 0 {
        let words = format!(
            "{} sightings wait in memory, since it does not take them",
            health.in_memory
        );
        return line(Level::Fault, about, words);
    }
    if let Some(trouble) = &outbox.trouble {
        return line(Level::Fault, about, trouble);
    }
    if health.dead > 0 {
        let words = format!(
            "{} messages can never be sent; `flukewatch-edge outbox` lists them",
            health.dead
        );
        return line(Level::Warning, about, words);
    }
    match health.queued_sightings + health.queued_pictures {
        0 => line(Level::Good, about, "shore has everything"),
        waiting => {
            let since = outbox
                .oldest_seconds
                .map(|s| format!(", the oldest for {}", span(s)))
                .unwrap_or_default();
            let words = format!("{waiting} messages wait for shore{since}; they are safe");
            line(Level::Good, about, words)
        }
    }
}

fn link(health: &Health) -> Line {
    match health.link {
        Link::Up => line(Level::Good, "link", "there is a link to the broker"),
        Link::Down => line(
            Level::Warning,
            "link",
            "there is no link to the broker; it is tried again and again",
        ),
    }
}

fn position(health: &Health) -> Line {
    let p = &health.position;
    let about = "position";
    let ago = p
        .fix_milliseconds_ago
        .map(|ago| format!(", {} ago", span(ago / 1000)))
        .unwrap_or_default();
    let trouble = p
        .trouble
        .as_deref()
        .map(|t| format!(": {t}"))
        .unwrap_or_default();
    match p.state.as_str() {
        "off" | "" => line(Level::Good, about, "no receiver is configured"),
        "fix" => {
            let place = p.latitude.zip(p.longitude);
            let place = place.map_or_else(String::new, |(n, e)| format!("{n:.4}, {e:.4}"));
            line(Level::Good, about, format!("{place}{ago}"))
        }
        "connecting" => line(
            Level::Warning,
            about,
            format!("the receiver cannot be reached{trouble}"),
        ),
        "silent" => line(
            Level::Warning,
            about,
            format!("the receiver says nothing{trouble}"),
        ),
        "no-fix" => line(Level::Warning, about, "the receiver has no fix"),
        "old-fix" => line(
            Level::Warning,
            about,
            format!("the last fix is too old{ago}"),
        ),
        other => line(Level::Warning, about, format!("{other}{trouble}")),
    }
}

fn time(health: &Health) -> Line {
    let t = &health.time;
    let ahead = t.computer_ahead_milliseconds.unwrap_or(0);
    if t.source == "satellites" {
        let off = if ahead.abs() > 2000 {
            let side = if ahead > 0 { "fast" } else { "slow" };
            let off = span(ahead.unsigned_abs() / 1000);
            format!("; the computer's clock is {off} {side}")
        } else {
            String::new()
        };
        return line(Level::Good, "time", format!("by satellites{off}"));
    }
    match t.clock_jumps {
        0 => line(Level::Good, "time", "by the computer's clock"),
        jumps => line(
            Level::Warning,
            "time",
            format!("by the computer's clock, which was set {jumps} times"),
        ),
    }
}

fn engine(health: &Health) -> Line {
    let level = if health.failed_encounters > 0 {
        Level::Warning
    } else {
        Level::Good
    };
    let failed = match health.failed_encounters {
        0 => String::new(),
        failed => format!("; it could make nothing of {failed} encounters"),
    };
    line(level, "engine", format!("{}{failed}", health.engine))
}

fn machine(health: &Health) -> Vec<Line> {
    let mut lines = vec![];
    if let Some(hottest) = hottest(&health.machine.temperatures) {
        lines.push(line(hottest.level, "temperature", hottest.to_string()));
    }
    if let Some(disk) = &health.machine.disk {
        lines.push(line(disk.level, "disk", disk.to_string()));
    }
    lines
}

/// As `3 minutes`.
fn span(seconds: u64) -> String {
    let count = |n: u64, unit: &str| format!("{n} {unit}{}", if n == 1 { "" } else { "s" });
    match seconds {
        ..120 => count(seconds, "second"),
        120..7200 => count(seconds / 60, "minute"),
        7200..172_800 => count(seconds / 3600, "hour"),
        _ => count(seconds / 86_400, "day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CameraHealth;
    use crate::health::{Counters, Inputs};
    use crate::machine::{MachineHealth, Temperature};
    use flukewatch_common::clock::Timestamp;

    fn healthy() -> Health {
        let counters = Counters::default();
        counters.set_link(true);
        let camera = CameraHealth {
            name: "bow".into(),
            state: "streaming".into(),
            mode: Some("1920 x 1080 MJPEG at 30 a second".into()),
            ..CameraHealth::default()
        };
        let inputs = Inputs {
            cameras: vec![camera],
            ..Inputs::default()
        };
        let status = Default::default();
        let counts = Default::default();
        counters.health("b", "b", &status, counts, Timestamp(0), inputs)
    }

    /// What is said of `about`.
    fn said(health: &Health, about: &str) -> (Level, String) {
        let all = lines(health);
        let found = all.iter().find(|l| l.about == about);
        let found = found.unwrap_or_else(|| panic!("{about}: {all:?}"));
        (found.level, found.words.clone())
    }

    #[test]
    fn a_healthy_boat_says_so() {
        let health = healthy();
        let lines = lines(&health);
        assert_eq!(worst(&lines), Level::Good, "{lines:?}");
        assert_eq!(
            said(&health, "camera bow").1,
            "sends 1920 x 1080 MJPEG at 30 a second"
        );
        assert_eq!(status(&health), "0 frames, 0 sightings, 0 messages wait");
    }

    #[test]
    fn each_trouble_has_its_words_and_level() {
        let mut health = healthy();
        health.cameras[0].state = "lost".into();
        health.cameras[0].trouble = Some("no such device".into());
        let words = "is lost and looked for: no such device";
        assert_eq!(said(&health, "camera bow"), (Level::Fault, words.into()));
        assert!(status(&health).ends_with(&format!("; camera bow: {words}")));

        let mut health = healthy();
        health.queued_sightings = 3;
        health.outbox.oldest_seconds = Some(7200);
        let words = "3 messages wait for shore, the oldest for 2 hours; they are safe";
        assert_eq!(said(&health, "outbox"), (Level::Good, words.into()));
        health.dead = 1;
        assert_eq!(said(&health, "outbox").0, Level::Warning);
        health.in_memory = 2;
        assert_eq!(said(&health, "outbox").0, Level::Fault);
        health.given_up = 1;
        assert!(said(&health, "outbox").1.contains("lost"));

        let mut health = healthy();
        health.link = Link::Down;
        assert_eq!(said(&health, "link").0, Level::Warning);
        for (state, level) in [
            ("off", Level::Good),
            ("fix", Level::Good),
            ("silent", Level::Warning),
            ("connecting", Level::Warning),
            ("no-fix", Level::Warning),
            ("old-fix", Level::Warning),
            ("unheard of", Level::Warning),
        ] {
            health.position.state = state.into();
            assert_eq!(said(&health, "position").0, level, "{state}");
        }
        health.time.source = "satellites".into();
        health.time.computer_ahead_milliseconds = Some(-365 * 86_400_000);
        let words = "by satellites; the computer's clock is 365 days slow";
        assert_eq!(said(&health, "time"), (Level::Good, words.into()));

        health.machine = MachineHealth {
            temperatures: vec![Temperature {
                sensor: "cpu".into(),
                celsius: 96.0,
                level: Level::Fault,
            }],
            disk: None,
        };
        let words = "96 °C at cpu";
        assert_eq!(said(&health, "temperature"), (Level::Fault, words.into()));
        assert_eq!(worst(&lines(&health)), Level::Fault);
    }
}
