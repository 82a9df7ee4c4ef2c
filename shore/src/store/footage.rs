//! Footage as columns, there and back. Lists are JSON, so that `sqlite3` shows them.

use super::StoreError;
use flukewatch_common::footage::{ConfigId, CropQuality, Footage, FrameSize, Place};
use flukewatch_common::pixel_box::PixelBox;
use rusqlite::Row;
use serde::de::DeserializeOwned;

/// Places: milliseconds after the begin, then the box's x0, y0, x1, y1.
pub(super) fn places(footage: &Footage) -> Result<String, StoreError> {
    let place = |p: &Place| (p.after, p.region.x0, p.region.y0, p.region.x1, p.region.y1);
    written(&footage.places.iter().map(place).collect::<Vec<_>>())
}

/// Crops: milliseconds after the begin, then sharpness, size, angle and exposure in per cent.
pub(super) fn crops(footage: &Footage) -> Result<String, StoreError> {
    let crop = |c: &CropQuality| (c.after, c.sharpness, c.size, c.angle, c.exposure);
    written(&footage.crops.iter().map(crop).collect::<Vec<_>>())
}

fn written(list: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|e| StoreError::Damaged {
        what: "footage",
        value: e.to_string(),
    })
}

/// The columns from number `first` on: encounter, frame's width and height, places, crops, earlier crops, detector, configuration. A row
/// without an encounter has no footage.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Option<Footage>, StoreError> {
    let Some(encounter) = row.get::<_, Option<String>>(first)? else {
        return Ok(None);
    };
    let damaged = |what, value: &str| StoreError::Damaged {
        what,
        value: value.to_owned(),
    };
    let places: Vec<(u32, u32, u32, u32, u32)> = list(row, first + 3)?;
    let crops: Vec<(u32, u8, u8, u8, u8)> = list(row, first + 4)?;
    let config: String = row.get(first + 7)?;
    Ok(Some(Footage {
        encounter: encounter
            .parse()
            .map_err(|_| damaged("an encounter's id", &encounter))?,
        frame: FrameSize {
            width: row.get(first + 1)?,
            height: row.get(first + 2)?,
        },
        places: places
            .into_iter()
            .map(|(after, x0, y0, x1, y1)| Place {
                after,
                region: PixelBox { x0, y0, x1, y1 },
            })
            .collect(),
        crops: crops
            .into_iter()
            .map(|(after, sharpness, size, angle, exposure)| CropQuality {
                after,
                sharpness,
                size,
                angle,
                exposure,
            })
            .collect(),
        earlier_crops: row.get(first + 5)?,
        detector: row.get::<_, Option<f64>>(first + 6)?.map(|s| s as f32),
        config: config
            .parse::<ConfigId>()
            .map_err(|_| damaged("a configuration's identity", &config))?,
    }))
}

fn list<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::Damaged {
        what: "footage",
        value: text,
    })
}
