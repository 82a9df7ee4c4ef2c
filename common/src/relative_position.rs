//! Where a whale was, as seen from the boat.

use serde::{Deserialize, Serialize};

/// The farthest range that is estimated, in metres: beyond it a pixel is worth hundreds of metres.
pub const MAX_RANGE: f32 = 3000.0;

/// Where a whale was relative to the boat, estimated from its fluke's box in a frame of a camera whose
/// mount is known. It is rough, most of all the range, and never replaces the boat's position.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelativePosition {
    /// The bearing in degrees clockwise from the bow, 0 to 360; `None` where the camera's is unknown.
    pub bearing_from_bow: Option<f32>,
    /// The true bearing in degrees, 0 to 360; `None` where the boat's heading was unknown.
    pub bearing: Option<f32>,
    /// The range in metres, up to [`MAX_RANGE`]; `None` where it cannot be estimated.
    pub range: Option<f32>,
}

impl RelativePosition {
    /// Whether the numbers can be a position relative to a boat: a bearing from the bow or a range at
    /// least, and a true bearing only with one from the bow.
    pub fn is_valid(&self) -> bool {
        let within =
            |value: Option<f32>, most: f32| value.is_none_or(|v| (0.0..=most).contains(&v));
        (self.bearing_from_bow.is_some() || self.range.is_some() && self.bearing.is_none())
            && within(self.bearing_from_bow, 360.0)
            && within(self.bearing, 360.0)
            && within(self.range, MAX_RANGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_relative_position_is_rejected() {
        let of = |bearing_from_bow, bearing, range| RelativePosition {
            bearing_from_bow,
            bearing,
            range,
        };
        for valid in [
            of(Some(0.0), Some(360.0), Some(3000.0)),
            of(Some(13.5), None, None),
            of(None, None, Some(0.0)),
        ] {
            assert!(valid.is_valid(), "{valid:?}");
        }
        for invalid in [
            of(None, None, None),
            of(None, Some(90.0), Some(100.0)),
            of(Some(-0.1), None, None),
            of(Some(0.0), Some(360.1), None),
            of(Some(f32::NAN), None, None),
            of(Some(0.0), None, Some(3000.1)),
            of(None, None, Some(f32::INFINITY)),
        ] {
            assert!(!invalid.is_valid(), "{invalid:?}");
        }
    }
}
