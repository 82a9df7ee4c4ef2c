//! A sighting in a few bytes: which whale, when and where. It goes ahead of the sighting over a slow link.

use crate::clock::Timestamp;
use crate::decision::Verdict;
use crate::sighting::{BoatId, Sighting};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest name of a whale in bytes; a longer one is cut off and ends in `…`. With it, and a boat's name of 32
/// bytes, a brief has at most 161 bytes.
pub const MAX_WHALE_BYTES: usize = 48;
/// Steps of a degree: 1.1 m of latitude.
const STEPS_A_DEGREE: f64 = 1e5;

/// What is most important of a sighting, until shore has all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brief {
    /// [`Sighting::id`].
    pub sighting: Uuid,
    /// The boat that recorded it.
    pub boat: BoatId,
    /// [`Sighting::sequence`].
    pub sequence: u64,
    /// [`Sighting::epoch`].
    pub epoch: Option<Uuid>,
    /// [`Sighting::revision`].
    pub revision: u32,
    /// [`Sighting::started`].
    pub started: Timestamp,
    /// How long the fluke was seen, in milliseconds.
    pub duration: u32,
    /// [`Sighting::frames`].
    pub frames: u32,
    /// Which whale it is.
    pub identity: BriefIdentity,
    /// [`Sighting::probability`] in 255ths.
    pub probability: Option<u8>,
    /// Where the boat was.
    pub position: Option<BriefPosition>,
}

/// A [`Verdict`] without its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BriefIdentity {
    /// A known whale.
    Known {
        /// Its name, at most [`MAX_WHALE_BYTES`].
        whale: String,
    },
    /// A whale that is not in the catalogue.
    New,
    /// A person decides.
    Review,
    /// Not identified yet.
    Unidentified,
}

/// A position in hundred-thousandths of a degree (WGS 84), north and east positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BriefPosition {
    latitude: i32,
    longitude: i32,
}

/// A brief with values out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBrief {
    /// The sequence number is 0 or too large.
    #[error("sequence number out of range")]
    Sequence,
    /// The time cannot be represented.
    #[error("time out of range")]
    Time,
    /// The name of the whale is blank, too long or not one line.
    #[error("name of the whale blank, too long or not one line")]
    Whale,
    /// The position is not on Earth.
    #[error("position out of range")]
    Position,
}

impl Brief {
    /// The brief of `sighting`.
    pub fn of(sighting: &Sighting) -> Self {
        let identity = match &sighting.verdict {
            Verdict::Known { whale } => BriefIdentity::Known {
                whale: shortened(whale),
            },
            Verdict::New => BriefIdentity::New,
            Verdict::Review => BriefIdentity::Review,
            Verdict::Unidentified { .. } => BriefIdentity::Unidentified,
        };
        let duration = sighting.ended.millis_since(sighting.started).max(0);
        let position = sighting.position;
        Self {
            sighting: sighting.id,
            boat: sighting.boat.clone(),
            sequence: sighting.sequence,
            epoch: sighting.epoch,
            revision: sighting.revision,
            started: sighting.started,
            duration: u32::try_from(duration).unwrap_or(u32::MAX),
            frames: sighting.frames,
            identity,
            probability: sighting.probability.map(|p| (p * 255.0).round() as u8),
            position: position.map(|p| BriefPosition::new(p.latitude, p.longitude)),
        }
    }

    /// When the fluke was last seen.
    pub fn ended(&self) -> Timestamp {
        self.started.plus_millis(i64::from(self.duration))
    }

    /// The probability that the whale is right, 0 to 1.
    pub fn probability(&self) -> Option<f32> {
        self.probability.map(|p| f32::from(p) / 255.0)
    }

    /// Validates a brief from outside.
    ///
    /// # Errors
    /// For the first value out of range.
    pub fn validate(&self) -> Result<(), InvalidBrief> {
        let representable = |t: Timestamp| jiff::Timestamp::from_millisecond(t.0).is_ok();
        let is_name = |whale: &str| {
            let fits = whale.len() <= MAX_WHALE_BYTES && !whale.contains(char::is_control);
            fits && !whale.trim().is_empty()
        };
        if self.sequence == 0 || i64::try_from(self.sequence).is_err() {
            Err(InvalidBrief::Sequence)
        } else if !representable(self.started) || !representable(self.ended()) {
            Err(InvalidBrief::Time)
        } else if matches!(&self.identity, BriefIdentity::Known { whale } if !is_name(whale)) {
            Err(InvalidBrief::Whale)
        } else if !self.position.is_none_or(|p| p.is_on_earth()) {
            Err(InvalidBrief::Position)
        } else {
            Ok(())
        }
    }
}

impl BriefPosition {
    /// The position next to these degrees.
    pub fn new(latitude: f64, longitude: f64) -> Self {
        let steps = |degrees: f64| (degrees * STEPS_A_DEGREE).round() as i32;
        Self {
            latitude: steps(latitude),
            longitude: steps(longitude),
        }
    }

    /// Latitude and longitude in degrees.
    pub fn degrees(self) -> (f64, f64) {
        let degrees = |steps: i32| f64::from(steps) / STEPS_A_DEGREE;
        (degrees(self.latitude), degrees(self.longitude))
    }

    fn is_on_earth(self) -> bool {
        let (latitude, longitude) = self.degrees();
        (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude)
    }
}

/// A name of at most [`MAX_WHALE_BYTES`] without control characters.
fn shortened(whale: &str) -> String {
    const CUT_OFF: &str = "…";
    let plain: String = whale.chars().filter(|c| !c.is_control()).collect();
    if plain.len() <= MAX_WHALE_BYTES {
        return plain;
    }
    let end = plain.floor_char_boundary(MAX_WHALE_BYTES - CUT_OFF.len());
    format!("{}{CUT_OFF}", &plain[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::wire;

    /// Every field is as long as it may be.
    fn longest() -> Brief {
        Brief {
            boat: "a".repeat(32).parse().unwrap(),
            sequence: i64::MAX as u64,
            epoch: Some(samples::epoch()),
            revision: u32::MAX,
            started: Timestamp(-377_705_023_201_000),
            duration: u32::MAX,
            frames: u32::MAX,
            identity: BriefIdentity::Known {
                whale: "x".repeat(MAX_WHALE_BYTES),
            },
            probability: Some(255),
            position: Some(BriefPosition::new(-90.0, -180.0)),
            ..Brief::of(&samples::sighting())
        }
    }

    #[test]
    fn a_brief_has_few_bytes() {
        const ENVELOPE: usize = 11;
        assert_eq!(longest().validate(), Ok(()));
        let bytes = wire::encode(&longest()).unwrap();
        assert_eq!(wire::decode(&bytes), Ok(longest()));
        assert_eq!(bytes.len() - ENVELOPE, 161);
        let typical = Brief::of(&samples::sighting());
        let bytes = wire::encode(&typical).unwrap();
        assert_eq!(bytes.len() - ENVELOPE, 75);
    }

    #[test]
    fn a_brief_is_a_sighting_without_details() {
        let sighting = samples::sighting();
        let brief = Brief::of(&sighting);
        assert_eq!(brief.validate(), Ok(()));
        assert_eq!(brief.ended(), sighting.ended);
        assert_eq!(brief.position.unwrap().degrees(), (38.5, -28.625));
        let error = brief.probability().unwrap() - sighting.probability.unwrap();
        assert!(error.abs() < 0.002, "{error}");
        let named = |whale: &str| {
            let known = Sighting {
                verdict: Verdict::Known {
                    whale: whale.into(),
                },
                ..samples::sighting()
            };
            let brief = Brief::of(&known);
            assert_eq!(brief.validate(), Ok(()));
            match brief.identity {
                BriefIdentity::Known { whale } => whale,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(named("HW-0042"), "HW-0042");
        assert_eq!(named(&"é".repeat(24)), "é".repeat(24));
        assert_eq!(named(&"é".repeat(25)), format!("{}…", "é".repeat(22)));
        assert_eq!(named("a\nb"), "ab");
    }

    #[test]
    fn values_out_of_range_are_invalid() {
        type Change = fn(&mut Brief);
        let changes: [(Change, InvalidBrief); 8] = [
            (|b| b.sequence = 0, InvalidBrief::Sequence),
            (|b| b.sequence = u64::MAX, InvalidBrief::Sequence),
            (|b| b.started = Timestamp(i64::MAX), InvalidBrief::Time),
            (
                |b| b.position = Some(BriefPosition::new(90.1, 0.0)),
                InvalidBrief::Position,
            ),
            (
                |b| b.position = Some(BriefPosition::new(0.0, -180.1)),
                InvalidBrief::Position,
            ),
            (|b| set_whale(b, " "), InvalidBrief::Whale),
            (|b| set_whale(b, "a\x1b"), InvalidBrief::Whale),
            (|b| set_whale(b, &"x".repeat(49)), InvalidBrief::Whale),
        ];
        for (change, expected) in changes {
            let mut brief = longest();
            change(&mut brief);
            assert_eq!(brief.validate(), Err(expected));
        }
    }

    fn set_whale(brief: &mut Brief, whale: &str) {
        brief.identity = BriefIdentity::Known {
            whale: whale.into(),
        };
    }
}
