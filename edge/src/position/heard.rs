//! What a receiver says in one sentence.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;

/// Where a receiver says that it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    /// It does not know.
    Unknown,
    /// There, in degrees north and east.
    At {
        /// -90 to 90.
        latitude: f64,
        /// -180 to 180.
        longitude: f64,
        /// What it rests on, where the sentence says so.
        quality: Option<FixQuality>,
    },
}

impl Place {
    /// A place on Earth; [`Place::Unknown`] for anything else, and for the one point in the Gulf of Guinea at which receivers believe
    /// themselves to be that know nothing.
    pub fn at(latitude: f64, longitude: f64, quality: Option<FixQuality>) -> Self {
        let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        if !on_earth || (latitude == 0.0 && longitude == 0.0) {
            return Self::Unknown;
        }
        Self::At {
            latitude,
            longitude,
            quality,
        }
    }
}

/// What a receiver says in one sentence; `None` is what it does not speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// The time of the second that the sentence is about.
    pub time: Option<Timestamp>,
    /// Whether the sentence itself says that the time comes from satellites, rather than from the receiver's own clock.
    pub time_is_checked: bool,
    /// The place.
    pub place: Option<Place>,
    /// Satellites in use.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Speed over ground, in knots.
    pub speed: Option<f32>,
    /// Course over ground, true, in degrees.
    pub course: Option<f32>,
    /// Where the bow points, true, in degrees.
    pub heading: Option<f32>,
}

/// `value`, if it is a number from 0 to `most`.
pub(super) fn sensible(value: Option<f32>, most: f32) -> Option<f32> {
    value.filter(|v| (0.0..=most).contains(v))
}

/// The fastest that is believed, in knots.
pub(super) const FASTEST: f32 = 1000.0;
/// The worst dilution that is told.
pub(super) const WORST_HDOP: f32 = 100.0;
