//! The archive of acknowledged sightings, for people on board. Delivery does not need it: it is
//! pruned to its limits, and emptied when the disk is full.

use super::error::OutboxError;
use super::queue::Queue;
use flukewatch_common::clock::Timestamp;
use rusqlite::{TransactionBehavior, params};
use std::time::Duration;

/// How much the archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Maximum age since a sighting was accepted, by the outbox's clock.
    pub max_age: Duration,
    /// Maximum total size of messages and pictures.
    pub max_bytes: u64,
}

impl Queue {
    /// Deletes what exceeds `limits` from the archive at `now` by the outbox's clock, oldest first.
    /// Returns how many sightings were deleted.
    ///
    /// # Errors
    /// When the database fails.
    pub fn prune(&mut self, limits: ArchiveLimits, now: Timestamp) -> Result<usize, OutboxError> {
        let folder = self.folder().to_owned();
        let failed = OutboxError::database(&folder);
        let max_age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        // Summed from the newest.
        let query = "WITH kept AS (SELECT a.sighting, s.accepted_at,
                       sum(a.bytes) OVER (ORDER BY s.rowid DESC) AS upto
                       FROM archive a JOIN sighting s ON s.id = a.sighting)
                     DELETE FROM archive WHERE sighting IN (SELECT sighting FROM kept WHERE upto > ? OR accepted_at < ?)
                     RETURNING picture";
        let max_bytes = i64::try_from(limits.max_bytes).unwrap_or(i64::MAX);
        let pictures: Vec<Option<String>> = {
            let mut statement = transaction.prepare(query).map_err(&failed)?;
            let oldest = now.0.saturating_sub(max_age);
            let rows = statement
                .query_map(params![max_bytes, oldest], |row| row.get(0))
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
    use flukewatch_common::sighting::MessageKind;
    use std::path::Path;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp(1_795_450_800_000);
    const DAY: i64 = 86_400_000;
    const ALL: ArchiveLimits = ArchiveLimits {
        max_age: Duration::from_secs(1_000_000),
        max_bytes: 1 << 30,
    };

    fn open(folder: &Path) -> (Outbox, Queue) {
        let outbox = Outbox::open(folder, &sample::boat(), 1 << 30, sample::epoch()).unwrap();
        let queue = outbox.queue().unwrap().archives();
        (outbox, queue)
    }

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(u128::from(number))
    }

    fn both(number: u64) -> [Key; 2] {
        [MessageKind::Sighting, MessageKind::Picture].map(|part| Key {
            sighting: id(number),
            part,
            revision: 0,
        })
    }

    fn take_in(outbox: &mut Outbox, number: u64, at: Timestamp) {
        let (sighting, jpeg) = sample::sighting(number, 5000);
        outbox.accept(&sighting, &jpeg, at).unwrap();
    }

    /// The last sightings' numbers, and whether sighting and picture are acknowledged.
    fn seen(folder: &Path) -> Vec<(u64, bool, bool)> {
        let all = recent(folder, 10).unwrap();
        let number = |id: Uuid| u64::try_from(id.as_u128()).unwrap();
        all.iter()
            .map(|r| {
                (
                    number(r.sighting.id),
                    r.acknowledged,
                    r.picture_acknowledged,
                )
            })
            .collect()
    }

    #[test]
    fn acknowledged_sightings_can_still_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        (1..=3).for_each(|n| take_in(&mut outbox, n, NOW));
        assert_eq!(queue.acknowledge(&both(1)).unwrap(), 2);
        assert_eq!(queue.acknowledge(&both(2)[..1]).unwrap(), 1);
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
            queue.counts().unwrap().pending(),
            3,
            "the archive is not pending"
        );
    }

    #[test]
    fn a_power_cut_between_ack_and_archive_loses_no_picture() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        take_in(&mut outbox, 1, NOW);
        queue.acknowledge(&both(1)).unwrap();
        drop((outbox, queue));
        let at = |place: &str| folder.path().join(place).join(format!("{}.jpg", id(1)));
        std::fs::rename(at("archive"), at("pictures")).unwrap();
        std::fs::write(folder.path().join("pictures/stray.jpg.part"), "-").unwrap();
        let _open = open(folder.path());
        assert!(at("archive").exists() && !at("pictures").exists());
        assert!(!folder.path().join("pictures/stray.jpg.part").exists());
    }

    #[test]
    fn the_oldest_is_pruned_and_pending_messages_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        for number in 1..=5 {
            take_in(&mut outbox, number, NOW.plus_millis(DAY * number as i64));
        }
        (2..=5).for_each(|n| assert_eq!(queue.acknowledge(&both(n)).unwrap(), 2));
        let now = NOW.plus_millis(DAY * 5);
        assert_eq!(queue.prune(ALL, now).unwrap(), 0);
        let days = |days: u64| ArchiveLimits {
            max_age: Duration::from_secs(86_400 * days + 60),
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
        // Age costs archived sightings alone.
        assert_eq!(queue.prune(days(2), now.plus_millis(DAY * 365)).unwrap(), 0);
        assert_eq!(queue.counts().unwrap().pending(), 2);
    }

    #[test]
    fn a_write_probe_writes_to_the_disk_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        take_in(&mut outbox, 1, NOW);
        let log = folder.path().join("outbox.sqlite3-wal");
        let content = || std::fs::read(&log).unwrap();
        let before = content();
        queue.save_clock(NOW.plus_millis(1)).unwrap();
        assert_ne!(content(), before, "the log has another commit");
        assert_eq!(seen(folder.path()), [(1, false, false)]);
        outbox.limit_pages(1);
        queue.save_clock(NOW.plus_millis(1)).unwrap();
    }

    #[test]
    fn on_a_full_disk_the_archive_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let (mut outbox, mut queue) = open(folder.path());
        (1..=3).for_each(|n| take_in(&mut outbox, n, NOW));
        queue.acknowledge(&both(1)).unwrap();
        // The database may not grow any more, as on a full disk.
        outbox.limit_pages(1);
        let error = (10..200).find_map(|number| {
            let (sighting, jpeg) = sample::sighting(number, 5000);
            outbox.accept(&sighting, &jpeg, NOW).err()
        });
        assert!(matches!(error, Some(OutboxError::Full { .. })), "{error:?}");
        assert_eq!(recent_picture(folder.path(), id(1)).unwrap(), None);
        let listed = seen(folder.path());
        assert!(
            listed.len() >= 3,
            "the sighting itself is still listed: {listed:?}"
        );
        for waiting in [2, 3] {
            let picture = recent_picture(folder.path(), id(waiting)).unwrap();
            assert_eq!(picture, Some(sample::sighting(waiting, 5000).1));
        }
    }
}
