//! The content of one sentence of a receiver.

use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::FixQuality;

/// The position that a receiver reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum ReportedPosition {
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
    pub(super) fn at(latitude: f64, longitude: f64, quality: Option<FixQuality>) -> Self {
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

/// The time that a sentence states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReportedTime {
    /// The sentence confirms that the time comes from satellites.
    Confirmed(Timestamp),
    /// It may come from the receiver's own clock, unless the receiver has a fix.
    Unconfirmed(Timestamp),
    /// It cannot be read.
    Unreadable,
}

/// What a sentence comes from: a receiver, as far as it is known, and one of its kinds of sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Source<'a> {
    /// The source in the sentence's tag block, or the device that gpsd names; empty if unknown.
    pub(super) device: &'a str,
    /// The talker and kind of the sentence, e.g. `GPRMC`; empty for gpsd.
    pub(super) sentence: &'a str,
}

/// The content of one sentence; `None` for what it does not contain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct NavUpdate {
    /// The time that the sentence states.
    pub(super) time: Option<ReportedTime>,
    /// The position, or that there is none.
    pub(super) position: Option<ReportedPosition>,
    /// Number of satellites in use.
    pub(super) satellites: Option<u8>,
    /// Horizontal dilution of precision.
    pub(super) hdop: Option<f32>,
    /// Speed over ground, in knots.
    pub(super) speed: Option<f32>,
    /// Course over ground, true, in degrees.
    pub(super) course: Option<f32>,
    /// True heading, in degrees.
    pub(super) heading: Option<f32>,
    /// True heading of a magnetic compass, corrected by the variation, in degrees: used where no other is
    /// known.
    pub(super) compass_heading: Option<f32>,
}

/// `value`, if it lies between 0 and `max`.
pub(super) fn in_range(value: Option<f32>, max: f32) -> Option<f32> {
    value.filter(|v| (0.0..=max).contains(v))
}

/// The highest valid speed, in knots.
pub(super) const MAX_SPEED: f32 = 1000.0;
/// The highest valid dilution of precision.
pub(super) const MAX_HDOP: f32 = 100.0;
