//! Corrects the times of accepted sightings once the right time is known.

use super::error::OutboxError;
use super::key::uuid;
use super::queue::Queue;
use super::revise::revise;
use super::taken::Taken;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::{TimeBasis, TimeSource};
use rusqlite::{Transaction, TransactionBehavior, params};
use uuid::Uuid;

/// Sightings in one transaction.
const BATCH: usize = 100;

/// The right times of a sighting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// When the first frame with the fluke was taken.
    pub started: Timestamp,
    /// The time source of the sighting.
    pub basis: TimeBasis,
    /// The clock that gave this time.
    pub clock: TimeSource,
}

/// How many sightings were corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Corrected {
    /// Sightings that have a new revision.
    pub revised: usize,
    /// Sightings with a wrong time that are not on board any more. They are not looked at again.
    pub unavailable: usize,
}

/// A sighting with a wrong time.
struct Wrong {
    id: Uuid,
    taken: Taken,
    correction: Correction,
}

impl Queue {
    /// Makes a new revision of each sighting of `boot` ([`Outbox::during`](super::Outbox::during))
    /// that `correct` returns other times for; `correct` takes what the outbox remembers, and the
    /// start that the sighting has. A batch of sightings is corrected in one transaction.
    ///
    /// # Errors
    /// When the database fails; then some batches may be corrected and the others are unchanged.
    pub fn correct_times(
        &mut self,
        boot: &str,
        correct: impl Fn(&Taken, Timestamp) -> Option<Correction>,
    ) -> Result<Corrected, OutboxError> {
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let wrong = self.wrong_times(boot, &correct).map_err(&failed)?;
        let mut corrected = Corrected::default();
        for batch in wrong.chunks(BATCH) {
            let transaction = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(&failed)?;
            let mut revised = 0;
            for wrong in batch {
                revised += usize::from(wrong.correct(&transaction).map_err(&failed)?);
            }
            transaction.commit().map_err(&failed)?;
            corrected.revised += revised;
            corrected.unavailable += batch.len() - revised;
        }
        Ok(corrected)
    }

    fn wrong_times(
        &self,
        boot: &str,
        correct: &impl Fn(&Taken, Timestamp) -> Option<Correction>,
    ) -> rusqlite::Result<Vec<Wrong>> {
        let query = "SELECT id, started_at, taken FROM sighting WHERE boot = ? AND boat = ? ORDER BY sequence";
        let mut statement = self.connection.prepare_cached(query)?;
        let mut rows = statement.query(params![boot, self.boat().as_str()])?;
        let mut wrong = vec![];
        while let Some(row) = rows.next()? {
            let started = Timestamp(row.get(1)?);
            let taken: String = row.get(2)?;
            let Ok(taken) = serde_json::from_str::<Taken>(&taken) else {
                continue;
            };
            if let Some(correction) = correct(&taken, started) {
                wrong.push(Wrong {
                    id: uuid(row, 0)?,
                    taken,
                    correction,
                });
            }
        }
        Ok(wrong)
    }
}

impl Wrong {
    /// Queues the revision; returns whether the sighting was on board.
    fn correct(&self, transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
        let Self {
            id,
            taken,
            correction,
        } = self;
        let revised = revise(transaction, *id, |sighting| {
            let duration = sighting.ended.millis_since(sighting.started);
            sighting.started = correction.started;
            sighting.ended = correction.started.plus_millis(duration);
            sighting.time = Some(correction.basis);
        })?;
        let id = id.as_bytes().as_slice();
        if revised.is_none() {
            transaction
                .prepare_cached("UPDATE sighting SET boot = NULL, taken = NULL WHERE id = ?")?
                .execute([id])?;
            return Ok(false);
        }
        let taken = Taken {
            clock: correction.clock,
            ..*taken
        };
        transaction
            .prepare_cached("UPDATE sighting SET started_at = ?, taken = ? WHERE id = ?")?
            .execute(params![correction.started.0, taken.to_json(), id])?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
