//! The last sightings, pending or acknowledged, for people on board.

use super::error::OutboxError;
use super::schema;
use flukewatch_common::sighting::Sighting;
use flukewatch_common::wire;
use std::io::ErrorKind;
use std::path::Path;
use uuid::Uuid;

/// A sighting and its delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Recent {
    /// The sighting as the outbox accepted it.
    pub sighting: Sighting,
    /// Whether shore has acknowledged it.
    pub acknowledged: bool,
    /// Whether shore has acknowledged its picture.
    pub picture_acknowledged: bool,
}

/// The last `max` sightings in `folder` that are still on board, newest first; also while the boat
/// works.
///
/// # Errors
/// When the database cannot be read.
pub fn recent(folder: &Path, max: usize) -> Result<Vec<Recent>, OutboxError> {
    let Some(connection) = schema::open_to_read(folder)? else {
        return Ok(vec![]);
    };
    let failed = OutboxError::database(folder);
    let query = "SELECT coalesce(w.message, a.message, d.message), w.sighting IS NULL AND d.sighting IS NULL,
                   NOT EXISTS (SELECT 1 FROM pending p WHERE p.sighting = s.id AND p.part = 1)
                     AND NOT EXISTS (SELECT 1 FROM dead_letter p WHERE p.sighting = s.id AND p.part = 1)
                 FROM sighting s
                 LEFT JOIN pending w ON w.sighting = s.id AND w.part = 0
                 LEFT JOIN archive a ON a.sighting = s.id
                 LEFT JOIN dead_letter d ON d.sighting = s.id AND d.part = 0
                 ORDER BY s.rowid DESC LIMIT ?";
    let mut statement = connection.prepare(query).map_err(&failed)?;
    let rows = statement
        .query_map([i64::try_from(max).unwrap_or(i64::MAX)], |row| {
            Ok((row.get::<_, Option<Vec<u8>>>(0)?, row.get(1)?, row.get(2)?))
        })
        .map_err(&failed)?;
    let mut all = vec![];
    for row in rows {
        let (message, acknowledged, picture_acknowledged) = row.map_err(&failed)?;
        // Pruned sightings and dead letters cannot be shown.
        if let Some(sighting) = message.and_then(|m| wire::decode(&m).ok()) {
            all.push(Recent {
                sighting,
                acknowledged,
                picture_acknowledged,
            });
        }
    }
    Ok(all)
}

/// The picture of a sighting; `None` where it is not on board.
///
/// # Errors
/// When the disk fails.
pub fn recent_picture(folder: &Path, sighting: Uuid) -> Result<Option<Vec<u8>>, OutboxError> {
    let name = format!("{sighting}.jpg");
    // A picture is renamed shortly after it was accepted.
    let places = ["pictures", "archive"].map(|place| folder.join(place).join(&name));
    let part = folder.join("pictures").join(format!("{name}.part"));
    for file in [&places[0], &part, &places[0], &places[1]] {
        match std::fs::read(file) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(OutboxError::disk(file)(e)),
        }
    }
    Ok(None)
}
