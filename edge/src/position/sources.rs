//! What each source of positions last reported. Several receivers may share a line or a gpsd, and
//! the kinds of sentence of one receiver may contradict each other.

use super::nav_update::Source;
use crate::time::MonotonicTimestamp;
use flukewatch_common::position::FixQuality;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a report is valid that is not repeated; receivers report about once a second.
const HOLD: Duration = Duration::from_secs(10);
/// The longest interval that a slow source may have.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// Sources to remember: many more than a boat has receivers.
const MAX_SOURCES: usize = 32;

/// A source of positions in the health document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHealth {
    /// The sentence and the device or tag, as far as known, e.g. `GPRMC`, `gps1 GPGGA` or
    /// `/dev/ttyUSB0`.
    pub name: String,
    /// `fix` or `no_fix`, as it last reported.
    pub state: String,
    /// The quality of its fix.
    pub quality: Option<FixQuality>,
    /// The time since that report, in milliseconds.
    pub milliseconds_ago: u64,
}

#[derive(Clone, Debug)]
struct Report {
    device: String,
    sentence: String,
    /// `None` for no fix.
    quality: Option<FixQuality>,
    at: MonotonicTimestamp,
    /// The time since its report before.
    interval: Duration,
}

impl Report {
    fn is_current(&self, now: MonotonicTimestamp) -> bool {
        let hold = HOLD.max(2 * self.interval.min(MAX_INTERVAL));
        self.at.abs_diff(now) <= hold
    }

    fn is_of(&self, source: Source<'_>) -> bool {
        self.device == source.device && self.sentence == source.sentence
    }

    fn name(&self) -> String {
        let parts = [self.device.as_str(), &self.sentence];
        let known: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        known.join(" ")
    }
}

/// The last report of each source.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Report>);

impl Sources {
    /// Takes a report; `quality` is `None` for no fix.
    pub(super) fn record(
        &mut self,
        source: Source<'_>,
        quality: Option<FixQuality>,
        at: MonotonicTimestamp,
    ) {
        if let Some(report) = self.0.iter_mut().find(|r| r.is_of(source)) {
            report.interval = report.at.abs_diff(at);
            (report.quality, report.at) = (quality, at);
            return;
        }
        if self.0.len() == MAX_SOURCES {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, r)| r.at);
            if let Some(index) = oldest.map(|(index, _)| index) {
                self.0.remove(index);
            }
        }
        self.0.push(Report {
            device: source.device.to_owned(),
            sentence: source.sentence.to_owned(),
            quality,
            at,
            interval: Duration::ZERO,
        });
    }

    /// Whether a source reports now that it has a fix.
    pub(super) fn has_fix(&self, now: MonotonicTimestamp) -> bool {
        let mut current = self.0.iter().filter(|r| r.is_current(now));
        current.any(|r| r.quality.is_some())
    }

    /// The best quality that a source reported within `max_age`; `None` where none had a fix.
    pub(super) fn best(&self, now: MonotonicTimestamp, max_age: Duration) -> Option<FixQuality> {
        let recent = self.0.iter().filter(|r| r.at.abs_diff(now) <= max_age);
        recent
            .filter_map(|r| r.quality)
            .max_by_key(|quality| rank(*quality))
    }

    /// Whether a source reports now that it has no fix.
    pub(super) fn has_no_fix(&self, now: MonotonicTimestamp) -> bool {
        let mut current = self.0.iter().filter(|r| r.is_current(now));
        current.any(|r| r.quality.is_none())
    }

    /// Whether the receiver that sends `source`, a sentence without a status, has a fix: judged by
    /// its talker's sentences, or by all of its device where that talker reports no position.
    pub(super) fn confirms(&self, source: Source<'_>, now: MonotonicTimestamp) -> bool {
        let device = |r: &&Report| r.is_current(now) && r.device == source.device;
        let talker = |r: &&Report| r.sentence.get(..2) == source.sentence.get(..2);
        let own = self.0.iter().filter(|r| device(r) && talker(r));
        let all = self.0.iter().filter(device);
        let reports: Vec<&Report> = if own.clone().next().is_some() {
            own.collect()
        } else {
            all.collect()
        };
        !reports.is_empty() && reports.iter().all(|r| r.quality.is_some())
    }

    pub(super) fn health(&self, now: MonotonicTimestamp) -> Vec<SourceHealth> {
        let mut all: Vec<SourceHealth> = self
            .0
            .iter()
            .map(|r| SourceHealth {
                name: r.name(),
                state: if r.quality.is_some() { "fix" } else { "no_fix" }.to_owned(),
                quality: r.quality,
                milliseconds_ago: u64::try_from(now.since(r.at).as_millis()).unwrap_or(u64::MAX),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

/// Orders qualities from the worst to the best.
pub(super) fn rank(quality: FixQuality) -> u8 {
    match quality {
        FixQuality::Simulated => 0,
        FixQuality::Manual => 1,
        FixQuality::Estimated => 2,
        FixQuality::Autonomous => 3,
        FixQuality::Differential => 4,
        FixQuality::RtkFloat => 5,
        FixQuality::Rtk => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source<'a>(device: &'a str, sentence: &'a str) -> Source<'a> {
        Source { device, sentence }
    }

    fn at(seconds: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(seconds * 1000)
    }

    const FIX: Option<FixQuality> = Some(FixQuality::Autonomous);

    #[test]
    fn the_best_current_report_counts() {
        let mut sources = Sources::default();
        let best = |sources: &Sources, seconds| sources.best(at(seconds), Duration::from_secs(5));
        assert_eq!(best(&sources, 0), None);
        sources.record(source("", "GPGGA"), FIX, at(0));
        sources.record(source("", "GPRMC"), None, at(1));
        sources.record(source("", "IIGGA"), Some(FixQuality::Rtk), at(1));
        assert_eq!(best(&sources, 2), Some(FixQuality::Rtk));
        sources.record(source("", "IIGGA"), None, at(2));
        assert_eq!((best(&sources, 2), sources.has_no_fix(at(2))), (FIX, true));
        assert_eq!(best(&sources, 6), None, "not repeated for 6 s");
        assert!(sources.has_fix(at(10)) && !sources.has_fix(at(11)));
    }

    #[test]
    fn a_slow_source_stays_current_until_its_next_report() {
        let mut sources = Sources::default();
        for seconds in [0, 20, 40] {
            sources.record(source("slow", ""), FIX, at(seconds));
        }
        assert!(sources.has_fix(at(60)) && !sources.has_fix(at(90)));
    }

    #[test]
    fn a_time_is_confirmed_by_its_own_receiver() {
        let mut sources = Sources::default();
        let zda = |device, talker| source(device, talker);
        assert!(!sources.confirms(zda("", "GPZDA"), at(0)));
        sources.record(source("", "GNRMC"), FIX, at(0));
        assert!(sources.confirms(zda("", "GPZDA"), at(0)), "another talker");
        sources.record(source("", "IIGGA"), None, at(0));
        assert!(
            !sources.confirms(zda("", "GPZDA"), at(0)),
            "of either receiver"
        );
        assert!(!sources.confirms(zda("", "IIZDA"), at(0)));
        assert!(sources.confirms(zda("", "GNZDA"), at(0)));
        assert!(
            !sources.confirms(zda("mast", "GNZDA"), at(0)),
            "another device"
        );
    }

    #[test]
    fn memory_is_bounded() {
        let mut sources = Sources::default();
        for number in 0..1000 {
            sources.record(source(&number.to_string(), ""), FIX, at(number));
        }
        assert_eq!(sources.0.len(), MAX_SOURCES);
        assert!(sources.has_fix(at(999)));
    }

    #[test]
    fn health_names_each_source() {
        let mut sources = Sources::default();
        sources.record(source("", "IIRMC"), None, at(1));
        sources.record(source("gps1", "GPGGA"), FIX, at(2));
        let names: Vec<(String, String, u64)> = sources
            .health(at(3))
            .into_iter()
            .map(|s| (s.name, s.state, s.milliseconds_ago))
            .collect();
        assert_eq!(
            names,
            [
                ("IIRMC".into(), "no_fix".into(), 2000),
                ("gps1 GPGGA".into(), "fix".into(), 1000)
            ]
        );
    }
}
