//! Areas of a camera's frame that are not searched: burnt-in text, the bow rail, the crew's deck.

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// The fewest points of an area.
const MIN_POINTS: usize = 3;
/// The most points of an area, and the most areas of a camera: they are drawn by hand.
const MAX_COUNT: usize = 32;

/// A point in fractions of the frame's width and height, from its top left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FramePoint {
    /// From the left edge, 0, to the right edge, 1.
    pub x: f64,
    /// From the top edge, 0, to the bottom edge, 1.
    pub y: f64,
}

/// A polygon. Its last point is connected to its first; where it crosses itself, a point is inside
/// if a ray from it crosses the outline an odd number of times.
#[derive(Clone, Debug, PartialEq)]
pub struct Area(Vec<FramePoint>);

impl Area {
    /// The corners in order.
    pub fn points(&self) -> &[FramePoint] {
        &self.0
    }

    fn contains(&self, point: FramePoint) -> bool {
        let mut inside = false;
        let mut from = self.0.last();
        for to in &self.0 {
            if let Some(from) = from
                && (from.y > point.y) != (to.y > point.y)
                && point.x < from.x + (point.y - from.y) / (to.y - from.y) * (to.x - from.x)
            {
                inside = !inside;
            }
            from = Some(to);
        }
        inside
    }
}

/// The areas of one camera, `ignore` in its section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IgnoredAreas(Vec<Area>);

impl IgnoredAreas {
    /// Whether a point lies in one of the areas.
    pub fn contain(&self, point: FramePoint) -> bool {
        self.0.iter().any(|area| area.contains(point))
    }

    /// Each area.
    pub fn areas(&self) -> &[Area] {
        &self.0
    }
}

// The parts are deserialized by visitors of their own, so that an error has the line of the point
// or area at fault, rather than that of the key.

impl<'de> Deserialize<'de> for FramePoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Point;
        impl<'de> Visitor<'de> for Point {
            type Value = FramePoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a point [x, y]")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<FramePoint, S::Error> {
                let x: Option<f64> = seq.next_element()?;
                let y: Option<f64> = seq.next_element()?;
                let more: Option<f64> = seq.next_element()?;
                let (Some(x), Some(y), None) = (x, y, more) else {
                    return Err(S::Error::custom("a point must be two numbers, [x, y]"));
                };
                if let Some(outside) = [x, y].into_iter().find(|v| !(0.0..=1.0).contains(v)) {
                    return Err(S::Error::custom(format!(
                        "a point's x and y must be fractions of the frame, 0 to 1, not {outside}"
                    )));
                }
                Ok(FramePoint { x, y })
            }
        }
        from.deserialize_seq(Point)
    }
}

impl<'de> Deserialize<'de> for Area {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Points;
        impl<'de> Visitor<'de> for Points {
            type Value = Area;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an area, a list of points [[x, y], ..]")
            }

            fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Area, S::Error> {
                let mut points = vec![];
                while let Some(point) = seq.next_element()? {
                    points.push(point);
                }
                if !(MIN_POINTS..=MAX_COUNT).contains(&points.len()) {
                    return Err(S::Error::custom(format!(
                        "an area must have {MIN_POINTS} to {MAX_COUNT} points, not {}",
                        points.len()
                    )));
                }
                Ok(Area(points))
            }
        }
        from.deserialize_seq(Points)
    }
}

impl<'de> Deserialize<'de> for IgnoredAreas {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let areas = Vec::<Area>::deserialize(from)?;
        if areas.len() > MAX_COUNT {
            return Err(D::Error::custom(format!(
                "at most {MAX_COUNT} areas, not {}",
                areas.len()
            )));
        }
        Ok(Self(areas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn areas(json: &str) -> Result<IgnoredAreas, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    fn contain(json: &str, x: f64, y: f64) -> bool {
        areas(json).unwrap().contain(FramePoint { x, y })
    }

    #[test]
    fn a_point_is_in_any_of_the_areas_or_outside() {
        let rail_and_text = "[[[0, 0.8], [1, 0.8], [1, 1], [0, 1]], [[0, 0], [0.3, 0], [0, 0.1]]]";
        for (x, y, inside) in [
            (0.5, 0.9, true),
            (0.5, 0.79, false),
            (0.05, 0.05, true),
            (0.29, 0.09, false),
            (0.5, 0.5, false),
        ] {
            assert_eq!(contain(rail_and_text, x, y), inside, "{x}, {y}");
        }
        assert!(!IgnoredAreas::default().contain(FramePoint { x: 0.5, y: 0.5 }));
    }

    #[test]
    fn an_area_may_be_concave_and_turn_either_way() {
        // A U: its notch is searched.
        let points = [
            [0.1, 0.1],
            [0.3, 0.1],
            [0.3, 0.7],
            [0.7, 0.7],
            [0.7, 0.1],
            [0.9, 0.1],
            [0.9, 0.9],
            [0.1, 0.9],
        ];
        let backwards: Vec<[f64; 2]> = points.iter().rev().copied().collect();
        for outline in [points.to_vec(), backwards] {
            let json = serde_json::to_string(&[outline]).unwrap();
            assert!(contain(&json, 0.2, 0.5) && contain(&json, 0.5, 0.8));
            assert!(!contain(&json, 0.5, 0.3) && !contain(&json, 0.05, 0.5));
        }
    }

    #[test]
    fn invalid_areas_are_rejected() {
        for (json, problem) in [
            ("[[[0, 0], [1, 1]]]", "3 to 32 points, not 2"),
            ("[[]]", "3 to 32 points, not 0"),
            ("[[[0, 0], [1, 0], [1, 1.01]]]", "0 to 1, not 1.01"),
            ("[[[-0.1, 0], [1, 0], [1, 1]]]", "0 to 1, not -0.1"),
            ("[[[0], [1, 0], [1, 1]]]", "two numbers"),
            ("[[[0, 0, 0], [1, 0], [1, 1]]]", "two numbers"),
            ("[[0, 0], [1, 0], [1, 1]]", "a point [x, y]"),
            ("[[[\"a\", 0], [1, 0], [1, 1]]]", "invalid type"),
        ] {
            let said = areas(json).unwrap_err();
            assert!(said.contains(problem), "{json}: {said}");
        }
        let many = serde_json::to_string(&vec![[[0, 0], [1, 0], [1, 1]]; 33]).unwrap();
        assert!(areas(&many).unwrap_err().contains("at most 32 areas"));
    }

    proptest! {
        #[test]
        fn a_triangle_contains_its_centre_and_nothing_beyond_its_bounds(
            corners in proptest::collection::vec((0.0f64..=1.0, 0.0f64..=1.0), 3),
        ) {
            let json = serde_json::to_string(&[&corners]).unwrap();
            let (x, y): (Vec<f64>, Vec<f64>) = corners.iter().copied().unzip();
            let mean = |v: &[f64]| v.iter().sum::<f64>() / 3.0;
            let twice_area = ((x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])).abs();
            prop_assume!(twice_area > 1e-6);
            prop_assert!(contain(&json, mean(&x), mean(&y)));
            let right = x.iter().copied().fold(0.0, f64::max);
            prop_assert!(!contain(&json, right + 1e-9, mean(&y)));
        }
    }
}
