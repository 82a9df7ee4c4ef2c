//! Gives out briefs of pending sightings, and notes of which ones shore has them.

use super::briefed;
use super::error::OutboxError;
use super::key::{Key, uuid};
use super::queue::{Load, Queue};
use flukewatch_common::brief::Brief;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use rusqlite::{OptionalExtension, params};
use std::collections::HashSet;

impl Queue {
    /// Up to `max` briefs to send next that are not `in_flight`, of sightings that are not held: older before
    /// newer.
    ///
    /// # Errors
    /// When the database fails.
    pub fn next_briefs(
        &self,
        in_flight: &HashSet<Key>,
        max: usize,
    ) -> Result<Vec<Key>, OutboxError> {
        let failed = OutboxError::database(self.folder());
        let query = "SELECT sighting, revision FROM pending
                     WHERE part = 0 AND briefed < revision AND NOT held ORDER BY number LIMIT ?";
        let mut statement = self.connection.prepare_cached(query).map_err(&failed)?;
        let limit = i64::try_from(in_flight.len() + max).unwrap_or(i64::MAX);
        let rows = statement
            .query_map([limit], |row| {
                Ok(Key {
                    sighting: uuid(row, 0)?,
                    part: MessageKind::Brief,
                    revision: row.get(1)?,
                })
            })
            .map_err(&failed)?;
        let mut keys = rows.collect::<Result<Vec<_>, _>>().map_err(&failed)?;
        keys.retain(|key| !in_flight.contains(key));
        keys.truncate(max);
        Ok(keys)
    }

    /// The number of pending sightings of which shore has no brief.
    pub(super) fn pending_briefs(&self) -> Result<u64, OutboxError> {
        let query = "SELECT count(*) FROM pending WHERE part = 0 AND briefed < revision";
        self.connection
            .prepare_cached(query)
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
            .map_err(OutboxError::database(self.folder()))
    }

    /// The brief of a pending sighting.
    pub(super) fn load_brief(&self, key: Key) -> Result<Load, OutboxError> {
        let query = "SELECT message FROM pending WHERE sighting = ? AND part = 0 AND revision = ? AND briefed < revision";
        let id = key.sighting.as_bytes().as_slice();
        let message: Option<Vec<u8>> = self
            .connection
            .prepare_cached(query)
            .and_then(|mut statement| {
                let row = statement.query_row(params![id, key.revision], |row| row.get(0));
                row.optional()
            })
            .map_err(OutboxError::database(self.folder()))?;
        let Some(message) = message else {
            return Ok(Load::AlreadyAcknowledged);
        };
        Ok(match wire::decode::<Sighting>(&message) {
            Ok(sighting) => Load::Message(wire::encode(&Brief::of(&sighting))?),
            Err(e) => Load::Unsendable(e.to_string()),
        })
    }

    /// Sends these briefs no more, each for a reason. Their sightings stay pending. Returns how many were to be
    /// sent.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn give_up_briefs(
        &mut self,
        briefs: &[(Key, String)],
    ) -> Result<usize, OutboxError> {
        let mut given_up = 0;
        for (key, reason) in briefs {
            tracing::warn!(sighting = %key.sighting, reason, "brief not sent; its sighting is still pending");
            given_up += briefed::delivered(&self.connection, *key)
                .map_err(OutboxError::database(self.folder()))?;
        }
        Ok(given_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Outbox, Recordings};
    use crate::sample;
    use flukewatch_common::clock::Timestamp;
    use flukewatch_common::decision::Verdict;
    use std::path::Path;

    const NOW: Timestamp = Timestamp(1_795_450_800_000);

    fn outbox(folder: &Path, sightings: u64) -> Outbox {
        let mut outbox = Outbox::open(folder, &sample::boat(), 1 << 30, sample::epoch()).unwrap();
        for number in 1..=sightings {
            let (sighting, jpeg) = sample::sighting(number, 500);
            outbox.accept(&sighting, &jpeg, NOW).unwrap();
        }
        outbox
    }

    fn all(queue: &Queue) -> Vec<Key> {
        queue.next_briefs(&HashSet::new(), 100).unwrap()
    }

    #[test]
    fn an_acknowledged_brief_is_not_sent_again_and_its_sighting_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = outbox(folder.path(), 3).queue().unwrap();
        let keys = all(&queue);
        assert_eq!(keys.len(), 3);
        assert_eq!(queue.pending_bytes().unwrap().identities, 3);
        assert_eq!(
            queue
                .next_briefs(&keys[..1].iter().copied().collect(), 1)
                .unwrap(),
            keys[1..2]
        );
        let Load::Message(message) = queue.load(keys[1]).unwrap() else {
            panic!("no brief");
        };
        let brief: Brief = wire::decode(&message).unwrap();
        assert_eq!((brief.sighting, brief.sequence), (keys[1].sighting, 2));
        let before = queue.counts().unwrap();
        assert_eq!(queue.acknowledge(&keys[..2]).unwrap(), 2);
        assert_eq!(queue.acknowledge(&keys[..2]).unwrap(), 0, "once");
        assert_eq!(queue.counts().unwrap(), before, "nothing is deleted");
        assert_eq!(all(&queue), keys[2..]);
        assert_eq!(queue.load(keys[0]).unwrap(), Load::AlreadyAcknowledged);
        // Acknowledged itself, it has no brief any more.
        let sighting = Key {
            part: MessageKind::Sighting,
            ..keys[2]
        };
        assert_eq!(queue.acknowledge(&[sighting]).unwrap(), 1);
        assert_eq!(all(&queue), []);
    }

    #[test]
    fn a_revision_has_a_brief_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = outbox(folder.path(), 0);
        let (recording, jpeg) = sample::recording(1);
        outbox
            .record(&recording, &jpeg, sample::taken(), NOW)
            .unwrap();
        let mut queue = outbox.queue().unwrap();
        assert_eq!(all(&queue), [], "held until it is identified");
        queue.release_held(NOW.plus_millis(1)).unwrap();
        let first = all(&queue);
        queue.acknowledge(&first).unwrap();
        let id = first[0].sighting;
        let mut recordings = Recordings::open(folder.path()).unwrap();
        let new = |sighting: &mut Sighting| {
            sighting.verdict = Verdict::New;
            sighting.embedding = flukewatch_common::samples::sighting().embedding;
        };
        recordings.conclude(id, false, new).unwrap().unwrap();
        let second = Key {
            revision: 1,
            ..first[0]
        };
        assert_eq!(all(&queue), [second]);
        assert_eq!(queue.acknowledge(&first).unwrap(), 0, "late");
        assert_eq!(queue.acknowledge(&[second]).unwrap(), 1);
    }

    #[test]
    fn a_rejected_brief_is_given_up_and_its_sighting_stays() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = outbox(folder.path(), 3).queue().unwrap();
        let keys = all(&queue);
        let before = queue.counts().unwrap();
        assert_eq!(
            queue.reject(&[(keys[0], "unknown".into())], NOW).unwrap(),
            1
        );
        queue.park(keys[1], "too large", NOW).unwrap();
        queue.move_to_dead_letters(keys[2], "damaged", NOW).unwrap();
        assert_eq!(all(&queue), []);
        assert_eq!(queue.counts().unwrap(), before);
    }
}
