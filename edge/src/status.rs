//! The health document in plain words: for the page, `/healthz` and systemd's status line.

use crate::capture::CameraHealth;
use crate::health::{Broker, BundleUpdateHealth, Health, SettingsHealth, SignatureHealth};
use crate::machine::{Severity, hottest};
use crate::outbox::Salvaged;
use crate::picture::PictureFault;
use crate::stage::StageHealth;
use flukewatch_common::link_class::LinkClass;
use serde::Serialize;

/// The status of one part of the boat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StatusItem {
    /// How serious it is.
    pub(crate) severity: Severity,
    /// The part, e.g. `camera bow`.
    pub(crate) subject: String,
    /// The status in words.
    pub(crate) message: String,
}

fn item(severity: Severity, subject: impl Into<String>, message: impl Into<String>) -> StatusItem {
    StatusItem {
        severity,
        subject: subject.into(),
        message: message.into(),
    }
}

/// The status of each part.
pub(crate) fn items(health: &Health) -> Vec<StatusItem> {
    let mut items = cameras(health);
    items.extend(configuration(health));
    items.extend(settings(health));
    items.extend(signature(health));
    items.extend(bundle_update(health));
    items.extend(stages(health));
    items.extend(recordings(health));
    items.push(outbox(health));
    items.push(broker(health));
    items.extend(link(health));
    items.push(position(health));
    items.push(time(health));
    items.extend(detector(health));
    items.push(engine(health));
    items.extend(machine(health));
    items
}

/// The worst severity of `items`.
pub(crate) fn worst(items: &[StatusItem]) -> Severity {
    items.iter().map(|i| i.severity).max().unwrap_or_default()
}

/// One line: counts, then what needs attention.
pub(crate) fn summary(health: &Health) -> String {
    let mut line = format!(
        "{} frames, {} sightings, {} messages pending",
        health.frames,
        health.accepted,
        pending(health)
    );
    let problems = items(health)
        .into_iter()
        .filter(|i| i.severity > Severity::Ok);
    for StatusItem {
        subject, message, ..
    } in problems
    {
        line += &format!("; {subject}: {message}");
    }
    line
}

fn pending(health: &Health) -> u64 {
    health.pending_sightings + health.pending_pictures
}

fn cause(error: Option<&str>) -> String {
    error.map(|e| format!(": {e}")).unwrap_or_default()
}

fn cameras(health: &Health) -> Vec<StatusItem> {
    let items = health.cameras.iter().map(|camera| {
        let subject = format!("camera {}", camera.name);
        let mode = camera.mode.as_deref().unwrap_or("streaming");
        let why = cause(camera.trouble.as_deref());
        match camera.state.as_str() {
            "streaming" if camera.picture == Some(PictureFault::Frozen) => item(
                Severity::Critical,
                subject,
                picture(camera).unwrap_or_default(),
            ),
            "streaming" if camera.is_searched(&health.levels) => {
                let fraction = camera.searched_fraction();
                let skipping = fraction.is_some_and(|f| health.levels.is_skipping(f));
                let searched =
                    fraction.map(|f| format!("{:.0} % of its frames searched", 100.0 * f));
                let trouble = camera.trouble.clone().or_else(|| picture(camera));
                let severity = if trouble.is_some() || skipping {
                    Severity::Warning
                } else {
                    Severity::Ok
                };
                let trouble = trouble.map(|t| format!(": {t}")).unwrap_or_default();
                let searched = searched.map(|s| format!("; {s}")).unwrap_or_default();
                let remedy = if skipping {
                    ": the computer is too slow for its frame rate and size"
                } else {
                    ""
                };
                item(
                    severity,
                    subject,
                    format!("{mode}{trouble}{searched}{remedy}"),
                )
            }
            // Before its first frame.
            "streaming"
                if camera.last_searched_milliseconds_ago.is_none()
                    && health.uptime_seconds < 30 =>
            {
                item(Severity::Ok, subject, mode)
            }
            "streaming" => {
                let ago = camera.last_searched_milliseconds_ago;
                let since = ago.map_or("yet".into(), |ago| format!("for {}", span(ago / 1000)));
                item(
                    Severity::Critical,
                    subject,
                    format!("no frame searched {since}{why}"),
                )
            }
            "connecting" => item(Severity::Warning, subject, "not opened yet"),
            "stalled" => item(
                Severity::Warning,
                subject,
                format!("no frames; restarting{why}"),
            ),
            "disconnected" => item(
                Severity::Critical,
                subject,
                format!("disconnected; reconnecting{why}"),
            ),
            "failed" => item(Severity::Critical, subject, format!("failed{why}")),
            "replaying" => item(Severity::Ok, subject, "replay"),
            "ended" => item(Severity::Ok, subject, "no more frames"),
            other => item(Severity::Warning, subject, format!("{other}{why}")),
        }
    });
    items.collect()
}

/// What is wrong with a camera's pictures.
fn picture(camera: &CameraHealth) -> Option<String> {
    let fault = camera.picture?;
    let since = span(camera.picture_seconds.unwrap_or(0));
    Some(format!("pictures for {since} {fault}"))
}

/// Whether the configuration in use is another one than that in the file.
fn configuration(health: &Health) -> Option<StatusItem> {
    let reason = health.configuration.fallback.as_ref()?;
    let message = format!("running the last one that worked: {reason}");
    Some(item(Severity::Critical, "configuration", message))
}

/// The stages that were restarted, or work on one item for long.
fn stages(health: &Health) -> Vec<StatusItem> {
    let problem = |stage: &StageHealth| {
        let subject = format!("stage {}", stage.name);
        let why = cause(stage.last_failure.as_deref());
        match (stage.busy_milliseconds, stage.restarts) {
            (Some(busy), _) if health.levels.is_stuck(busy) => {
                let message = format!("busy with one item for {}{why}", span(busy / 1000));
                Some(item(Severity::Critical, subject, message))
            }
            (_, 0) => None,
            (_, restarts) => {
                let times = match restarts {
                    1 => "once".to_owned(),
                    many => format!("{many} times"),
                };
                let message = format!("restarted {times}{why}");
                Some(item(Severity::Warning, subject, message))
            }
        }
    };
    health.stages.iter().filter_map(problem).collect()
}

/// Encounters that are lost, or frames that clips lack.
fn recordings(health: &Health) -> Vec<StatusItem> {
    let mut items = vec![];
    let lost = &health.unrecorded;
    if lost.encounters > 0 {
        let last = lost.started.last();
        let last = last.map_or(String::new(), |at| format!(", the last at {at}"));
        let message = format!("{} encounters seen and not recorded{last}", lost.encounters);
        items.push(item(Severity::Critical, "recordings", message));
    }
    if health.missing_clip_frames > 0 {
        let message = format!(
            "{} frames are missing: the disk is slow",
            health.missing_clip_frames
        );
        items.push(item(Severity::Warning, "clips", message));
    }
    items
}

fn outbox(health: &Health) -> StatusItem {
    let subject = "outbox";
    let outbox = &health.outbox;
    if health.dropped_sightings > 0 {
        let message = format!(
            "{} sightings lost; the log has their ids",
            health.dropped_sightings
        );
        return item(Severity::Critical, subject, message);
    }
    if health.sightings_in_memory > 0 {
        let message = format!(
            "rejects sightings; {} are in memory only",
            health.sightings_in_memory
        );
        return item(Severity::Critical, subject, message);
    }
    if let Some(error) = &outbox.error {
        return item(Severity::Critical, subject, error);
    }
    if let Some(last) = outbox.set_aside.last() {
        let salvaged = match last.salvaged {
            None => "not all of its sightings may have reached shore. Keep the folder".to_owned(),
            Some(Salvaged {
                messages,
                complete: true,
            }) => format!(
                "its {messages} messages are sent. Move the folder away once they have reached shore"
            ),
            Some(Salvaged { messages, .. }) => format!(
                "{messages} messages could be read and are sent, others are lost. Keep the folder, and move it away once they are saved"
            ),
        };
        let message = format!(
            "set aside in {}: {}; {salvaged}",
            last.folder.display(),
            last.reason
        );
        return item(Severity::Warning, subject, message);
    }
    if health.dead_letters > 0 {
        let rejected = match health.rejected {
            0 => String::new(),
            rejected => format!(", {rejected} rejected by shore since the start"),
        };
        let message = format!(
            "{} dead letters{rejected}; list them with `flukewatch-edge outbox`",
            health.dead_letters
        );
        return item(Severity::Warning, subject, message);
    }
    match pending(health) {
        0 => item(Severity::Ok, subject, "everything delivered"),
        pending => {
            let age = outbox
                .oldest_pending_seconds
                .map(|s| format!(", the oldest for {}", span(s)))
                .unwrap_or_default();
            let message = format!("{pending} messages pending{age}");
            let late = |seconds| health.levels.is_late(seconds);
            let severity = if outbox.oldest_pending_seconds.is_some_and(late) {
                Severity::Warning
            } else {
                Severity::Ok
            };
            item(severity, subject, message)
        }
    }
}

fn broker(health: &Health) -> StatusItem {
    if health.twin {
        let message = format!(
            "another computer sends as '{}', e.g. because a card was copied; rename one of the two (boat.name)",
            health.boat
        );
        return item(Severity::Critical, "broker", message);
    }
    match health.broker {
        Broker::Connected if health.invalid_signatures > 0 => {
            let message = format!(
                "connected; {} messages without a valid signature since the start were ignored: someone else \
                 publishes on the broker, or uplink.identity is of another station",
                health.invalid_signatures
            );
            item(Severity::Warning, "broker", message)
        }
        Broker::Connected => item(Severity::Ok, "broker", "connected"),
        Broker::Disconnected => item(Severity::Warning, "broker", "disconnected; reconnecting"),
    }
}

/// The class of the link to shore, what is left of its budget, and how long pending messages will take; `None`
/// in harbour, where everything is sent at once.
fn link(health: &Health) -> Option<StatusItem> {
    let link = &health.link;
    let budget = link.bytes_per_hour.map(|limit| {
        let left = size(link.bytes_left.unwrap_or(0));
        let pending = link.pending.iter().filter(|kind| kind.messages > 0);
        let pending = pending.map(|kind| match kind.seconds {
            Some(0) => format!("; {} soon", kind.kind),
            Some(seconds) => format!("; {} in about {}", kind.kind, span(seconds)),
            None => format!("; {} over another link", kind.kind),
        });
        let pending: String = pending.collect();
        format!("{left} of {} left in this hour{pending}", size(limit))
    });
    let class = link.class;
    if let Some(fault) = &link.fault {
        let message = format!("{class}; cannot use uplink.link_file: {fault}");
        return Some(item(Severity::Warning, "link", message));
    }
    match budget {
        Some(budget) => Some(item(Severity::Ok, "link", format!("{class}; {budget}"))),
        None if class == LinkClass::Harbour => None,
        None => Some(item(Severity::Ok, "link", class.as_str())),
    }
}

fn position(health: &Health) -> StatusItem {
    let p = &health.position;
    let subject = "position";
    let age = p
        .fix_milliseconds_ago
        .map(|ago| format!(", {} ago", span(ago / 1000)))
        .unwrap_or_default();
    let why = cause(p.trouble.as_deref());
    match p.state.as_str() {
        "off" | "" => item(Severity::Ok, subject, "no GNSS receiver configured"),
        "fix" => {
            let fix = p.latitude.zip(p.longitude);
            let fix = fix.map_or_else(String::new, |(n, e)| format!("{n:.4}, {e:.4}"));
            item(Severity::Ok, subject, format!("{fix}{age}"))
        }
        "connecting" => item(
            Severity::Warning,
            subject,
            format!("GNSS receiver unreachable; reconnecting{why}"),
        ),
        "timed_out" => item(
            Severity::Warning,
            subject,
            format!("GNSS receiver timed out{why}"),
        ),
        "no_fix" => item(Severity::Warning, subject, format!("no GNSS fix{why}")),
        "stale_fix" => item(Severity::Warning, subject, format!("GNSS fix too old{age}")),
        other => item(Severity::Warning, subject, format!("{other}{why}")),
    }
}

fn time(health: &Health) -> StatusItem {
    let t = &health.time;
    let ahead = t.system_clock_ahead_milliseconds.unwrap_or(0);
    if t.source == "gnss" {
        let off = if ahead.abs() > 2000 {
            let side = if ahead > 0 { "fast" } else { "slow" };
            let off = span(ahead.unsigned_abs() / 1000);
            format!("; the computer's clock is {off} {side}")
        } else {
            String::new()
        };
        return item(Severity::Ok, "time", format!("GNSS{off}"));
    }
    if let Some(time) = &t.implausible_time {
        let date = time.split('T').next().unwrap_or_default();
        return item(
            Severity::Warning,
            "time",
            format!("computer's clock; the GNSS receiver's date {date} is implausible"),
        );
    }
    match t.clock_jumps {
        0 => item(Severity::Ok, "time", "computer's clock"),
        jumps => item(
            Severity::Warning,
            "time",
            format!("computer's clock, which jumped {jumps} times"),
        ),
    }
}

/// Who published the bundle, and whether the signature is still valid.
fn signature(health: &Health) -> Option<StatusItem> {
    let SignatureHealth {
        version,
        expires,
        expired,
        ..
    } = health.signature.as_ref()?;
    let date = expires.split('T').next().unwrap_or_default();
    Some(match expired {
        Some(true) => item(
            Severity::Warning,
            "bundle",
            format!("version {version}; its signature expired on {date}: get a newer bundle"),
        ),
        Some(false) => item(
            Severity::Ok,
            "bundle",
            format!("version {version}, signed until {date}"),
        ),
        None => item(
            Severity::Ok,
            "bundle",
            format!("version {version}, signed until {date}; the date is unknown"),
        ),
    })
}

/// The settings from shore, and those in use.
fn settings(health: &Health) -> Option<StatusItem> {
    let SettingsHealth { report, values } = health.settings.as_ref()?;
    let in_use = if values.is_empty() {
        "the file's values are in use".to_owned()
    } else {
        format!("in use: {}", values.join(", "))
    };
    let state = report.progress.as_str().replace('_', " ");
    let revision = report.revision;
    let (severity, state) = if report.reason.is_empty() {
        (Severity::Ok, state)
    } else {
        (Severity::Warning, format!("{state}: {}", report.reason))
    };
    let message = format!("revision {revision} from shore {state}; {in_use}");
    Some(item(severity, "settings", message))
}

/// How far the bundle is that the station offers.
fn bundle_update(health: &Health) -> Option<StatusItem> {
    let BundleUpdateHealth {
        state,
        received_bytes,
        total_bytes,
        reason,
    } = health.bundle_update.as_ref()?;
    let (severity, message) = match (state.as_str(), received_bytes, total_bytes, reason) {
        ("receiving", Some(received), Some(total), _) if *total > 0 => {
            let kilobytes = |bytes: &u64| bytes.div_ceil(1000);
            let (received, total) = (kilobytes(received), kilobytes(total));
            (
                Severity::Ok,
                format!("receiving: {received} of {total} kB are aboard"),
            )
        }
        ("on_trial", ..) => (Severity::Ok, "new bundle in use, on trial".to_owned()),
        (state, .., Some(reason)) => {
            let state = state.replace('_', " ");
            (Severity::Warning, format!("{state}: {reason}"))
        }
        (state, ..) => (Severity::Ok, state.replace('_', " ")),
    };
    Some(item(severity, "bundle update", message))
}

/// The detector's engine, speed and failures.
fn detector(health: &Health) -> Option<StatusItem> {
    let detector = health.detector.as_ref()?;
    let mut message = detector.engine.clone();
    let mean = detector.mean_milliseconds;
    let slow = mean.is_some_and(|mean| health.levels.is_slow(mean));
    if let Some(mean) = mean {
        let word = if slow { "slow: " } else { "" };
        message += &format!("; {word}{mean:.0} ms a frame");
    }
    let (failed, frames) = (detector.recent_errors, detector.recent_frames);
    if failed > 0 {
        message += &format!("; failed on {failed} of {frames} frames in the last minute");
    }
    let severity = if slow || failed > health.levels.detector_errors {
        Severity::Warning
    } else {
        Severity::Ok
    };
    Some(item(severity, "detector", message))
}

fn engine(health: &Health) -> StatusItem {
    let Health {
        engine,
        failed_encounters: failed,
        unidentified: waiting,
        ..
    } = health;
    let mut message = engine.clone();
    if *failed > 0 {
        message += &format!("; {failed} identifications failed");
    }
    if *waiting > 0 {
        message += &format!("; {waiting} encounters to identify");
    }
    let severity = if *failed > 0 || *waiting > health.levels.unidentified {
        Severity::Warning
    } else {
        Severity::Ok
    };
    item(severity, "engine", message)
}

fn machine(health: &Health) -> Vec<StatusItem> {
    let mut items = vec![];
    if let Some(hottest) = hottest(&health.machine.temperatures) {
        items.push(item(hottest.severity, "temperature", hottest.to_string()));
    }
    if let Some(disk) = &health.machine.disk {
        items.push(item(disk.severity, "disk", disk.to_string()));
    }
    items
}

/// A number of bytes in words, e.g. `18.4 kB`.
fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes < 1e6 {
        format!("{:.1} kB", bytes / 1e3)
    } else if bytes < 1e9 {
        format!("{:.1} MB", bytes / 1e6)
    } else {
        format!("{:.1} GB", bytes / 1e9)
    }
}

/// A duration in words, e.g. `3 minutes`.
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
mod tests;
