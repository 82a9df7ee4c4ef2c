//! The result: what the boats accepted and what is on shore.

use serde::Deserialize;
use std::fmt;

/// What `flukewatch-edge outbox --json` says, as far as it counts here.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct OutboxListing {
    /// Sightings ever accepted.
    pub(super) accepted: u64,
    /// Messages that shore has not acknowledged.
    pub(super) pending: Vec<Message>,
    /// Messages that shore will never acknowledge.
    pub(super) dead_letters: Vec<Message>,
    /// Outboxes that could not be used and were set aside.
    pub(super) set_aside: Vec<serde::de::IgnoredAny>,
}

/// A message in an outbox.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(super) struct Message {
    /// The number of its sighting.
    pub(super) sequence: u64,
    /// `sighting` or `picture`.
    pub(super) part: String,
    /// Why it is a dead letter.
    pub(super) reason: Option<String>,
}

/// What `flukewatch-shore missing --json` says of a boat, as far as it counts here.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct OnShore {
    /// The boat's name.
    pub(super) boat: String,
    /// Stored sightings.
    pub(super) sightings: u64,
    /// Sightings whose number another one has too.
    pub(super) duplicate_sequences: u64,
    /// Sightings without their picture.
    pub(super) pictures_missing: u64,
    /// Pictures without their sighting.
    pub(super) pictures_without_sighting: u64,
}

/// The figures of the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Sightings that boats accepted.
    accepted: u64,
    /// Sightings on shore.
    stored: u64,
    /// Accepted sightings that are not on shore, or without their picture.
    lost: u64,
    /// Sightings on shore that no boat accepted, or twice.
    duplicated: u64,
}

impl Tally {
    /// Adds a boat. `accepted`: how many sightings its outbox and its log say it recorded;
    /// `on_shore`: what is stored of it, if anything.
    pub(super) fn add(&mut self, accepted: u64, on_shore: Option<&OnShore>) {
        let nothing = OnShore::default();
        let shore = on_shore.unwrap_or(&nothing);
        // Each number once.
        let distinct = shore.sightings - shore.duplicate_sequences.min(shore.sightings);
        self.accepted += accepted;
        self.stored += shore.sightings;
        let missing = accepted.saturating_sub(distinct);
        // The picture of a missing sighting may have arrived.
        let foreign_pictures = shore.pictures_without_sighting.saturating_sub(missing);
        self.lost += missing + shore.pictures_missing;
        self.duplicated +=
            shore.duplicate_sequences + distinct.saturating_sub(accepted) + foreign_pictures;
    }

    /// Whether sightings were made, and all are on shore, once.
    pub(super) fn is_good(&self) -> bool {
        self.accepted > 0 && self.lost == 0 && self.duplicated == 0
    }

    /// Formats the last line, with the number of faults.
    pub(super) fn line(&self, faults: usize) -> String {
        let Self {
            accepted,
            stored,
            lost,
            duplicated,
        } = self;
        format!(
            "chaos: {accepted} accepted, {stored} stored, {lost} lost, {duplicated} duplicated, {faults} faults"
        )
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.sequence)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_shore(sightings: u64) -> OnShore {
        OnShore {
            boat: "boat-1".to_owned(),
            sightings,
            ..OnShore::default()
        }
    }

    fn tally(boats: &[(u64, OnShore)]) -> Tally {
        let mut tally = Tally::default();
        for (accepted, shore) in boats {
            tally.add(*accepted, Some(shore));
        }
        tally
    }

    #[test]
    fn everything_once_is_good() {
        let tally = tally(&[(30, on_shore(30)), (12, on_shore(12))]);
        assert_eq!(
            tally.line(7),
            "chaos: 42 accepted, 42 stored, 0 lost, 0 duplicated, 7 faults"
        );
        assert!(tally.is_good());
    }

    #[test]
    fn what_one_boat_lost_another_cannot_make_up_for() {
        let tally = tally(&[(30, on_shore(29)), (12, on_shore(13))]);
        assert_eq!(
            tally.line(0),
            "chaos: 42 accepted, 42 stored, 1 lost, 1 duplicated, 0 faults"
        );
        assert!(!tally.is_good());
    }

    #[test]
    fn a_number_twice_is_a_duplicate_and_hides_no_loss() {
        let twice = OnShore {
            duplicate_sequences: 1,
            ..on_shore(10)
        };
        let tally = tally(&[(10, twice)]);
        assert_eq!((tally.lost, tally.duplicated), (1, 1));
        assert!(!tally.is_good());
    }

    #[test]
    fn a_missing_picture_is_lost_and_one_too_many_a_duplicate() {
        let without = OnShore {
            pictures_missing: 2,
            ..on_shore(10)
        };
        let alone = OnShore {
            pictures_without_sighting: 3,
            ..on_shore(5)
        };
        let tally = tally(&[(10, without), (5, alone)]);
        assert_eq!((tally.lost, tally.duplicated), (2, 3));
        assert!(!tally.is_good());
    }

    #[test]
    fn the_picture_of_a_lost_sighting_is_not_a_duplicate() {
        let alone = OnShore {
            pictures_without_sighting: 1,
            ..on_shore(9)
        };
        let tally = tally(&[(10, alone)]);
        assert_eq!((tally.lost, tally.duplicated), (1, 0));
    }

    #[test]
    fn an_unknown_boat_has_lost_all_and_no_sightings_are_not_good() {
        let mut tally = Tally::default();
        assert!(!tally.is_good());
        tally.add(4, None);
        assert_eq!((tally.stored, tally.lost), (0, 4));
    }

    #[test]
    fn the_programs_json_is_read() {
        let listing: OutboxListing = serde_json::from_str(
            r#"{"accepted": 2, "pending": [{"sighting": "x", "sequence": 2, "part": "picture", "bytes": 9, "reason": null}],
                "dead_letters": [{"sighting": "y", "sequence": 1, "part": "sighting", "bytes": 9, "reason": "too large"}],
                "set_aside": [{"path": "p"}]}"#,
        )
        .unwrap();
        assert_eq!((listing.accepted, listing.set_aside.len()), (2, 1));
        assert_eq!(listing.pending[0].to_string(), "picture 2");
        assert_eq!(listing.dead_letters[0].to_string(), "sighting 1: too large");
    }
}
