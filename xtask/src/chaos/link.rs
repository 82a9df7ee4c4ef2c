//! The conditions of a boat's link.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How bad a bad link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LinkSettings {
    /// How much later everything passes while the link is delayed.
    pub(super) delay: Duration,
    /// How many bytes pass per second in each direction while it is throttled.
    pub(super) bytes_per_second: u32,
}

impl LinkSettings {
    /// A geostationary satellite's delay, and 2.4 kbit/s as of Iridium.
    pub(super) const SATELLITE: Self = Self {
        delay: Duration::from_millis(600),
        bytes_per_second: 300,
    };
}

/// A condition of a link. Faults overlap: it lasts until all that began it have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Connections are closed and not accepted.
    Cut,
    /// Nothing passes.
    Silent,
    /// Everything passes later.
    Delayed,
    /// Few bytes pass per second.
    Throttled,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the boat to the broker.
    Up,
    /// From the broker to the boat.
    Down,
}

/// What is done to the next bytes that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// A bit is changed; the number chooses which.
    Corrupt(u64),
    /// What passed before passes again.
    Replay,
}

/// How bytes pass at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    /// Whether nothing passes.
    pub(super) silent: bool,
    /// How much later bytes pass.
    pub(super) delay: Duration,
    /// How many bytes pass per second; `None` for all.
    pub(super) bytes_per_second: Option<u32>,
}

/// A boat's link, shared by the faults and the proxy.
#[derive(Debug)]
pub(super) struct Link {
    settings: LinkSettings,
    now: Mutex<Conditions>,
}

#[derive(Debug, Default)]
struct Conditions {
    /// How many faults have begun and not ended each condition.
    counts: [u32; 4],
    pending: VecDeque<(Direction, Damage)>,
    damages: u32,
}

impl Link {
    /// A good link that gets as bad as `settings`.
    pub(super) fn new(settings: LinkSettings) -> Self {
        Self {
            settings,
            now: Mutex::default(),
        }
    }

    fn now(&self) -> MutexGuard<'_, Conditions> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fault begins.
    pub(super) fn begin(&self, condition: Condition) {
        self.now().counts[condition as usize] += 1;
    }

    /// A fault ends.
    pub(super) fn end(&self, condition: Condition) {
        let count = &mut self.now().counts[condition as usize];
        *count = count.saturating_sub(1);
    }

    /// Damages the next bytes that pass in this direction.
    pub(super) fn damage(&self, direction: Direction, damage: Damage) {
        self.now().pending.push_back((direction, damage));
    }

    /// Ends all conditions, and drops damages that have not been done.
    pub(super) fn clear(&self) {
        let mut now = self.now();
        now.counts = [0; 4];
        now.pending.clear();
    }

    /// Whether connections are closed.
    pub(super) fn is_cut(&self) -> bool {
        self.now().counts[Condition::Cut as usize] > 0
    }

    /// How bytes pass.
    pub(super) fn passage(&self) -> Passage {
        let now = self.now();
        let holds = |condition: Condition| now.counts[condition as usize] > 0;
        Passage {
            silent: holds(Condition::Silent) || holds(Condition::Cut),
            delay: if holds(Condition::Delayed) {
                self.settings.delay
            } else {
                Duration::ZERO
            },
            bytes_per_second: holds(Condition::Throttled).then_some(self.settings.bytes_per_second),
        }
    }

    /// What is to be done to the next bytes of this direction, once.
    pub(super) fn take_damage(&self, direction: Direction) -> Option<Damage> {
        let mut now = self.now();
        let index = now.pending.iter().position(|(d, _)| *d == direction)?;
        now.damages += 1;
        now.pending.remove(index).map(|(_, damage)| damage)
    }

    /// How many damages were done.
    pub(super) fn damages(&self) -> u32 {
        self.now().damages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_lasts_until_all_its_faults_have_ended() {
        let link = Link::new(LinkSettings::SATELLITE);
        link.begin(Condition::Cut);
        link.begin(Condition::Cut);
        link.end(Condition::Cut);
        assert!(link.is_cut());
        link.end(Condition::Cut);
        assert!(!link.is_cut());
    }

    #[test]
    fn conditions_overlap() {
        let link = Link::new(LinkSettings::SATELLITE);
        link.begin(Condition::Delayed);
        link.begin(Condition::Throttled);
        let bad = Passage {
            silent: false,
            delay: Duration::from_millis(600),
            bytes_per_second: Some(300),
        };
        assert_eq!(link.passage(), bad);
        link.begin(Condition::Silent);
        assert!(link.passage().silent);
        link.clear();
        let good = Passage {
            silent: false,
            delay: Duration::ZERO,
            bytes_per_second: None,
        };
        assert_eq!(link.passage(), good);
    }

    #[test]
    fn a_damage_is_done_once_in_its_direction() {
        let link = Link::new(LinkSettings::SATELLITE);
        link.damage(Direction::Down, Damage::Replay);
        link.damage(Direction::Up, Damage::Corrupt(3));
        assert_eq!(link.take_damage(Direction::Up), Some(Damage::Corrupt(3)));
        assert_eq!(link.take_damage(Direction::Up), None);
        assert_eq!(
            (link.damages(), link.take_damage(Direction::Down)),
            (1, Some(Damage::Replay))
        );
    }
}
