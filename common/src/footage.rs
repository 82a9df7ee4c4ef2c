//! The evidence of a sighting: its encounter, the boxes of the fluke in the frames, and the quality
//! of the crops.

use crate::pixel_box::PixelBox;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The most boxes of a sighting.
pub const MAX_BOXES: usize = 32;
/// The most crops of a sighting.
pub const MAX_CROPS: usize = 10;
/// The best value of a crop's quality, in per cent.
const WHOLE: u8 = 100;

/// The evidence of a sighting: encounter, boxes and crops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footage {
    /// The encounter: the id of its first sighting, which may be this one. A whale that dives and
    /// comes back within minutes makes another sighting of the same encounter.
    pub encounter: Uuid,
    /// The size of the camera's frames.
    pub frame: FrameSize,
    /// The boxes of the fluke, ordered by time; at most [`MAX_BOXES`], including the first and the
    /// last.
    pub boxes: Vec<TimedBox>,
    /// The crops that were matched, best first: the picture is the first. At most [`MAX_CROPS`].
    pub crops: Vec<CropQuality>,
    /// The number of crops of the encounter's earlier sightings that the verdict also uses.
    pub earlier_crops: u8,
    /// The detector's best score of the fluke, in 0..=1; `None` without a detector.
    pub detector: Option<f32>,
    /// The identity of the boat's configuration.
    pub config: ConfigId,
}

/// The size of a camera's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameSize {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
}

/// The box of the fluke in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedBox {
    /// Milliseconds after the sighting's start.
    pub after: u32,
    /// The box, in pixels of the frame.
    pub region: PixelBox,
}

/// The quality of a crop, in per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CropQuality {
    /// When it was taken, in milliseconds after the sighting's start.
    pub after: u32,
    /// The sharpness of the crop.
    pub sharpness: u8,
    /// The size of the crop relative to the model's input.
    pub size: u8,
    /// How well the outline matches a fluke that shows its whole underside.
    pub angle: u8,
    /// The part of the crop that is neither overexposed nor black.
    pub exposure: u8,
}

impl CropQuality {
    /// The overall quality in per cent: the product of the four.
    pub fn total(&self) -> u8 {
        let parts = [self.sharpness, self.size, self.angle, self.exposure];
        let product: f32 = parts.iter().map(|p| f32::from(*p) / 100.0).product();
        (product * 100.0).round() as u8
    }
}

/// The identity of a configuration: the first eight bytes of the SHA-256 of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConfigId(pub [u8; 8]);

/// The error of a text that is not a [`ConfigId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid configuration identity '{0}'; expected 16 hexadecimal digits")]
pub struct InvalidConfigId(pub String);

impl fmt::Display for ConfigId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ConfigId {
    type Err = InvalidConfigId;
    fn from_str(text: &str) -> Result<Self, InvalidConfigId> {
        let bad = || InvalidConfigId(text.chars().take(64).collect());
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u64::from_str_radix(text, 16)
            .map(|number| Self(number.to_be_bytes()))
            .map_err(|_| bad())
    }
}

impl Footage {
    /// # Errors
    /// When boxes, crops or scores are missing, too many or out of range.
    pub fn validate(&self) -> Result<(), InvalidFootage> {
        let FrameSize { width, height } = self.frame;
        let inside =
            |b: &TimedBox| b.region.area() > 0 && b.region.within(width, height) == Some(b.region);
        let per_cent = |c: &CropQuality| {
            [c.sharpness, c.size, c.angle, c.exposure]
                .iter()
                .all(|p| *p <= WHOLE)
        };
        let why = if self.boxes.is_empty() || self.boxes.len() > MAX_BOXES {
            "expected 1 to 32 boxes"
        } else if !self.boxes.is_sorted_by_key(|b| b.after) {
            "boxes are not ordered by time"
        } else if !self.boxes.iter().all(inside) {
            "a box lies outside the frame"
        } else if self.crops.is_empty() || self.crops.len() > MAX_CROPS {
            "expected 1 to 10 crops"
        } else if !self.crops.iter().all(per_cent) {
            "a crop's quality exceeds 100 per cent"
        } else if self.detector.is_some_and(|s| !(0.0..=1.0).contains(&s)) {
            "detector score outside [0, 1]"
        } else {
            return Ok(());
        };
        Err(InvalidFootage(why))
    }
}

/// The error of footage that a boat cannot have recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid footage: {0}")]
pub struct InvalidFootage(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn footage() -> Footage {
        let place = |after, x0| TimedBox {
            after,
            region: PixelBox {
                x0,
                y0: 10,
                x1: x0 + 50,
                y1: 40,
            },
        };
        Footage {
            encounter: Uuid::from_u128(7),
            frame: FrameSize {
                width: 640,
                height: 360,
            },
            boxes: vec![place(0, 10), place(100, 30)],
            crops: vec![CropQuality {
                after: 100,
                sharpness: 50,
                size: 80,
                angle: 100,
                exposure: 90,
            }],
            earlier_crops: 0,
            detector: Some(0.75),
            config: ConfigId([0xab; 8]),
        }
    }

    #[test]
    fn a_quality_is_the_product_of_its_parts() {
        assert_eq!(footage().crops[0].total(), 36);
    }

    #[test]
    fn a_configuration_identity_round_trips() {
        let id = ConfigId([0, 1, 2, 0x7f, 0x80, 0xff, 9, 10]);
        assert_eq!(id.to_string(), "0001027f80ff090a");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "0001027f80ff090",
            "0001027f80ff090g",
            "+001027f80ff090a",
        ] {
            assert!(bad.parse::<ConfigId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn invalid_footage_is_rejected() {
        type Change = fn(&mut Footage);
        let changes: [Change; 9] = [
            |f| f.boxes.clear(),
            |f| f.boxes = vec![f.boxes[0]; MAX_BOXES + 1],
            |f| f.boxes.reverse(),
            |f| f.boxes[1].region.x1 = 641,
            |f| f.boxes[1].region.x1 = 0,
            |f| f.crops.clear(),
            |f| f.crops = vec![f.crops[0]; MAX_CROPS + 1],
            |f| f.crops[0].angle = 101,
            |f| f.detector = Some(f32::NAN),
        ];
        assert_eq!(footage().validate(), Ok(()));
        for (i, change) in changes.iter().enumerate() {
            let mut footage = footage();
            change(&mut footage);
            assert!(footage.validate().is_err(), "change {i}");
        }
    }
}
