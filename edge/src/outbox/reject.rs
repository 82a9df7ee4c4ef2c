//! Takes messages that shore rejected out of the way.

use super::error::OutboxError;
use super::full_disk;
use super::key::{Key, part_number};
use super::queue::{Queue, to_dead_letters};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::MessageKind;
use rusqlite::{Transaction, TransactionBehavior, params};

impl Queue {
    /// Moves pending messages to the dead letters, each with the reason why shore rejected it. Nothing
    /// is deleted, except for a reduced copy of a picture that is a dead letter itself; a brief is not sent again,
    /// and its sighting stays pending. Keys that are not pending are ignored. Returns how many were.
    ///
    /// # Errors
    /// When the database fails; then all of them are still pending.
    pub fn reject(
        &mut self,
        rejected: &[(Key, String)],
        now: Timestamp,
    ) -> Result<usize, OutboxError> {
        let (briefs, rejected): (Vec<_>, Vec<_>) = rejected
            .iter()
            .cloned()
            .partition(|(key, _)| key.part == MessageKind::Brief);
        let given_up = self.give_up_briefs(&briefs)?;
        // Pending, they would block the messages whose acknowledgement frees space.
        let moved = full_disk::commit(self, Self::storage, |queue| {
            queue.move_rejected(&rejected, now)
        })?;
        Ok(given_up + moved)
    }

    fn move_rejected(
        &mut self,
        rejected: &[(Key, String)],
        now: Timestamp,
    ) -> Result<usize, OutboxError> {
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let mut moved = 0;
        for (key, reason) in rejected {
            if drop_reduced_copy(&transaction, *key, reason, now).map_err(&failed)?
                || to_dead_letters(&transaction, *key, reason, now).map_err(&failed)?
            {
                moved += 1;
            }
        }
        transaction.commit().map_err(&failed)?;
        Ok(moved)
    }
}

/// Drops a reduced copy whose picture is a dead letter, which gets the reason. Returns whether `key` is
/// such a copy.
fn drop_reduced_copy(
    transaction: &Transaction<'_>,
    key: Key,
    reason: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    if key.part != MessageKind::Picture {
        return Ok(false);
    }
    let (id, part) = (key.sighting.as_bytes().as_slice(), part_number(key.part));
    let copy = "DELETE FROM pending WHERE sighting = ?1 AND part = ?2 AND message IS NOT NULL
                AND EXISTS (SELECT 1 FROM dead_letter d WHERE d.sighting = ?1 AND d.part = ?2)";
    if transaction.execute(copy, params![id, part])? == 0 {
        return Ok(false);
    }
    let whole =
        "UPDATE dead_letter SET reason = ?3, moved_at = ?4 WHERE sighting = ?1 AND part = ?2";
    transaction.execute(whole, params![id, part, reason, now.0])?;
    tracing::error!(sighting = %key.sighting, reason, "reduced picture rejected");
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Listing, Load, Outbox, resend};
    use crate::sample;
    use std::collections::HashSet;
    use std::path::Path;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp(1_795_450_800_000);

    fn key(number: u128, part: MessageKind) -> Key {
        Key {
            sighting: Uuid::from_u128(number),
            part,
            revision: 0,
        }
    }

    fn because(key: Key, reason: &str) -> (Key, String) {
        (key, reason.to_owned())
    }

    fn queue(folder: &Path, sightings: u64) -> Queue {
        let mut outbox = Outbox::open(folder, &sample::boat(), 1 << 30, sample::epoch()).unwrap();
        for number in 1..=sightings {
            let (sighting, jpeg) = sample::sighting(number, 5000);
            outbox.accept(&sighting, &jpeg, NOW).unwrap();
        }
        outbox.queue().unwrap()
    }

    #[test]
    fn rejected_messages_are_listed_with_the_reason_and_can_be_resent() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = queue(folder.path(), 2);
        let sighting = key(1, MessageKind::Sighting);
        let picture = key(2, MessageKind::Picture);
        let before = [sighting, picture].map(|key| queue.load(key).unwrap());
        let rejected = [
            because(sighting, "invalid: a"),
            because(picture, "corrupt: b"),
            // It happens once, and not to another revision or an unknown message.
            because(sighting, "invalid: c"),
            because(
                Key {
                    revision: 1,
                    ..key(2, MessageKind::Sighting)
                },
                "d",
            ),
            because(key(9, MessageKind::Sighting), "e"),
        ];
        assert_eq!(queue.reject(&rejected, NOW).unwrap(), 2);
        let counts = queue.counts().unwrap();
        assert_eq!((counts.pending(), counts.dead_letters), (2, 2));
        let listed = Listing::read(folder.path()).unwrap().dead_letters;
        let reasons: Vec<_> = listed
            .iter()
            .map(|l| (l.sequence, l.part, l.reason.as_deref().unwrap()))
            .collect();
        assert_eq!(
            reasons,
            [(1, "sighting", "invalid: a"), (2, "picture", "corrupt: b")]
        );
        assert_eq!(queue.load(sighting).unwrap(), Load::AlreadyAcknowledged);

        assert_eq!(resend(folder.path()).unwrap(), 2);
        let after = [sighting, picture].map(|key| queue.load(key).unwrap());
        assert_eq!(after, before, "nothing of them is lost");
        // A second rejection, after they were resent.
        assert_eq!(queue.reject(&rejected, NOW).unwrap(), 2);
    }

    #[test]
    fn a_newer_revision_replaces_a_dead_letter() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = queue(folder.path(), 1);
        let first = key(1, MessageKind::Sighting);
        queue.reject(&[because(first, "old")], NOW).unwrap();
        // Another part of the program queues the next revision.
        let next = "INSERT INTO pending (sighting, part, revision, priority, bytes, message)
                    SELECT sighting, part, revision + 1, part, bytes, message FROM dead_letter";
        queue.connection.execute(next, []).unwrap();
        let second = Key {
            revision: 1,
            ..first
        };
        assert_eq!(queue.reject(&[because(second, "new")], NOW).unwrap(), 1);
        let listed = Listing::read(folder.path()).unwrap().dead_letters;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].reason.as_deref(), Some("new"));
    }

    #[test]
    fn a_rejected_copy_leaves_the_whole_picture_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox =
            Outbox::open(folder.path(), &sample::boat(), 1 << 30, sample::epoch()).unwrap();
        let pixels = image::RgbImage::from_fn(400, 240, |x, y| {
            image::Rgb([(x * x + y * 7) as u8, (x * y) as u8, (y * y + x * 3) as u8])
        });
        let jpeg = crate::crop_jpeg::encode_within(&pixels, 199_000)
            .unwrap()
            .file;
        let sighting = sample::sighting_with(1, jpeg.clone());
        outbox.accept(&sighting, &jpeg, NOW).unwrap();
        let mut queue = outbox.queue().unwrap();
        let picture = key(1, MessageKind::Picture);
        queue.park(picture, "too large", NOW).unwrap();
        assert_eq!(queue.next(&HashSet::new(), 10).unwrap().len(), 2);
        let rejected = [because(picture, "picture_mismatch: c")];
        assert_eq!(queue.reject(&rejected, NOW).unwrap(), 1);
        let counts = queue.counts().unwrap();
        assert_eq!((counts.pictures, counts.dead_letters), (0, 1));
        let listed = Listing::read(folder.path()).unwrap().dead_letters;
        assert_eq!(listed[0].reason.as_deref(), Some("picture_mismatch: c"));
        assert_eq!(resend(folder.path()).unwrap(), 1);
        assert!(matches!(queue.load(picture).unwrap(), Load::Message(_)));
    }

    #[test]
    fn on_a_full_disk_the_reserve_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let mut queue = queue(folder.path(), 30);
        let reserve = folder.path().join("outbox.reserve");
        let rejected: Vec<_> = (1..=30)
            .map(|n| because(key(n, MessageKind::Sighting), "invalid"))
            .collect();
        assert!(reserve.exists());
        // The database may not grow any more, as on a full disk.
        let pages: i64 = queue
            .connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        queue
            .connection
            .pragma_update(None, "max_page_count", pages)
            .unwrap();
        let result = queue.reject(&rejected, NOW);
        assert!(
            matches!(result, Ok(30) | Err(OutboxError::Full { .. })),
            "{result:?}"
        );
        assert_eq!(result.is_ok(), reserve.exists(), "used where it is needed");
        let counts = queue.counts().unwrap();
        assert_eq!(counts.sightings + counts.dead_letters, 30);
    }
}
