//! What a sighting rests on: which encounter it belongs to, where the fluke was in its frames, and how good the crops were.

use crate::pixel_box::PixelBox;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// How many boxes of the fluke a sighting carries at most.
pub const MAX_BOXES: usize = 32;
/// How many crops a sighting's verdict rests on at most.
pub const MAX_CROPS: usize = 10;
/// What is 1 in a crop's quality, in per cent.
const WHOLE: u8 = 100;

/// What a sighting rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Footage {
    /// The encounter: the id of its first sighting, which is this one's own where no other came before. A whale that dives and comes
    /// back within minutes makes another sighting of the same encounter.
    pub encounter: Uuid,
    /// The size of the camera's frames.
    pub frame: FrameSize,
    /// Where the fluke was, in order of time; at most [`MAX_BOXES`], the first and the last among them.
    pub boxes: Vec<TimedBox>,
    /// The crops that were matched, best first: the picture is the first. At most [`MAX_CROPS`].
    pub crops: Vec<CropQuality>,
    /// Crops of the encounter's earlier sightings that the verdict rests on besides.
    pub earlier_crops: u8,
    /// The detector's best score of the fluke, in 0..=1; `None` where no detector looked.
    pub detector: Option<f32>,
    /// The boat's configuration.
    pub config: ConfigId,
}

/// The size of a camera's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameSize {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// Where the fluke was at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedBox {
    /// Milliseconds after the sighting's begin.
    pub after: u32,
    /// The box in the frame.
    pub region: PixelBox,
}

/// How much a crop can tell, each in per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CropQuality {
    /// When it was taken, in milliseconds after the sighting's begin.
    pub after: u32,
    /// How sharp it is.
    pub sharpness: u8,
    /// How large it is beside what the model looks at.
    pub size: u8,
    /// How far its outline is that of a fluke that shows its whole underside.
    pub angle: u8,
    /// How much of it is neither burnt out nor black.
    pub exposure: u8,
}

impl CropQuality {
    /// All of it in one number, in per cent: the product.
    pub fn total(&self) -> u8 {
        let parts = [self.sharpness, self.size, self.angle, self.exposure];
        let product: f32 = parts.iter().map(|p| f32::from(*p) / 100.0).product();
        (product * 100.0).round() as u8
    }
}

/// What tells a configuration from another: the first eight bytes of the SHA-256 of its file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConfigId(pub [u8; 8]);

/// Why a text is no [`ConfigId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no configuration's identity: it has 16 hexadecimal digits")]
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
            "boxes are not in order of time"
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

/// Footage that no boat can have recorded.
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
    fn a_configuration_s_identity_is_read_as_it_is_written() {
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
    fn what_makes_no_sense_is_told() {
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
