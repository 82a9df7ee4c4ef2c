//! Reports the boat's status to shore.

use crate::app_state::StatusBoard;
use crate::health::Health;
use crate::machine::Severity;
use crate::status::{self, StatusItem};
use flukewatch_common::boat_settings::SettingsReport;
use flukewatch_common::bounded_text::one_line;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_common::status_report::{
    BoatCondition, ConnectionId, MAX_PROBLEMS_BYTES, StatusReport,
};
use flukewatch_common::wire;
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Characters of the bundle's id in a report.
const BUNDLE_CHARS: usize = 12;
/// A broker may not permit a retained message or a last will, and close the connection on it. After
/// this many connections that it closed without accepting a report, the next one does without.
const MAX_CLOSED: u32 = 3;

/// Makes the reports of each connection, and its last will.
pub(super) struct StatusReporter {
    boat: BoatId,
    instance: Uuid,
    board: Arc<StatusBoard>,
    /// Number of the current connection.
    connection: u32,
    /// Whether the current connection has a last will and reports.
    enabled: bool,
    /// Time of the connection's last report, and what it said that is reported once it changes.
    last: Option<(Urgent, Instant)>,
    /// Whether the broker has accepted a report of the connection.
    accepted: bool,
    /// Connections in a row that the broker closed without accepting a report.
    closed: u32,
}

/// A report that is due.
pub(super) struct DueReport {
    /// It, encoded.
    pub(super) message: Vec<u8>,
    urgent: Urgent,
}

/// What is reported once it changes.
#[derive(Clone, Debug, PartialEq)]
struct Urgent {
    severity: Severity,
    settings: Option<SettingsReport>,
}

impl StatusReporter {
    /// Reports the health documents on `board`.
    pub(super) fn new(boat: BoatId, instance: Uuid, board: Arc<StatusBoard>) -> Self {
        Self {
            boat,
            instance,
            board,
            connection: 0,
            enabled: true,
            last: None,
            accepted: false,
            closed: 0,
        }
    }

    /// Begins the next connection. Returns its last will; `None` where it is to do without.
    pub(super) fn begin_connection(&mut self) -> Option<Vec<u8>> {
        self.connection = self.connection.saturating_add(1);
        (self.last, self.accepted) = (None, false);
        self.enabled = self.closed < MAX_CLOSED;
        if !self.enabled {
            tracing::warn!(
                "the broker closes connections that report the boat's status; connecting without. \
                 Permit retained messages and a last will on flukewatch/v1/+/status"
            );
            return None;
        }
        self.encode(None)
    }

    /// Notes how the connection ended.
    pub(super) fn connection_ended(&mut self, closed_by_broker: bool) {
        if !self.enabled {
            // The next one tries again.
            self.closed = MAX_CLOSED - 1;
        } else if self.accepted {
            self.closed = 0;
        } else if closed_by_broker {
            self.closed += 1;
        }
    }

    /// The report to send now: the connection's first one, after a change of severity or settings, if `min_interval`
    /// has passed, or after `interval`.
    pub(super) fn due(&self, interval: Duration, min_interval: Duration) -> Option<DueReport> {
        if !self.enabled {
            return None;
        }
        let health = self.board.to_report()?;
        let condition = condition(&health);
        let urgent = Urgent {
            severity: condition.severity,
            settings: condition.settings.clone(),
        };
        let is_due = self.last.as_ref().is_none_or(|(last, at)| {
            let has_changed = *last != urgent && at.elapsed() >= min_interval;
            has_changed || at.elapsed() >= interval
        });
        let message = is_due.then(|| self.encode(Some(condition)))??;
        Some(DueReport { message, urgent })
    }

    /// The link has taken a report.
    pub(super) fn sent(&mut self, report: &DueReport) {
        self.last = Some((report.urgent.clone(), Instant::now()));
    }

    /// The broker has accepted a report.
    pub(super) fn accepted(&mut self) {
        self.accepted = true;
    }

    fn encode(&self, condition: Option<BoatCondition>) -> Option<Vec<u8>> {
        let report = StatusReport {
            boat: self.boat.clone(),
            connection: ConnectionId {
                instance: self.instance,
                number: self.connection,
            },
            condition,
        };
        match wire::encode(&report) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::error!(%error, "cannot encode the boat's status");
                None
            }
        }
    }
}

/// A health document in short.
fn condition(health: &Health) -> BoatCondition {
    // A report arrives over the broker: what the document says of the connection before is past.
    let past = |item: &StatusItem| item.subject == "broker" && !health.twin;
    let mut items = status::items(health);
    items.retain(|item| !past(item));
    items.sort_by_key(|item| Reverse(item.severity));
    let problems: Vec<String> = items
        .iter()
        .filter(|item| item.severity > Severity::Ok)
        .map(|item| format!("{}: {}", item.subject, item.message))
        .collect();
    let cameras = health.cameras.iter();
    let count = |cameras: usize| u16::try_from(cameras).unwrap_or(u16::MAX);
    let fix = (health.position.state == "fix")
        .then(|| health.position.latitude.zip(health.position.longitude));
    let written = health.written_at.parse::<jiff::Timestamp>();
    BoatCondition {
        at: Timestamp(written.map_or(0, jiff::Timestamp::as_millisecond)),
        severity: status::worst(&items),
        problems: one_line(&problems.join("; "), MAX_PROBLEMS_BYTES),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        bundle: health.bundle.chars().take(BUNDLE_CHARS).collect(),
        position: fix.flatten(),
        cameras: count(health.cameras.len()),
        cameras_searched: count(cameras.filter(|c| c.is_searched(&health.levels)).count()),
        pending: health.pending_sightings + health.pending_pictures,
        oldest_pending_seconds: health.outbox.oldest_pending_seconds,
        link: health.link.report(),
        settings: health.settings.as_ref().map(|s| s.report.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::CameraHealth;
    use crate::health::{Counters, InputHealth};

    fn health() -> Health {
        let camera = |name: &str, state: &str| CameraHealth {
            name: name.into(),
            state: state.into(),
            last_searched_milliseconds_ago: (state == "streaming").then_some(40),
            ..CameraHealth::default()
        };
        let inputs = InputHealth {
            cameras: vec![camera("bow", "streaming"), camera("stern", "stalled")],
            ..InputHealth::default()
        };
        Health::of(&Counters::default(), inputs)
    }

    #[test]
    fn a_condition_is_the_health_document_in_short() {
        let mut health = health();
        health.position.state = "fix".into();
        (health.position.latitude, health.position.longitude) = (Some(38.5), Some(-28.625));
        (health.pending_sightings, health.pending_pictures) = (3, 4);
        health.outbox.oldest_pending_seconds = Some(300);
        let found = condition(&health);
        assert_eq!(found.validate(), Ok(()));
        let expected = BoatCondition {
            at: Timestamp(1_795_450_800_000),
            severity: Severity::Warning,
            problems: "camera stern: no frames; restarting".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            bundle: "abc".into(),
            position: Some((38.5, -28.625)),
            cameras: 2,
            cameras_searched: 1,
            pending: 7,
            oldest_pending_seconds: Some(300),
            link: None,
            settings: None,
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_worst_problem_comes_first_and_the_text_is_bounded() {
        let mut health = health();
        health.cameras[1].trouble = Some("x\ny".repeat(200));
        health.dropped_sightings = 1;
        health.position.state = "stale_fix".into();
        (health.position.latitude, health.position.longitude) = (Some(1.0), Some(2.0));
        let found = condition(&health);
        assert_eq!(found.validate(), Ok(()));
        assert_eq!(found.severity, Severity::Critical);
        assert!(
            found.problems.starts_with("outbox: 1 sightings lost"),
            "{}",
            found.problems
        );
        assert_eq!(found.position, None, "an old fix is not a position");
    }

    #[test]
    fn a_copied_card_is_a_problem_and_an_earlier_disconnection_is_not() {
        let mut health = health();
        health.cameras.pop();
        assert_eq!(condition(&health).severity, Severity::Ok);
        health.twin = true;
        assert_eq!(condition(&health).severity, Severity::Critical);
    }
}
