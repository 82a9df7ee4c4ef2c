//! The content of one sentence of a receiver.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;

/// The position that a receiver reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReportedPosition {
    /// The receiver reports that it has no fix.
    NoFix,
    /// A fix, in degrees north and east.
    At {
        /// Degrees north, -90 to 90.
        latitude: f64,
        /// Degrees east, -180 to 180.
        longitude: f64,
        /// Its quality, where the sentence states it.
        quality: Option<FixQuality>,
    },
}

impl ReportedPosition {
    /// A position on Earth; [`ReportedPosition::NoFix`] for anything else, and for 0, 0, which
    /// receivers without a fix report.
    pub fn at(latitude: f64, longitude: f64, quality: Option<FixQuality>) -> Self {
        let on_earth = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        if !on_earth || (latitude == 0.0 && longitude == 0.0) {
            return Self::NoFix;
        }
        Self::At {
            latitude,
            longitude,
            quality,
        }
    }
}

/// The content of one sentence; `None` for what it does not contain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NavUpdate {
    /// The time that the sentence states.
    pub time: Option<Timestamp>,
    /// Whether the sentence confirms that the time comes from satellites rather than from the
    /// receiver's own clock.
    pub time_is_valid: bool,
    /// The position, or that there is none.
    pub position: Option<ReportedPosition>,
    /// Number of satellites in use.
    pub satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub hdop: Option<f32>,
    /// Speed over ground, in knots.
    pub speed: Option<f32>,
    /// Course over ground, true, in degrees.
    pub course: Option<f32>,
    /// True heading, in degrees.
    pub heading: Option<f32>,
}

/// `value`, if it lies between 0 and `max`.
pub(super) fn in_range(value: Option<f32>, max: f32) -> Option<f32> {
    value.filter(|v| (0.0..=max).contains(v))
}

/// The highest valid speed, in knots.
pub(super) const MAX_SPEED: f32 = 1000.0;
/// The highest valid dilution of precision.
pub(super) const MAX_HDOP: f32 = 100.0;
