//! How many bytes the link may still carry.

use super::hour::Hour;
use super::priority::Priority;
use super::profile::LinkProfile;
use super::spent_file::{Read, SpentFile};
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::link_class::LinkClass;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The shortest time between two writes of the file.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// The fraction of an hour's limit that may be spent between two writes of the file.
const ADVANCES_AN_HOUR: u64 = 10;
const MINUTE_MICROS: i64 = 60_000_000;

/// Bytes an hour of each class, in the order of [`LinkClass::ALL`]; `None` for no limit.
pub type HourlyLimits = [Option<u64>; LinkClass::ALL.len()];

/// Counts the bytes of the last hour on the link in use, by the monotonic clock, and says what may still be
/// sent. In any hour, what is [taken](LinkBudget::take) is at most the limit and one message.
///
/// Each class has an hour of its own: what was spent in harbour does not silence the satellite link. The hours
/// survive a restart in a file, which is written once a minute, before the bytes of that minute are
/// spent: a boat that restarts again and again does not spend more.
pub struct LinkBudget {
    clock: Arc<dyn MonotonicClock>,
    limits: HourlyLimits,
    class: AtomicU8,
    /// Bytes since the start, by class.
    totals: [AtomicU64; LinkClass::ALL.len()],
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    hours: [Hour; LinkClass::ALL.len()],
    saving: Option<Saving>,
}

/// The file of an hour's bytes.
#[derive(Debug)]
struct Saving {
    file: SpentFile,
    at: Option<MonotonicTimestamp>,
    /// Bytes that the file counts as spent, and that are not.
    advance: u64,
    /// Whether bytes were spent since the file was written.
    has_changed: bool,
    has_failed: bool,
}

impl LinkBudget {
    /// A budget that is lost at a restart.
    pub fn new(limits: HourlyLimits, clock: Arc<dyn MonotonicClock>) -> Self {
        let minute = minute(&*clock);
        Self {
            clock,
            limits,
            class: AtomicU8::default(),
            totals: Default::default(),
            ledger: Mutex::new(Ledger {
                hours: LinkClass::ALL.map(|_| Hour::new(minute)),
                saving: None,
            }),
        }
    }

    /// A budget that goes on where the one before ended that was saved in `folder`. Where its file is damaged,
    /// the limits of this hour count as spent.
    pub fn open(limits: HourlyLimits, clock: Arc<dyn MonotonicClock>, folder: &Path) -> Self {
        let budget = Self::new(limits, clock);
        let minute = minute(&*budget.clock);
        let file = SpentFile::of(folder);
        let read = file.read();
        {
            let mut ledger = budget.lock();
            for (class, hour) in LinkClass::ALL.into_iter().zip(&mut ledger.hours) {
                match &read {
                    Read::Minutes(minutes) => *hour = Hour::restored(minutes.of(class), minute),
                    Read::Absent => {}
                    Read::Damaged => hour.spend(limits[class.index()].unwrap_or(0), minute),
                }
            }
            ledger.saving = Some(Saving {
                file,
                at: None,
                advance: 0,
                has_changed: false,
                has_failed: false,
            });
        }
        budget
    }

    /// The class of the link in use.
    pub fn class(&self) -> LinkClass {
        let number = usize::from(self.class.load(Relaxed));
        LinkClass::ALL.get(number).copied().unwrap_or_default()
    }

    /// How that class is used.
    pub fn profile(&self) -> LinkProfile {
        LinkProfile::of(self.class())
    }

    /// Sets the class of the link in use. Returns the one before.
    pub fn set_class(&self, class: LinkClass) -> LinkClass {
        let before = self.class();
        self.class.store(class.index() as u8, Relaxed);
        if before != class
            && let Some(saving) = &mut self.lock().saving
        {
            // Of the class before.
            saving.advance = 0;
            saving.has_changed |= saving.at.take().is_some();
        }
        before
    }

    /// Bytes an hour on the link in use; `None` for no limit.
    pub fn bytes_per_hour(&self) -> Option<u64> {
        self.limits[self.class().index()]
    }

    /// The bytes of this hour that are left; `None` for no limit.
    pub fn bytes_left(&self) -> Option<u64> {
        let class = self.class().index();
        let limit = self.limits[class]?;
        let spent = self.lock().hours[class].spent(minute(&*self.clock));
        Some(limit.saturating_sub(spent))
    }

    /// The bytes that were spent since the start, of each class.
    pub fn totals(&self) -> [(LinkClass, u64); LinkClass::ALL.len()] {
        LinkClass::ALL.map(|class| (class, self.totals[class.index()].load(Relaxed)))
    }

    /// Whether a message of `bytes` may be sent now. One that is larger than the share of its priority may where
    /// half of that share is left.
    pub fn permits(&self, priority: Priority, bytes: u64) -> bool {
        self.profile().carries(priority) && self.affords(priority, bytes)
    }

    /// Whether the hour has so many bytes left, whatever the link carries without a person's request.
    pub fn affords(&self, priority: Priority, bytes: u64) -> bool {
        let class = self.class();
        self.limits[class.index()].is_none_or(|limit| {
            let minute = minute(&*self.clock);
            self.lock().permits(class, limit, priority, bytes, minute)
        })
    }

    /// The same; spends the bytes if so.
    pub fn take(&self, priority: Priority, bytes: u64) -> bool {
        let class = self.class();
        if !LinkProfile::of(class).carries(priority) {
            return false;
        }
        if let Some(limit) = self.limits[class.index()] {
            let minute = minute(&*self.clock);
            let mut ledger = self.lock();
            if !ledger.permits(class, limit, priority, bytes, minute) {
                return false;
            }
            ledger.spend(class, bytes, minute);
        }
        self.totals[class.index()].fetch_add(bytes, Relaxed);
        true
    }

    /// Spends bytes that were sent or received anyway.
    pub fn spend(&self, bytes: u64) {
        let class = self.class().index();
        self.totals[class].fetch_add(bytes, Relaxed);
        if self.limits[class].is_some() {
            let minute = minute(&*self.clock);
            self.lock().spend(LinkClass::ALL[class], bytes, minute);
        }
    }

    /// Writes the file if that is due, and permits the bytes of another minute. Blocks.
    pub fn save_when_due(&self) {
        let class = self.class();
        let now = self.clock.now();
        let mut ledger = self.lock();
        let advance = self.limits[class.index()].map_or(0, |limit| {
            let spent = ledger.hours[class.index()].spent(minute_of(now));
            (limit / ADVANCES_AN_HOUR).min(limit.saturating_sub(spent))
        });
        let Some(saving) = &ledger.saving else {
            return;
        };
        let is_due = saving.at.is_none_or(|at| now.since(at) >= SAVE_INTERVAL);
        if is_due && (saving.has_changed || saving.advance != advance) {
            ledger.save(class, advance, now);
        }
    }

    /// Writes what was really spent, at the end.
    pub fn close(&self) {
        let now = self.clock.now();
        let mut ledger = self.lock();
        if ledger
            .saving
            .as_ref()
            .is_some_and(|saving| saving.at.is_some())
        {
            ledger.save(self.class(), 0, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn permits(
        &mut self,
        class: LinkClass,
        limit: u64,
        priority: Priority,
        bytes: u64,
        minute: i64,
    ) -> bool {
        let spent = self.hours[class.index()].spent(minute);
        let reserve = priority.reserve(limit);
        let free = limit.saturating_sub(spent).saturating_sub(reserve);
        let share = limit - reserve;
        let fits = bytes <= free || (bytes > share && free > 0 && free >= share / 2);
        fits && self.saving.as_ref().is_none_or(|saving| {
            let whole = limit / ADVANCES_AN_HOUR;
            bytes <= saving.advance || (bytes > whole && saving.advance == whole)
        })
    }

    fn spend(&mut self, class: LinkClass, bytes: u64, minute: i64) {
        self.hours[class.index()].spend(bytes, minute);
        if let Some(saving) = &mut self.saving {
            saving.advance = saving.advance.saturating_sub(bytes);
            saving.has_changed = true;
        }
    }

    /// Writes the file with `advance` bytes that are spent later. Where that fails, they may be spent as well: a
    /// full disk must not silence the boat.
    fn save(&mut self, class: LinkClass, advance: u64, now: MonotonicTimestamp) {
        let minute = minute_of(now);
        let minutes = LinkClass::ALL.map(|of| {
            let mut hour = self.hours[of.index()].clone();
            let later = if of == class { advance } else { 0 };
            hour.spend(later, minute);
            hour.minutes()
        });
        let Some(saving) = &mut self.saving else {
            return;
        };
        match saving.file.write(minutes) {
            Ok(()) => saving.has_failed = false,
            Err(error) if !saving.has_failed => {
                tracing::warn!(%error, "cannot save the link's budget");
                saving.has_failed = true;
            }
            Err(_) => {}
        }
        (saving.at, saving.advance, saving.has_changed) = (Some(now), advance, false);
    }
}

/// The number of the minute.
fn minute(clock: &dyn MonotonicClock) -> i64 {
    minute_of(clock.now())
}

fn minute_of(now: MonotonicTimestamp) -> i64 {
    now.0.div_euclid(MINUTE_MICROS)
}

#[cfg(test)]
mod tests;
