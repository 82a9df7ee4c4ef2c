//! The position of a sighting and the time source of its timestamps.

use serde::{Deserialize, Serialize};

/// The quality of a GNSS fix. The order is that of the wire format: append new ones at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixQuality {
    /// A GNSS fix without corrections.
    Autonomous,
    /// A GNSS fix with corrections (DGPS, SBAS).
    Differential,
    /// Real-time kinematic with unresolved ambiguities: accurate to decimetres.
    RtkFloat,
    /// Real-time kinematic: accurate to centimetres.
    Rtk,
    /// Estimated by dead reckoning from the last fix.
    Estimated,
    /// A position that was entered by hand.
    Manual,
    /// Produced by a simulator.
    Simulated,
}

impl FixQuality {
    /// Every quality, in the order of the wire format.
    pub const ALL: [Self; 7] = [
        Self::Autonomous,
        Self::Differential,
        Self::RtkFloat,
        Self::Rtk,
        Self::Estimated,
        Self::Manual,
        Self::Simulated,
    ];

    /// The name in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Autonomous => "autonomous",
            Self::Differential => "differential",
            Self::RtkFloat => "rtk-float",
            Self::Rtk => "rtk",
            Self::Estimated => "estimated",
            Self::Manual => "manual",
            Self::Simulated => "simulated",
        }
    }

    /// The quality with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|q| q.as_str() == name)
    }
}

/// The position of the boat when a sighting started. Angles are in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// The latitude, -90 to 90, positive north (WGS 84).
    pub latitude: f64,
    /// The longitude, -180 to 180, positive east.
    pub longitude: f64,
    /// The quality of the fix.
    pub quality: FixQuality,
    /// The time between the fix and the sighting's start, in milliseconds.
    pub age: u32,
    /// The number of satellites in use.
    pub satellites: Option<u8>,
    /// The horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// The speed over ground, in knots.
    pub speed: Option<f32>,
    /// The true course over ground, 0 to 360.
    pub course: Option<f32>,
    /// The true heading of the bow, 0 to 360.
    pub heading: Option<f32>,
}

impl Position {
    /// Whether the numbers can be a position on Earth.
    pub fn is_valid(&self) -> bool {
        let within =
            |value: Option<f32>, most: f32| value.is_none_or(|v| (0.0..=most).contains(&v));
        (-90.0..=90.0).contains(&self.latitude)
            && (-180.0..=180.0).contains(&self.longitude)
            && within(self.hdop, 1000.0)
            && within(self.speed, 1000.0)
            && within(self.course, 360.0)
            && within(self.heading, 360.0)
    }
}

/// The clock of a sighting's timestamps. The order is that of the wire format: append new ones at
/// the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// The system clock, not verified.
    System,
    /// The boat's GNSS receiver.
    Gnss,
    /// A replay: frame timestamps count from the start of the program.
    Replay,
}

impl TimeSource {
    /// Every time source, in the order of the wire format.
    pub const ALL: [Self; 3] = [Self::System, Self::Gnss, Self::Replay];

    /// The name in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Gnss => "gnss",
            Self::Replay => "replay",
        }
    }

    /// The time source with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// The time source of a sighting's timestamps and its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBasis {
    /// The clock that the timestamps come from.
    pub source: TimeSource,
    /// The largest possible error in milliseconds; `None` if unknown.
    pub uncertainty: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for quality in FixQuality::ALL {
            assert_eq!(FixQuality::parse(quality.as_str()), Some(quality));
        }
        for source in TimeSource::ALL {
            assert_eq!(TimeSource::parse(source.as_str()), Some(source));
        }
        assert_eq!(
            (FixQuality::parse("GPS"), TimeSource::parse("")),
            (None, None)
        );
    }

    #[test]
    fn an_invalid_position_is_rejected() {
        let azores = Position {
            latitude: 38.5,
            longitude: -28.6,
            quality: FixQuality::Autonomous,
            age: 0,
            satellites: Some(9),
            hdop: None,
            speed: Some(6.5),
            course: Some(360.0),
            heading: None,
        };
        assert!(azores.is_valid());
        type Change = fn(&mut Position);
        let changes: [Change; 5] = [
            |p| p.latitude = 90.1,
            |p| p.longitude = f64::NAN,
            |p| p.speed = Some(-1.0),
            |p| p.course = Some(361.0),
            |p| p.hdop = Some(f32::INFINITY),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut position = azores;
            change(&mut position);
            assert!(!position.is_valid(), "change {i}");
        }
    }
}
