//! The health document in Prometheus' text format.

use crate::capture::CameraHealth;
use crate::health::{Broker, Health};
use crate::machine::Severity;
use flukewatch_common::link_class::LinkClass;
use flukewatch_http::Rejections;
use prometheus::core::Collector;
use prometheus::{CounterVec, GaugeVec, Opts, Registry, TextEncoder};

/// The states of a camera.
const CAMERA_STATES: [&str; 7] = [
    "connecting",
    "streaming",
    "stalled",
    "disconnected",
    "replaying",
    "ended",
    "failed",
];
/// The states of the GNSS receiver.
const POSITION_STATES: [&str; 6] = [
    "off",
    "connecting",
    "timed_out",
    "no_fix",
    "fix",
    "stale_fix",
];

/// The content type of [`text`].
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `health` and what the page rejected, in Prometheus' text format, version 0.0.4. Unknown values are left out.
///
/// # Errors
/// When a metric's name is invalid or registered twice, which would be an internal error.
pub(crate) fn text(health: &Health, rejections: &Rejections) -> Result<String, prometheus::Error> {
    let metrics = Metrics(Registry::new());
    metrics.boat(health)?;
    metrics.cameras(health)?;
    metrics.detector(health)?;
    metrics.outbox(health)?;
    metrics.link(health)?;
    metrics.position_and_time(health)?;
    metrics.machine(health)?;
    metrics.page(rejections)?;
    TextEncoder::new().encode_to_string(&metrics.0.gather())
}

struct Metrics(Registry);

type Registered = Result<(), prometheus::Error>;

impl Metrics {
    fn register(&self, metric: impl Collector + 'static) -> Registered {
        self.0.register(Box::new(metric))
    }

    fn options(name: &str, help: &str) -> Opts {
        Opts::new(format!("flukewatch_{name}"), help)
    }

    fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl IntoIterator<Item = (Vec<&'a str>, f64)>,
    ) -> Registered {
        let gauges = GaugeVec::new(Self::options(name, help), labels)?;
        for (labels, value) in values {
            gauges.get_metric_with_label_values(&labels)?.set(value);
        }
        self.register(gauges)
    }

    fn gauge(&self, name: &str, help: &str, value: impl Into<Option<f64>>) -> Registered {
        match value.into() {
            Some(value) => self.gauges(name, help, &[], [(vec![], value)]),
            None => Ok(()),
        }
    }

    fn flag(&self, name: &str, help: &str, value: bool) -> Registered {
        self.gauge(name, help, f64::from(u8::from(value)))
    }

    /// Counters; `_total` is appended to their name.
    fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: impl IntoIterator<Item = (Vec<&'a str>, u64)>,
    ) -> Registered {
        let counters = CounterVec::new(Self::options(&format!("{name}_total"), help), labels)?;
        for (labels, value) in values {
            let counter = counters.get_metric_with_label_values(&labels)?;
            counter.inc_by(value as f64);
        }
        self.register(counters)
    }

    fn counter(&self, name: &str, help: &str, value: u64) -> Registered {
        self.counters(name, help, &[], [(vec![], value)])
    }

    /// 1 for the state that holds, 0 for the others.
    fn states<'a>(states: &[&'a str], current: &str) -> Vec<(&'a str, f64)> {
        let holds = |state: &&'a str| (*state, f64::from(u8::from(*state == current)));
        states.iter().map(holds).collect()
    }

    fn boat(&self, h: &Health) -> Registered {
        let detector = h.detector.as_ref();
        let info = vec![
            env!("CARGO_PKG_VERSION"),
            &h.boat,
            &h.bundle,
            &h.engine,
            &h.accelerator,
            detector.map_or("", |d| &d.engine),
            detector.map_or("", |d| &d.accelerator),
        ];
        let labels = [
            "version",
            "boat",
            "bundle",
            "engine",
            "accelerator",
            "detector_engine",
            "detector_accelerator",
        ];
        let help = "Version, boat, bundle and engines; always 1";
        self.gauges("info", help, &labels, [(info, 1.0)])?;
        let help = "Time since the process started";
        self.gauge("uptime_seconds", help, h.uptime_seconds as f64)?;
        for (name, help, value) in [
            ("reloads", "Configurations applied by a reload", h.reloads),
            ("frames", "Frames, including the broken ones", h.frames),
            (
                "broken_frames",
                "Frames that could not be used",
                h.broken_frames,
            ),
            ("encounters", "Encounters that ended", h.encounters),
            (
                "unrecorded_encounters",
                "Encounters that could not be recorded",
                h.unrecorded.encounters,
            ),
            (
                "sightings_accepted",
                "Encounters that the outbox has recorded",
                h.accepted,
            ),
            (
                "identified_encounters",
                "Recorded encounters that were identified",
                h.identified,
            ),
            (
                "failed_encounters",
                "Recorded encounters that could not be identified",
                h.failed_encounters,
            ),
            (
                "sightings_dropped",
                "Sightings lost because the outbox rejected them",
                h.dropped_sightings,
            ),
            (
                "messages_sent",
                "Messages handed to the broker, including retries",
                h.sent,
            ),
            (
                "messages_retried",
                "Messages sent again because they were not acknowledged in time",
                h.retried,
            ),
            (
                "messages_acknowledged",
                "Messages that shore acknowledged",
                h.acknowledged,
            ),
            (
                "messages_rejected",
                "Messages that shore rejected",
                h.rejected,
            ),
            (
                "invalid_signatures",
                "Messages for this boat without a valid signature",
                h.invalid_signatures,
            ),
        ] {
            self.counter(name, help, value)?;
        }
        let unidentified = h.unidentified as f64;
        let help = "Recorded encounters that are still to be identified";
        self.gauge("unidentified_encounters", help, unidentified)?;
        let restarts = h.stages.iter();
        let restarts = restarts.map(|stage| (vec![stage.name.as_str()], stage.restarts));
        let help = "Restarts of a stage after a panic or a hang";
        self.counters("stage_restarts", help, &["stage"], restarts)?;
        self.flag(
            "broker_connected",
            "Whether the broker is connected",
            h.broker == Broker::Connected,
        )?;
        self.flag(
            "boat_name_twin",
            "Whether another computer sends under this boat's name",
            h.twin,
        )
    }

    fn cameras(&self, h: &Health) -> Registered {
        type Count = fn(&CameraHealth) -> u64;
        let counts: [(&str, &str, Count); 7] = [
            ("frames", "Frames of a live camera", |c| c.frames),
            (
                "searched_frames",
                "Frames that were searched for flukes, also of a replay",
                |c| c.searched,
            ),
            (
                "dropped_frames",
                "Frames replaced by newer ones before they were processed",
                |c| c.dropped,
            ),
            ("missed_frames", "Frames that never left the driver", |c| {
                c.missed
            }),
            (
                "damaged_frames",
                "Frames that the driver marked as damaged, or that were empty",
                |c| c.damaged,
            ),
            (
                "broken_frames",
                "Frames that could not be used, also of a replay",
                |c| c.broken,
            ),
            ("restarts", "Restarts and reconnections", |c| c.restarts),
        ];
        for (name, help, count) in counts {
            let values = h.cameras.iter().map(|c| (vec![c.name.as_str()], count(c)));
            self.counters(&format!("camera_{name}"), help, &["camera"], values)?;
        }
        let states = h.cameras.iter().flat_map(|c| {
            let states = Self::states(&CAMERA_STATES, &c.state).into_iter();
            states.map(|(state, holds)| (vec![c.name.as_str(), state], holds))
        });
        let help = "1 for the camera's state, 0 for the others";
        self.gauges("camera_state", help, &["camera", "state"], states)?;
        let searched = h.cameras.iter().filter_map(|c| {
            let fraction = c.searched_fraction()?;
            Some((vec![c.name.as_str()], fraction))
        });
        let help = "Fraction of a live camera's frames of the last minute that were searched";
        self.gauges("camera_searched_fraction", help, &["camera"], searched)?;
        let ages = h.cameras.iter().filter_map(|c| {
            let age = c.last_frame_milliseconds_ago? as f64 / 1000.0;
            Some((vec![c.name.as_str()], age))
        });
        let help = "Age of the camera's last frame";
        self.gauges("camera_last_frame_age_seconds", help, &["camera"], ages)
    }

    fn detector(&self, h: &Health) -> Registered {
        let Some(detector) = &h.detector else {
            return Ok(());
        };
        let help = "Frames that the detector searched";
        self.counter("detector_frames", help, detector.frames)?;
        let help = "Frames on which the detector failed";
        self.counter("detector_errors", help, detector.errors)?;
        let seconds = |milliseconds: f64| milliseconds / 1000.0;
        let help = "The detector's time for a frame, on average over the last minute";
        let mean = detector.mean_milliseconds.map(seconds);
        self.gauge("detector_mean_seconds", help, mean)?;
        let help = "The detector's longest time for a frame in the last minute";
        let slowest = detector.slowest_milliseconds.map(seconds);
        self.gauge("detector_slowest_seconds", help, slowest)
    }

    fn outbox(&self, h: &Health) -> Registered {
        let o = &h.outbox;
        for (name, help, value) in [
            (
                "outbox_pending_sightings",
                "Sightings that are not acknowledged yet",
                h.pending_sightings,
            ),
            (
                "outbox_pending_pictures",
                "Pictures that are not acknowledged yet",
                h.pending_pictures,
            ),
            (
                "outbox_dead_letters",
                "Messages that can never be sent, or that shore rejected",
                h.dead_letters,
            ),
            (
                "outbox_pending_bytes",
                "Size of the pending messages",
                o.pending_bytes,
            ),
            (
                "outbox_in_flight_messages",
                "Messages sent and not acknowledged yet",
                o.in_flight,
            ),
            (
                "outbox_in_memory_sightings",
                "Sightings in memory because the outbox rejects them",
                h.sightings_in_memory,
            ),
            (
                "archive_sightings",
                "Acknowledged sightings kept on board",
                o.archived_sightings,
            ),
            (
                "archive_bytes",
                "Size of the acknowledged sightings kept on board",
                o.archived_bytes,
            ),
        ] {
            self.gauge(name, help, value as f64)?;
        }
        self.gauge(
            "outbox_oldest_pending_seconds",
            "Age of the oldest pending message",
            o.oldest_pending_seconds.unwrap_or(0) as f64,
        )?;
        self.flag(
            "outbox_writable",
            "Whether the outbox's commits work",
            o.error.is_none(),
        )
    }

    fn link(&self, h: &Health) -> Registered {
        let link = &h.link;
        let classes = LinkClass::ALL.map(LinkClass::as_str);
        let states = Self::states(&classes, link.class.as_str()).into_iter();
        let states = states.map(|(class, holds)| (vec![class], holds));
        let help = "1 for the class of the link to shore, 0 for the others";
        self.gauges("link_class", help, &["link"], states)?;
        let carried = link.carried.iter();
        let carried = carried.map(|c| (vec![c.class.as_str()], c.bytes));
        let help = "Bytes sent to shore and received from it, estimated";
        self.counters("link_bytes", help, &["link"], carried)?;
        let number = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
        let help = "Bytes that the link may carry in an hour";
        self.gauge("link_hourly_limit_bytes", help, number(link.bytes_per_hour))?;
        let help = "Bytes of this hour that are left";
        self.gauge("link_left_bytes", help, number(link.bytes_left))?;
        let kinds = || link.pending.iter().map(|p| (vec![p.kind.as_str()], p));
        let messages = kinds().map(|(kind, p)| (kind, p.messages as f64));
        let help = "Messages that shore has not acknowledged, by kind";
        self.gauges("link_pending_messages", help, &["kind"], messages)?;
        let bytes = kinds().map(|(kind, p)| (kind, p.bytes as f64));
        let help = "Size of these messages";
        self.gauges("link_pending_bytes", help, &["kind"], bytes)?;
        let seconds = kinds().filter_map(|(kind, p)| Some((kind, p.seconds? as f64)));
        let help = "Time until these messages are sent, estimated";
        self.gauges("link_pending_seconds", help, &["kind"], seconds)
    }

    fn position_and_time(&self, h: &Health) -> Registered {
        let (p, t) = (&h.position, &h.time);
        let states = Self::states(&POSITION_STATES, &p.state).into_iter();
        let states = states.map(|(state, holds)| (vec![state], holds));
        let help = "1 for the GNSS receiver's state, 0 for the others";
        self.gauges("position_state", help, &["state"], states)?;
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        self.gauge(
            "position_fix_age_seconds",
            "Age of the last GNSS fix",
            p.fix_milliseconds_ago.map(seconds),
        )?;
        self.gauge(
            "position_satellites",
            "Satellites used for the last GNSS fix",
            p.satellites.map(f64::from),
        )?;
        self.counter(
            "position_sentences",
            "Sentences received from the GNSS receiver",
            p.sentences,
        )?;
        self.counter(
            "position_damaged_lines",
            "Malformed lines from the GNSS receiver",
            p.damaged,
        )?;
        self.flag(
            "time_from_gnss",
            "Whether sightings are dated by GNSS time",
            t.source == "gnss",
        )?;
        self.gauge(
            "time_uncertainty_seconds",
            "Uncertainty of live frames' dates",
            t.uncertainty_milliseconds.map(|m| f64::from(m) / 1000.0),
        )?;
        self.gauge(
            "clock_ahead_seconds",
            "How far the computer's clock is ahead of GNSS time",
            t.system_clock_ahead_milliseconds.map(|m| m as f64 / 1000.0),
        )?;
        self.counter(
            "clock_jumps",
            "Times that the computer's clock was set",
            t.clock_jumps,
        )
    }

    fn page(&self, rejections: &Rejections) -> Registered {
        let counts = rejections.counts();
        let counts = counts.map(|(reason, count)| (vec![reason.name()], count));
        let help = "Connections and requests that the page rejected";
        self.counters("page_rejected_requests", help, &["reason"], counts)
    }

    fn machine(&self, h: &Health) -> Registered {
        let sensors = &h.machine.temperatures;
        self.gauges(
            "temperature_celsius",
            "Temperature of a sensor of the computer",
            &["sensor"],
            sensors.iter().map(|t| (vec![t.sensor.as_str()], t.celsius)),
        )?;
        let hottest = sensors.iter().map(|t| t.severity).max().unwrap_or_default();
        let help = "0 ok, 1 warning, 2 critical";
        self.gauge("temperature_severity", help, number(hottest))?;
        let Some(disk) = h.machine.disk else {
            return Ok(());
        };
        self.gauge(
            "disk_free_bytes",
            "Free space on the outbox's disk",
            disk.free_bytes as f64,
        )?;
        self.gauge(
            "disk_size_bytes",
            "Size of the outbox's disk",
            disk.total_bytes as f64,
        )?;
        self.gauge("disk_severity", help, number(disk.severity))
    }
}

fn number(severity: Severity) -> f64 {
    match severity {
        Severity::Ok => 0.0,
        Severity::Warning => 1.0,
        Severity::Critical => 2.0,
    }
}

#[cfg(test)]
mod tests;
