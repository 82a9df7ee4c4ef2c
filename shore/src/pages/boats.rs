//! The page of boats: status, offered bundle, settings, last contact and missing sightings.

use super::boat_settings::SettingsOnPage;
use super::bundle_transfer::OfferedBundle;
use super::error::{PageResult, render};
use super::format;
use crate::boat_settings::SentSettings;
use crate::request::AppState;
use crate::store::{BoatStatus, Contact, Gap, LastReport, MAX_GAPS};
use askama::Template;
use axum::extract::State;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::link_report::{LinkReport, PendingMessages};
use flukewatch_common::sighting::BoatId;

struct Boat {
    name: String,
    last_seen: String,
    last_seen_relative: String,
    sightings: u64,
    briefs: u64,
    last_sequence: u64,
    missing: u64,
    gaps: Vec<String>,
    gaps_truncated: bool,
    outboxes: u64,
    repeated: Vec<String>,
    repeated_truncated: bool,
    duplicates_in_outbox: u64,
    has_twin: bool,
    pictures_missing: u64,
    pictures_without_sighting: u64,
    status: Option<Status>,
    bundle: Option<OfferedBundle>,
    settings: Option<SettingsOnPage>,
}

/// The last status report.
struct Status {
    /// The class of the badge.
    class: &'static str,
    /// The text of the badge.
    headline: String,
    /// The problems in words; empty if there are none.
    problems: String,
    details: Vec<String>,
}

impl Status {
    fn new(report: &LastReport, now: Timestamp) -> Self {
        let condition = &report.condition;
        let (class, headline) = match report.contact(now) {
            Contact::Online => {
                let severity = condition.severity.as_str();
                (severity, severity.to_owned())
            }
            Contact::TimedOut => ("offline", "timed out".to_owned()),
            Contact::Offline => {
                let since = report.offline_since.unwrap_or(report.received);
                ("offline", format!("offline since {}", format::time(since)))
            }
        };
        let reported = format::relative_time(report.received, now);
        let mut details = vec![format!("reported {reported}")];
        if let Some((latitude, longitude)) = condition.position {
            details.push(format::coordinates(latitude, longitude));
        }
        details.push(format!(
            "{} of {} cameras searched",
            condition.cameras_searched, condition.cameras
        ));
        details.push(match condition.oldest_pending_seconds {
            Some(age) => format!(
                "{} messages pending, the oldest for {}",
                condition.pending,
                format::span(age)
            ),
            None => format!("{} messages pending", condition.pending),
        });
        details.extend(condition.link.as_ref().map(link));
        details.push(format!(
            "version {}, bundle {}",
            condition.version,
            format::name_or_none(&condition.bundle)
        ));
        Self {
            class,
            headline,
            problems: condition.problems.clone(),
            details,
        }
    }
}

impl Boat {
    fn new(b: &BoatStatus, sent: Option<&SentSettings>, twins: &[BoatId], now: Timestamp) -> Self {
        let report = b.last_report.as_ref();
        let reported = report.and_then(|report| report.condition.settings.as_ref());
        Self {
            name: b.boat.to_string(),
            last_seen: format::time(b.last_seen),
            last_seen_relative: format::relative_time(b.last_seen, now),
            sightings: b.sightings,
            briefs: b.briefs,
            last_sequence: b.last_sequence,
            missing: b.missing,
            gaps: b.gaps.iter().map(range).collect(),
            gaps_truncated: b.gaps.len() == MAX_GAPS,
            outboxes: b.outboxes,
            repeated: b.repeated.iter().map(range).collect(),
            repeated_truncated: b.repeated.len() == MAX_GAPS,
            duplicates_in_outbox: b.duplicates_in_outbox,
            has_twin: twins.contains(&b.boat),
            pictures_missing: b.pictures_missing,
            pictures_without_sighting: b.pictures_without_sighting,
            status: b.last_report.as_ref().map(|r| Status::new(r, now)),
            bundle: b.transfers.first().map(|t| OfferedBundle::new(t, now)),
            settings: SettingsOnPage::new(sent, reported),
        }
    }
}

/// The link, what is left of its budget, and how long pending messages will take.
fn link(report: &LinkReport) -> String {
    let mut text = format!("link {}", report.class);
    if let Some(limit) = report.bytes_per_hour {
        let (left, limit) = (format::size(report.bytes_left), format::size(limit));
        text += &format!(": {left} of {limit} left in this hour");
    }
    for (kind, pending) in [
        ("identities", report.identities),
        ("sightings", report.sightings),
        ("pictures", report.pictures),
    ] {
        let PendingMessages {
            messages,
            bytes,
            seconds,
        } = pending;
        if messages > 0 {
            let time = match seconds {
                Some(0) => "soon".to_owned(),
                Some(seconds) => format!("in about {}", format::span(seconds)),
                None => "over another link".to_owned(),
            };
            let size = format::size(bytes);
            text += &format!("; {messages} {kind} ({size}) {time}");
        }
    }
    text
}

fn range(gap: &Gap) -> String {
    if gap.first == gap.last {
        gap.first.to_string()
    } else {
        format!("{}–{}", gap.first, gap.last)
    }
}

#[derive(Template)]
#[template(path = "boats.html")]
struct BoatsPage {
    boats: Vec<Boat>,
    broker: String,
}

pub(super) async fn page(State(state): State<AppState>) -> PageResult {
    let now = state.clock.now();
    let boats = state.with_store(|s| s.boats()).await?;
    let twins = state.health.twins();
    let sent = state.sent_settings();
    let boats = boats.iter();
    let boats = boats.map(|b| Boat::new(b, sent.get(&b.boat), &twins, now));
    render(&BoatsPage {
        boats: boats.collect(),
        broker: state.broker,
    })
}
