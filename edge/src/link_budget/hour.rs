//! The bytes of the last hour.

/// Minutes that are kept: an hour that begins within a minute touches one more.
const MINUTES: usize = 61;

/// The bytes that were spent in each of the last minutes.
#[derive(Clone, Debug)]
pub(super) struct Hour {
    /// By the number of the minute, modulo their number.
    minutes: [u64; MINUTES],
    newest: i64,
    sum: u64,
}

impl Hour {
    /// Nothing was spent.
    pub(super) fn new(minute: i64) -> Self {
        Self {
            minutes: [0; MINUTES],
            newest: minute,
            sum: 0,
        }
    }

    /// The bytes of `minutes`, the newest first, which is `minute`.
    pub(super) fn restored(minutes: &[u64], minute: i64) -> Self {
        let mut hour = Self::new(minute);
        for (age, bytes) in (0..).zip(minutes.iter().take(MINUTES)) {
            hour.minutes[Self::index(minute - age)] = *bytes;
        }
        hour.count();
        hour
    }

    /// The bytes of each minute, the newest first.
    pub(super) fn minutes(&self) -> Vec<u64> {
        let minutes = (self.newest - MINUTES as i64 + 1..=self.newest).rev();
        minutes.map(|m| self.minutes[Self::index(m)]).collect()
    }

    /// The bytes of the hour before `minute` ends. A clock that runs backwards changes nothing.
    pub(super) fn spent(&mut self, minute: i64) -> u64 {
        self.forget(minute);
        self.sum
    }

    /// Spends `bytes` in `minute`.
    pub(super) fn spend(&mut self, bytes: u64, minute: i64) {
        self.forget(minute);
        let newest = &mut self.minutes[Self::index(self.newest)];
        *newest = newest.saturating_add(bytes);
        self.sum = self.sum.saturating_add(bytes);
    }

    fn forget(&mut self, minute: i64) {
        if minute <= self.newest {
            return;
        }
        if minute.saturating_sub(self.newest) >= MINUTES as i64 {
            *self = Self::new(minute);
            return;
        }
        for passed in self.newest + 1..=minute {
            self.minutes[Self::index(passed)] = 0;
        }
        self.newest = minute;
        self.count();
    }

    fn count(&mut self) {
        self.sum = self.minutes.iter().fold(0, |sum, m| sum.saturating_add(*m));
    }

    fn index(minute: i64) -> usize {
        minute.rem_euclid(MINUTES as i64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_is_forgotten_after_an_hour() {
        let mut hour = Hour::new(-3);
        hour.spend(5, -3);
        hour.spend(7, 0);
        assert_eq!(hour.spent(57), 12, "the end of the minute");
        assert_eq!(hour.spent(58), 7);
        assert_eq!(hour.spent(57), 7, "backwards");
        hour.spend(1, 20);
        assert_eq!(hour.spent(60), 8);
        assert_eq!(hour.spent(61), 1, "it was spent in minute 58");
        assert_eq!(hour.spent(10_000), 0);
    }

    #[test]
    fn it_survives_being_written_down() {
        let mut hour = Hour::new(100);
        for (minute, bytes) in [(100, 1), (130, 2), (131, 3), (159, 4)] {
            hour.spend(bytes, minute);
        }
        let minutes = hour.minutes();
        assert_eq!((minutes.len(), minutes[0], minutes[28]), (61, 4, 3));
        // The clock has started again.
        let mut later = Hour::restored(&minutes, 7);
        assert_eq!(later.spent(7), 10);
        assert_eq!(later.spent(7 + 1), 10);
        assert_eq!(later.spent(7 + 2), 9);
        assert_eq!(later.spent(7 + 32), 7);
        assert_eq!(later.spent(7 + 60), 4);
        assert_eq!(later.spent(7 + 61), 0);
        let huge = Hour::restored(&[u64::MAX; 90], 7).spent(7);
        assert_eq!(huge, u64::MAX);
    }
}
