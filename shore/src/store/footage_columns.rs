//! Footage as columns. Lists are JSON, so that `sqlite3` shows them.

use super::error::StoreError;
use flukewatch_common::footage::{ConfigId, CropQuality, Footage, FrameSize, TimedBox};
use flukewatch_common::pixel_box::PixelBox;
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Boxes: offset in milliseconds, then x0, y0, x1, y1.
pub(super) fn boxes(footage: &Footage) -> Result<String, StoreError> {
    let columns = |b: &TimedBox| (b.after, b.region.x0, b.region.y0, b.region.x1, b.region.y1);
    to_json(&footage.boxes.iter().map(columns).collect::<Vec<_>>())
}

/// Crops: offset in milliseconds, then sharpness, size, angle and exposure in per cent.
pub(super) fn crops(footage: &Footage) -> Result<String, StoreError> {
    let columns = |c: &CropQuality| (c.after, c.sharpness, c.size, c.angle, c.exposure);
    to_json(&footage.crops.iter().map(columns).collect::<Vec<_>>())
}

fn to_json(list: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| StoreError::invalid("footage", error.to_string()))
}

/// Reads the footage of a row; `None` for a sighting without an encounter.
pub(super) fn read(row: &Row<'_>) -> Result<Option<Footage>, StoreError> {
    let Some(encounter) = row.get::<_, Option<String>>("encounter")? else {
        return Ok(None);
    };
    let boxes: Vec<(u32, u32, u32, u32, u32)> = from_json(row, "boxes")?;
    let crops: Vec<(u32, u8, u8, u8, u8)> = from_json(row, "crops")?;
    let config: String = row.get("config_id")?;
    Ok(Some(Footage {
        encounter: encounter
            .parse()
            .map_err(|_| StoreError::invalid("encounter id", &encounter))?,
        frame: FrameSize {
            width: row.get("frame_width")?,
            height: row.get("frame_height")?,
        },
        boxes: boxes
            .into_iter()
            .map(|(after, x0, y0, x1, y1)| TimedBox {
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
        earlier_crops: row.get("earlier_crops")?,
        detector: row
            .get::<_, Option<f64>>("detector_confidence")?
            .map(|confidence| confidence as f32),
        config: config
            .parse::<ConfigId>()
            .map_err(|_| StoreError::invalid("configuration id", &config))?,
    }))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, StoreError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|_| StoreError::invalid("footage", text))
}
