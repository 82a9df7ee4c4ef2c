//! Where a sighting was, and whose clock its times are of.

use serde::{Deserialize, Serialize};

/// What a position rests on. The order is the wire's: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixQuality {
    /// GNSS without corrections.
    Autonomous,
    /// GNSS with corrections (DGPS, SBAS).
    Differential,
    /// Real-time kinematic, its ambiguities not settled: some decimetres.
    RtkFloat,
    /// Real-time kinematic: some centimetres.
    Rtk,
    /// Dead reckoning from the last fix.
    Estimated,
    /// Entered by hand.
    Manual,
    /// A simulator's.
    Simulated,
}

impl FixQuality {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Autonomous,
        Self::Differential,
        Self::RtkFloat,
        Self::Rtk,
        Self::Estimated,
        Self::Manual,
        Self::Simulated,
    ];

    /// Its name, as programs read it.
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

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|q| q.as_str() == name)
    }
}

/// Where the boat was when a sighting began. Angles are in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// North of the equator, -90 to 90 (WGS 84).
    pub latitude: f64,
    /// East of Greenwich, -180 to 180.
    pub longitude: f64,
    /// What it rests on.
    pub quality: FixQuality,
    /// How far the fix was from the sighting's begin, in milliseconds.
    pub age: u32,
    /// Satellites in use.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Speed over ground, in knots.
    pub speed: Option<f32>,
    /// Course over ground, true, 0 to 360.
    pub course: Option<f32>,
    /// Where the bow points, true, 0 to 360.
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

/// Which clock a sighting's times are of. The order is the wire's: new ones go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeSource {
    /// The computer's clock, unverified.
    System,
    /// The boat's GNSS receiver.
    Gnss,
    /// A replay: frames are dated from the start of the program on.
    Replay,
}

impl TimeSource {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::System, Self::Gnss, Self::Replay];

    /// Its name, as programs read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Gnss => "gnss",
            Self::Replay => "replay",
        }
    }

    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == name)
    }
}

/// How far a sighting's times can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBasis {
    /// Whose time it is.
    pub source: TimeSource,
    /// How far off it may be, in milliseconds; `None` where nothing on board can tell.
    pub uncertainty: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
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
    fn a_position_that_is_nowhere_makes_no_sense() {
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
