//! What shore has receipted and people on board may still want to see. Nothing in it matters for delivery: it is pruned as its limits
//! say, and first of all where the disk is full.

use super::{OutboxError, Queue};
use flukewatch_common::clock::Timestamp;
use rusqlite::{Transaction, TransactionBehavior, params};
use std::time::Duration;

/// What may be kept of what shore has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// How long after a sighting was taken in, by the computer's clock.
    pub longest: Duration,
    /// How much in all.
    pub max_bytes: u64,
}

/// Adds a part of a sighting.
pub(super) fn put(
    transaction: &Transaction<'_>,
    sighting: &[u8],
    bytes: i64,
    message: Option<&[u8]>,
    picture: Option<&str>,
) -> rusqlite::Result<usize> {
    let query = "INSERT INTO archive (sighting, bytes, message, picture) VALUES (?, ?, ?, ?)
                 ON CONFLICT (sighting) DO UPDATE SET bytes = bytes + excluded.bytes,
                 message = coalesce(excluded.message, message), picture = coalesce(excluded.picture, picture)";
    transaction
        .prepare_cached(query)?
        .execute(params![sighting, bytes, message, picture])
}

impl Queue {
    /// Deletes from the archive what is beyond `limits`, oldest first. Returns how many sightings that were.
    ///
    /// # Errors
    /// When the database fails; what then stays is deleted another time.
    pub fn prune(&mut self, limits: ArchiveLimits, now: Timestamp) -> Result<usize, OutboxError> {
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let longest = i64::try_from(limits.longest.as_millis()).unwrap_or(i64::MAX);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        // Summed from the newest: what is in front of it has room.
        let query = "WITH kept AS (SELECT a.sighting, s.committed,
                       sum(a.bytes) OVER (ORDER BY s.rowid DESC) AS upto
                       FROM archive a JOIN sighting s ON s.id = a.sighting)
                     DELETE FROM archive WHERE sighting IN (SELECT sighting FROM kept WHERE upto > ? OR committed < ?)
                     RETURNING picture";
        let most = i64::try_from(limits.max_bytes).unwrap_or(i64::MAX);
        let pictures: Vec<Option<String>> = {
            let mut statement = transaction.prepare(query).map_err(&failed)?;
            let oldest = now.0.saturating_sub(longest);
            let rows = statement
                .query_map(params![most, oldest], |row| row.get(0))
                .map_err(&failed)?;
            rows.collect::<Result<_, _>>().map_err(&failed)?
        };
        transaction.commit().map_err(&failed)?;
        for picture in pictures.iter().flatten() {
            self.pictures.remove_archived(picture);
        }
        Ok(pictures.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{Key, Outbox, recent, recent_picture};
    use crate::sample;
    use flukewatch_common::sighting::Part;
    use std::path::Path;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp(1_795_450_800_000);
    const DAY: i64 = 86_400_000;
    const ALL: ArchiveLimits = ArchiveLimits {
        longest: Duration::from_secs(1_000_000),
        max_bytes: 1 << 30,
    };

    fn open(folder: &Path) -> (Outbox, Queue) {
        let outbox = Outbox::open(folder, &sample::boat(), 1 << 30).unwrap();
        let queue = outbox.queue().unwrap().archives();
        (outbox, queue)
    }

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(u128::from(number))
    }

    fn both(number: u64) -> [Key; 2] {
        [Part::Sighting, Part::Picture].map(|part| Key {
            sighting: id(number),
            part,
        })
    }

    fn take_in(outbox: &mut Outbox, number: u64, at: Timestamp) {
        let (sighting, jpeg) = sample::sighting(number, 5000);
        outbox.accept(&sighting, &jpeg, at).unwrap();
    }

    /// Numbers of the last sightings, and how far they have come.
    fn seen(folder: &Path) -> Vec<(u64, bool, bool)> {
        let all = recent(folder, 10).unwrap();
        let number = |id: Uuid| u64::try_from(id.as_u128()).unwrap();
        all.iter()
            .map(|r| (number(r.sighting.id), r.receipted, r.picture_receipted))
            .collect()
    }

    #[test]
    fn what_is_receipted_can_still_be_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        (1..=3).for_each(|n| take_in(&mut outbox, n, NOW));
        assert_eq!(queue.receipted(&both(1)).unwrap(), 2);
        assert_eq!(queue.receipted(&both(2)[..1]).unwrap(), 1);
        assert_eq!(
            seen(folder.path()),
            [(3, false, false), (2, true, false), (1, true, true)]
        );
        assert_eq!(recent(folder.path(), 2).unwrap().len(), 2);
        for number in 1..=3 {
            let picture = recent_picture(folder.path(), id(number)).unwrap();
            assert_eq!(picture, Some(sample::sighting(number, 5000).1));
        }
        assert_eq!(recent_picture(folder.path(), id(4)).unwrap(), None);
        let backlog = queue.backlog().unwrap();
        assert_eq!((backlog.archived, backlog.oldest), (2, Some(NOW)));
        assert!(backlog.archived_bytes > 5000 && backlog.bytes > 10_000);
        assert_eq!(
            queue.counts().unwrap().queued(),
            3,
            "the archive waits for nobody"
        );
    }

    #[test]
    fn a_power_cut_between_receipt_and_archive_loses_no_picture() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        take_in(&mut outbox, 1, NOW);
        queue.receipted(&both(1)).unwrap();
        drop((outbox, queue));
        let at = |place: &str| folder.path().join(place).join(format!("{}.jpg", id(1)));
        std::fs::rename(at("archive"), at("pictures")).unwrap();
        std::fs::write(folder.path().join("pictures/stray.jpg"), "-").unwrap();
        let _open = open(folder.path());
        assert!(at("archive").exists() && !at("pictures").exists());
        assert!(!folder.path().join("pictures/stray.jpg").exists());
    }

    #[test]
    fn the_oldest_is_pruned_and_what_waits_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        for number in 1..=5 {
            take_in(&mut outbox, number, NOW.plus_millis(DAY * number as i64));
        }
        (2..=5).for_each(|n| assert_eq!(queue.receipted(&both(n)).unwrap(), 2));
        let now = NOW.plus_millis(DAY * 5);
        assert_eq!(queue.prune(ALL, now).unwrap(), 0);
        let days = |days: u64| ArchiveLimits {
            longest: Duration::from_secs(86_400 * days + 60),
            ..ALL
        };
        assert_eq!(queue.prune(days(2), now).unwrap(), 1);
        let numbers = |all: Vec<(u64, bool, bool)>| all.iter().map(|s| s.0).collect::<Vec<_>>();
        assert_eq!(numbers(seen(folder.path())), [5, 4, 3, 1]);
        let one = queue.backlog().unwrap().archived_bytes / 3;
        let room = ArchiveLimits {
            max_bytes: one * 2 + 100,
            ..ALL
        };
        assert_eq!(queue.prune(room, now).unwrap(), 1);
        let nothing = ArchiveLimits {
            max_bytes: 0,
            ..ALL
        };
        assert_eq!(queue.prune(nothing, now).unwrap(), 2);
        assert_eq!(numbers(seen(folder.path())), [1]);
        assert!(recent_picture(folder.path(), id(1)).unwrap().is_some());
        let left = std::fs::read_dir(folder.path().join("archive")).unwrap();
        assert_eq!(left.count(), 0);
        // A clock that jumped by a year costs what shore has, and nothing else.
        assert_eq!(queue.prune(days(2), now.plus_millis(DAY * 365)).unwrap(), 0);
        assert_eq!(queue.counts().unwrap().queued(), 2);
    }

    #[test]
    fn an_outbox_of_before_gets_its_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, queue) = open(folder.path());
        take_in(&mut outbox, 1, NOW);
        drop((outbox, queue));
        let raw = rusqlite::Connection::open(folder.path().join("outbox.sqlite3")).unwrap();
        raw.execute_batch("DROP TABLE archive; PRAGMA user_version = 1")
            .unwrap();
        drop(raw);
        let (mut outbox, mut queue) = open(folder.path());
        take_in(&mut outbox, 2, NOW);
        assert_eq!(queue.receipted(&both(1)).unwrap(), 2);
        assert_eq!(seen(folder.path()), [(2, false, false), (1, true, true)]);
    }

    #[test]
    fn a_proof_writes_to_the_disk_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        take_in(&mut outbox, 1, NOW);
        let log = folder.path().join("outbox.sqlite3-wal");
        let content = || std::fs::read(&log).unwrap();
        let before = content();
        queue.prove().unwrap();
        assert_ne!(content(), before, "the log has another commit");
        assert_eq!(seen(folder.path()), [(1, false, false)]);
        outbox.limit_pages(1);
        queue.prove().unwrap();
    }

    #[test]
    fn on_a_full_disk_the_archive_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        (1..=3).for_each(|n| take_in(&mut outbox, n, NOW));
        queue.receipted(&both(1)).unwrap();
        // The database may not grow any more, as on a disk without room.
        outbox.limit_pages(1);
        let refused = (10..200).find_map(|number| {
            let (sighting, jpeg) = sample::sighting(number, 5000);
            outbox.accept(&sighting, &jpeg, NOW).err()
        });
        assert!(
            matches!(refused, Some(OutboxError::Full { .. })),
            "{refused:?}"
        );
        assert_eq!(recent_picture(folder.path(), id(1)).unwrap(), None);
        let told = seen(folder.path());
        assert!(
            told.len() >= 3,
            "the sighting itself is still told: {told:?}"
        );
        for waiting in [2, 3] {
            let picture = recent_picture(folder.path(), id(waiting)).unwrap();
            assert_eq!(picture, Some(sample::sighting(waiting, 5000).1));
        }
    }
}
