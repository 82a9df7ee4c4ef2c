//! How a camera is mounted on the boat, and from that where a whale is relative to the boat.
//!
//! The camera is a pinhole with square pixels, mounted level across its optical axis. With the frame's
//! width `w`, the horizontal field of view `v` and the fluke's box,
//!
//! - the focal length in pixels is `f = w / 2 / tan(v / 2)`;
//! - the centre of the box, `x` pixels right of the frame's centre, is at `atan(x / f)` right of the
//!   optical axis: with the mount's bearing that is the bearing from the bow, and with the heading the
//!   true one;
//! - the horizon, `y0` pixels below the frame's centre on the axis, shows by how much the camera is
//!   tilted: `p = atan(-y0 / f)` downwards. The middle of the box's bottom edge, `y` pixels below the
//!   centre, is at `d = asin((y cos p + f sin p) / sqrt(x² + y² + f²))` below the visible horizon;
//! - which is itself at the dip below the horizontal: 1.76 arc minutes times the root of the camera's
//!   height `h` in metres, refraction included (Bowditch, *The American Practical Navigator*);
//! - so that the range is `h / tan(d + dip)`. The Earth's curvature between boat and whale is ignored,
//!   which makes ranges 2 % too short at 1 km and 13 % at 3 km for a camera at 4 m.
//!
//! The method is that of Gordon, *Measuring the range to animals at sea from boats using photographic
//! and video images*, J. Cetacean Res. Manage. 3 (2001), with the horizon's row measured once instead of
//! in each image. `docs/operation.md` says what error roll and pitch cause.

use flukewatch_common::footage::FrameSize;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::relative_position::{MAX_RANGE, RelativePosition};

/// The dip of the horizon, in degrees, of an eye at a height of one metre.
const DIP_AT_ONE_METRE: f64 = 1.76 / 60.0;

/// How a camera is mounted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mount {
    /// The horizontal field of view in degrees, less than 180.
    pub field_of_view: f64,
    /// The bearing of the optical axis in degrees clockwise from the bow; `None` where it is unknown.
    pub bearing: Option<f64>,
    /// What a range is measured by; `None` where it is unknown.
    pub horizon: Option<Horizon>,
}

/// The camera's height, and the horizon that it sees from there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Horizon {
    /// The height of the camera above the water, in metres.
    pub height: f64,
    /// The row of the horizon in the middle of the frame, as a fraction of the frame's height from its
    /// top, while the boat does not move.
    pub row_fraction: f64,
}

impl Mount {
    /// Where a whale is whose fluke's box is `region` in a frame of size `frame`, while the boat's
    /// bow points to `heading`, in degrees true; `None` where neither bearing nor range can be
    /// estimated.
    pub fn relative_position(
        &self,
        region: PixelBox,
        frame: FrameSize,
        heading: Option<f32>,
    ) -> Option<RelativePosition> {
        if frame.width == 0 {
            return None;
        }
        let centre = [frame.width, frame.height].map(|side| f64::from(side) / 2.0);
        let ray = Ray {
            right: (f64::from(region.x0) + f64::from(region.x1)) / 2.0 - centre[0],
            down: f64::from(region.y1) - centre[1],
            focal: centre[0] / (self.field_of_view / 2.0).to_radians().tan(),
        };
        let horizon = |h: Horizon| {
            let row = h.row_fraction * f64::from(frame.height) - centre[1];
            ray.range(row, h.height)
        };
        let from_bow = self.bearing.map(|axis| axis + ray.bearing());
        let range = self.horizon.and_then(horizon);
        let heading = heading.map(f64::from);
        (from_bow.is_some() || range.is_some()).then(|| RelativePosition {
            bearing_from_bow: from_bow.map(full_circle),
            bearing: from_bow.zip(heading).map(|(b, h)| full_circle(h + b)),
            range,
        })
    }
}

/// A line of sight in pixels: right of and below the optical axis at the focal length.
struct Ray {
    right: f64,
    down: f64,
    focal: f64,
}

impl Ray {
    /// Its bearing in degrees right of the optical axis.
    fn bearing(&self) -> f64 {
        (self.right / self.focal).atan().to_degrees()
    }

    /// The range in metres at which it meets the water, `height` metres below the camera, where the
    /// horizon is `horizon` pixels below the centre of the frame; `None` at and above the horizon, and
    /// beyond [`MAX_RANGE`].
    fn range(&self, horizon: f64, height: f64) -> Option<f32> {
        let tilt = (-horizon / self.focal).atan();
        let below = self.down * tilt.cos() + self.focal * tilt.sin();
        let length = (self.right.powi(2) + self.down.powi(2) + self.focal.powi(2)).sqrt();
        let depression = (below / length).asin();
        if depression <= 0.0 {
            return None;
        }
        let dip = (DIP_AT_ONE_METRE * height.sqrt()).to_radians();
        let range = (height / (depression + dip).tan()) as f32;
        (0.0..=MAX_RANGE).contains(&range).then_some(range)
    }
}

/// An angle in degrees as one from 0 to below 360.
fn full_circle(degrees: f64) -> f32 {
    let degrees = degrees.rem_euclid(360.0) as f32;
    // A small negative angle is rounded up to a full circle.
    if degrees < 360.0 { degrees } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FRAME: FrameSize = FrameSize {
        width: 1920,
        height: 1080,
    };

    /// A camera at 4 m with a field of view of 60°: `f` is 960 / tan 30° = 1662.8 pixels.
    fn mount(bearing: f64) -> Mount {
        Mount {
            field_of_view: 60.0,
            bearing: Some(bearing),
            horizon: Some(Horizon {
                height: 4.0,
                row_fraction: 0.5,
            }),
        }
    }

    /// A box with this middle of its bottom edge.
    fn above(x: u32, y: u32) -> PixelBox {
        PixelBox {
            x0: x.saturating_sub(20),
            y0: y.saturating_sub(30),
            x1: x + 20,
            y1: y,
        }
    }

    fn close(value: Option<f32>, expected: f64, tolerance: f64) -> bool {
        value.is_some_and(|v| (f64::from(v) - expected).abs() <= tolerance)
    }

    #[test]
    fn worked_by_hand() {
        // A quarter of the frame right of the centre: atan(480 / 1662.8) = 16.10°.
        let right = mount(315.0).relative_position(above(1440, 640), FRAME, Some(40.0));
        let right = right.unwrap();
        assert!(close(right.bearing_from_bow, 331.10, 0.01), "{right:?}");
        assert!(close(right.bearing, 11.10, 0.01), "{right:?}");
        // 100 pixels below the horizon: atan(100 / 1662.8) = 3.442°, a dip of 2 x 1.76' = 0.059°, and
        // 4 m / tan 3.501° = 65.4 m.
        let ahead = mount(0.0).relative_position(above(960, 640), FRAME, None);
        let ahead = ahead.unwrap();
        assert_eq!((ahead.bearing_from_bow, ahead.bearing), (Some(0.0), None));
        assert!(close(ahead.range, 65.39, 0.02), "{ahead:?}");
        // Off the axis the same row is farther from the camera's centre, by 1 / cos 16.1°: asin(100 /
        // sqrt(480² + 100² + 1662.8²)) = 3.307°, 4 m / tan 3.366° = 68.02 m.
        assert!(close(right.range, 68.02, 0.02), "{right:?}");
        // A camera that is tilted down by atan(200 / 1662.8) = 6.859° has the horizon at row 340. The
        // frame's centre is at that angle: 4 m / tan 6.917° = 32.97 m.
        let tilted = Mount {
            horizon: Some(Horizon {
                height: 4.0,
                row_fraction: 340.0 / 1080.0,
            }),
            ..mount(0.0)
        };
        let centre = tilted.relative_position(above(960, 540), FRAME, None);
        assert!(close(centre.unwrap().range, 32.97, 0.02), "{centre:?}");
    }

    #[test]
    fn at_and_above_the_horizon_and_beyond_three_kilometres_a_range_is_unknown() {
        let range = |y, height| {
            let horizon = Some(Horizon {
                height,
                row_fraction: 0.5,
            });
            let mount = Mount {
                horizon,
                ..mount(0.0)
            };
            mount
                .relative_position(above(960, y), FRAME, None)
                .unwrap()
                .range
        };
        assert_eq!((range(540, 4.0), range(300, 4.0)), (None, None));
        // A pixel below the horizon is 0.0345°, and the dip 0.059°.
        assert!(close(range(541, 4.0), 2461.0, 1.0), "{:?}", range(541, 4.0));
        assert_eq!(range(541, 20.0), None);
        assert!(range(548, 20.0).is_some_and(|r| r < MAX_RANGE));
    }

    #[test]
    fn each_is_known_without_the_others() {
        let region = above(960, 640);
        let without_bearing = Mount {
            bearing: None,
            ..mount(0.0)
        };
        let found = without_bearing.relative_position(region, FRAME, Some(10.0));
        let found = found.unwrap();
        assert_eq!((found.bearing_from_bow, found.bearing), (None, None));
        assert!(found.range.is_some() && found.is_valid());
        let without_horizon = Mount {
            horizon: None,
            ..mount(90.0)
        };
        let found = without_horizon.relative_position(region, FRAME, Some(280.0));
        let found = found.unwrap();
        assert_eq!(
            (found.bearing_from_bow, found.bearing, found.range),
            (Some(90.0), Some(10.0), None)
        );
        let neither = Mount {
            bearing: None,
            ..without_horizon
        };
        assert_eq!(neither.relative_position(region, FRAME, Some(1.0)), None);
        let empty = FrameSize::default();
        assert_eq!(mount(0.0).relative_position(region, empty, None), None);
    }

    /// A camera anywhere on a boat.
    fn any_mount() -> impl Strategy<Value = Mount> {
        let horizon = (0.5..30.0, 0.2..0.6).prop_map(|(height, row_fraction)| Horizon {
            height,
            row_fraction,
        });
        (10.0..120.0, 0.0..360.0, horizon).prop_map(|(field_of_view, bearing, horizon)| Mount {
            field_of_view,
            bearing: Some(bearing),
            horizon: Some(horizon),
        })
    }

    /// The difference of two bearings in degrees, -180 to 180.
    fn turned(from: f64, to: f32) -> f64 {
        (f64::from(to) - from + 180.0).rem_euclid(360.0) - 180.0
    }

    proptest! {
        #[test]
        fn bearings_are_symmetric_about_the_axis(mount in any_mount(), x in 1u32..940, y in 30u32..1080) {
            let axis = mount.bearing.unwrap();
            let at = |x| mount.relative_position(above(x, y), FRAME, None).unwrap();
            let (left, right) = (at(960 - x), at(960 + x));
            let [left_by, right_by] = [left, right].map(|p| turned(axis, p.bearing_from_bow.unwrap()));
            prop_assert!((left_by + right_by).abs() < 1e-3, "{left_by} {right_by}");
            prop_assert!(right_by > 0.0 && right_by < mount.field_of_view / 2.0 + 1.0);
            prop_assert_eq!(left.range, right.range);
        }

        #[test]
        fn the_centre_is_at_the_mount_s_bearing(mount in any_mount(), y in 30u32..1080, heading in 0f32..360.0) {
            let found = mount.relative_position(above(960, y), FRAME, Some(heading)).unwrap();
            let axis = mount.bearing.unwrap();
            prop_assert!(turned(axis, found.bearing_from_bow.unwrap()).abs() < 1e-3);
            prop_assert!(turned(axis + f64::from(heading), found.bearing.unwrap()).abs() < 1e-3);
        }

        #[test]
        fn every_result_is_valid_and_bearings_are_below_360(
            mount in any_mount(), x in 0u32..1920, y in 0u32..1080, heading in prop::option::of(0f32..=360.0),
        ) {
            let found = mount.relative_position(above(x, y), FRAME, heading).unwrap();
            prop_assert!(found.is_valid(), "{found:?}");
            for bearing in [found.bearing_from_bow, found.bearing].into_iter().flatten() {
                prop_assert!((0.0..360.0).contains(&bearing), "{bearing}");
            }
        }

        #[test]
        fn what_is_lower_in_the_frame_is_nearer(mount in any_mount(), x in 0u32..1920, y in 30u32..1079) {
            let at = |y| mount.relative_position(above(x, y), FRAME, None).unwrap().range;
            if let (Some(upper), Some(lower)) = (at(y), at(y + 1)) {
                prop_assert!(lower < upper, "{upper} {lower}");
            }
        }

        /// A whale on the water, projected into the frame by rotations rather than by the formulae above.
        #[test]
        fn a_projected_whale_is_found(
            height in 2f64..20.0, tilt in -0.1f64..0.2, range in 100f64..400.0, off in -0.4f64..0.4, axis in 0f64..360.0,
        ) {
            let focal = 960.0 / 30f64.to_radians().tan();
            let project = |right: f64, down: f64, ahead: f64| {
                let depth = ahead * tilt.cos() + down * tilt.sin();
                let below = down * tilt.cos() - ahead * tilt.sin();
                (960.0 + focal * right / depth, 540.0 + focal * below / depth)
            };
            let (x, y) = project(range * off.sin(), height, range * off.cos());
            prop_assume!((20.0..1900.0).contains(&x) && (30.0..1080.0).contains(&y));
            let dip = (DIP_AT_ONE_METRE * height.sqrt()).to_radians();
            let (_, row) = project(0.0, dip.tan(), 1.0);
            let mount = Mount {
                field_of_view: 60.0,
                bearing: Some(axis),
                horizon: Some(Horizon { height, row_fraction: row / 1080.0 }),
            };
            let found = mount.relative_position(above(x.round() as u32, y.round() as u32), FRAME, None).unwrap();
            // The bearing ignores the tilt. A pixel is worth range² / (height f) metres.
            let bearing = turned(axis, found.bearing_from_bow.unwrap());
            prop_assert!((bearing - off.to_degrees()).abs() < 1.0, "{bearing} {off}");
            let pixel = (range * range + height * height) / (height * focal);
            prop_assert!(close(found.range, range, 1.5 * pixel + 0.02 * range), "{found:?} {range}");
        }
    }
}
