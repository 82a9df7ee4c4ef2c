//! The health document as Prometheus reads it.

use crate::health::{Health, Link};
use crate::machine::Level;
use prometheus::core::Collector;
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};

/// The states that a camera can be in.
const CAMERA_STATES: [&str; 7] = [
    "waiting",
    "streaming",
    "stalled",
    "lost",
    "replaying",
    "over",
    "failed",
];
/// The states that the position can be in.
const POSITION_STATES: [&str; 6] = ["off", "connecting", "silent", "no-fix", "fix", "old-fix"];

/// What [`text`] is sent as.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `health` in Prometheus' text format, version 0.0.4. What is not known is left out.
///
/// # Errors
/// Never, but for a defect of ours: a name that is none, or is there twice.
pub fn text(health: &Health) -> Result<String, prometheus::Error> {
    let sheet = Sheet(Registry::new());
    sheet.boat(health)?;
    sheet.cameras(health)?;
    sheet.outbox(health)?;
    sheet.position_and_time(health)?;
    sheet.machine(health)?;
    TextEncoder::new().encode_to_string(&sheet.0.gather())
}

struct Sheet(Registry);

type Done = Result<(), prometheus::Error>;

impl Sheet {
    fn add(&self, metric: impl Collector + 'static) -> Done {
        self.0.register(Box::new(metric))
    }

    fn options(name: &str, help: &str) -> Opts {
        Opts::new(format!("flukewatch_{name}"), help)
    }

    /// A gauge with labels; each value with theirs.
    fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl IntoIterator<Item = (Vec<&'a str>, f64)>,
    ) -> Done {
        let gauges = GaugeVec::new(Self::options(name, help), labels)?;
        for (labels, value) in values {
            gauges.get_metric_with_label_values(&labels)?.set(value);
        }
        self.add(gauges)
    }

    fn gauge(&self, name: &str, help: &str, value: impl Into<Option<f64>>) -> Done {
        match value.into() {
            Some(value) => self.gauges(name, help, &[], [(vec![], value)]),
            None => Ok(()),
        }
    }

    /// A counter with labels; each value with theirs.
    fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl IntoIterator<Item = (Vec<&'a str>, u64)>,
    ) -> Done {
        let counters = CounterVec::new(Self::options(&format!("{name}_total"), help), labels)?;
        for (labels, value) in values {
            let counter = counters.get_metric_with_label_values(&labels)?;
            counter.inc_by(value as f64);
        }
        self.add(counters)
    }

    fn counter(&self, name: &str, help: &str, value: u64) -> Done {
        self.counters(name, help, &[], [(vec![], value)])
    }

    fn boat(&self, h: &Health) -> Done {
        let info = vec![
            env!("CARGO_PKG_VERSION"),
            &h.boat,
            &h.bundle,
            &h.engine,
            &h.accelerator,
        ];
        let labels = ["version", "boat", "bundle", "engine", "accelerator"];
        let help = "What is at work; always 1";
        self.gauges("info", help, &labels, [(info, 1.0)])?;
        self.gauge(
            "uptime_seconds",
            "How long the program has worked",
            h.uptime_seconds as f64,
        )?;
        for (name, help, value) in [
            (
                "reloads",
                "New configurations that were taken up",
                h.reloads,
            ),
            ("frames", "Frames that were looked at", h.frames),
            (
                "broken_frames",
                "Frames that could not be used",
                h.broken_frames,
            ),
            ("encounters", "Encounters that ended", h.encounters),
            (
                "failed_encounters",
                "Encounters of which the model could make nothing",
                h.failed_encounters,
            ),
            (
                "sightings_accepted",
                "Sightings that were taken into the outbox",
                h.accepted,
            ),
            (
                "sightings_given_up",
                "Sightings that are lost because the outbox did not take them",
                h.given_up,
            ),
            (
                "messages_sent",
                "Messages handed to the link, those sent again included",
                h.sent,
            ),
            (
                "messages_resent",
                "Messages that got no receipt in time",
                h.resent,
            ),
            (
                "messages_receipted",
                "Messages that shore has receipted",
                h.receipted,
            ),
        ] {
            self.counter(name, help, value)?;
        }
        self.gauge(
            "link_up",
            "Whether there is a link to the broker",
            f64::from(u8::from(h.link == Link::Up)),
        )
    }

    fn cameras(&self, h: &Health) -> Done {
        type Count = fn(&crate::capture::CameraHealth) -> u64;
        let counts: [(&str, &str, Count); 5] = [
            ("frames", "Frames that a live camera gave", |c| c.frames),
            (
                "dropped_frames",
                "Frames that were replaced by newer ones before anybody could look at them",
                |c| c.dropped,
            ),
            ("missed_frames", "Frames that never left the driver", |c| {
                c.missed
            }),
            (
                "damaged_frames",
                "Frames that the driver called damaged, or that were empty",
                |c| c.damaged,
            ),
            ("restarts", "How often it was started anew", |c| c.restarts),
        ];
        for (name, help, count) in counts {
            let values = h.cameras.iter().map(|c| (vec![c.name.as_str()], count(c)));
            self.counters(&format!("camera_{name}"), help, &["camera"], values)?;
        }
        let states = h.cameras.iter().flat_map(|c| {
            CAMERA_STATES.map(|state| {
                let is = f64::from(u8::from(c.state == state));
                (vec![c.name.as_str(), state], is)
            })
        });
        let help = "1 for the state that the camera is in, 0 for the others";
        self.gauges("camera_state", help, &["camera", "state"], states)?;
        let ages = h.cameras.iter().filter_map(|c| {
            let age = c.last_frame_milliseconds_ago? as f64 / 1000.0;
            Some((vec![c.name.as_str()], age))
        });
        let help = "How long ago the camera's last frame was taken";
        self.gauges("camera_last_frame_age_seconds", help, &["camera"], ages)
    }

    fn outbox(&self, h: &Health) -> Done {
        let o = &h.outbox;
        for (name, help, value) in [
            (
                "outbox_sightings",
                "Sightings that wait for their receipt",
                h.queued_sightings,
            ),
            (
                "outbox_pictures",
                "Pictures that wait for their receipt",
                h.queued_pictures,
            ),
            (
                "outbox_dead_letters",
                "Messages that can never be sent",
                h.dead,
            ),
            (
                "outbox_bytes",
                "Bytes of what waits for its receipt",
                o.bytes,
            ),
            (
                "outbox_in_flight",
                "Messages under way without a receipt",
                o.under_way,
            ),
            (
                "outbox_in_memory",
                "Sightings that wait in memory because the outbox does not take them",
                h.in_memory,
            ),
            (
                "archive_sightings",
                "Sightings on board that shore has",
                o.archived,
            ),
            (
                "archive_bytes",
                "Bytes of the sightings on board that shore has",
                o.archived_bytes,
            ),
        ] {
            self.gauge(name, help, value as f64)?;
        }
        self.gauge(
            "outbox_oldest_seconds",
            "How long the oldest message has waited for its receipt",
            o.oldest_seconds.unwrap_or(0) as f64,
        )?;
        self.gauge(
            "outbox_commits",
            "Whether the outbox takes commits",
            f64::from(u8::from(o.trouble.is_none())),
        )
    }

    fn position_and_time(&self, h: &Health) -> Done {
        let (p, t) = (&h.position, &h.time);
        let states = POSITION_STATES.map(|s| (vec![s], f64::from(u8::from(p.state == s))));
        let help = "1 for the state that the position is in, 0 for the others";
        self.gauges("position_state", help, &["state"], states)?;
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        self.gauge(
            "position_fix_age_seconds",
            "How old the last fix is",
            p.fix_milliseconds_ago.map(seconds),
        )?;
        self.gauge(
            "position_satellites",
            "Satellites in use at the last fix",
            p.satellites.map(f64::from),
        )?;
        self.counter(
            "position_sentences",
            "Sentences of the receiver that were understood",
            p.sentences,
        )?;
        self.counter(
            "position_damaged_lines",
            "Lines of the receiver that were none",
            p.damaged,
        )?;
        self.gauge(
            "time_by_satellites",
            "Whether sightings are dated by satellites",
            f64::from(u8::from(t.source == "satellites")),
        )?;
        self.gauge(
            "time_uncertainty_seconds",
            "How far off the dates of live frames may be",
            t.uncertainty_milliseconds.map(|m| f64::from(m) / 1000.0),
        )?;
        self.gauge(
            "clock_ahead_seconds",
            "How far the computer's clock is ahead of the satellites' time",
            t.computer_ahead_milliseconds.map(|m| m as f64 / 1000.0),
        )?;
        self.counter(
            "clock_jumps",
            "How often the computer's clock was set",
            t.clock_jumps,
        )
    }

    fn machine(&self, h: &Health) -> Done {
        let sensors = &h.machine.temperatures;
        self.gauges(
            "temperature_celsius",
            "What a sensor of the computer says",
            &["sensor"],
            sensors.iter().map(|t| (vec![t.sensor.as_str()], t.celsius)),
        )?;
        let warm = sensors.iter().map(|t| t.level).max().unwrap_or_default();
        self.gauge(
            "temperature_level",
            "0 good, 1 a warning, 2 a fault",
            level(warm),
        )?;
        let Some(disk) = h.machine.disk else {
            return Ok(());
        };
        self.gauge(
            "disk_free_bytes",
            "Room on the outbox's disk",
            disk.free_bytes as f64,
        )?;
        self.gauge(
            "disk_bytes",
            "Size of the outbox's disk",
            disk.total_bytes as f64,
        )?;
        self.gauge(
            "disk_level",
            "0 good, 1 a warning, 2 a fault",
            level(disk.level),
        )
    }
}

fn level(level: Level) -> f64 {
    match level {
        Level::Good => 0.0,
        Level::Warning => 1.0,
        Level::Fault => 2.0,
    }
}

#[cfg(test)]
mod tests;
