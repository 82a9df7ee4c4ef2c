//! Whether two computers report under one boat's name, e.g. because a boat's card was copied.
//!
//! Each process of a boat chooses an instance id when it starts, and reports it now and then while it
//! is connected. Instances that follow each other are restarts; instances that alternate run at the
//! same time.

use crate::sighting::BoatId;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

/// How often a connected boat reports its presence.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// The time after which a boat answers the presence of another instance, so that both are recognised
/// within seconds.
pub const ANSWER_DELAY: Duration = Duration::from_secs(2);
/// An instance that has not reported for this long has ended.
const FORGET: Duration = Duration::from_secs(240);
/// Messages of an instance that ended may arrive this long after the first one of its successor.
const OVERLAP: Duration = Duration::from_secs(1);
/// The most instances that are remembered.
const MAX_INSTANCES: usize = 8;

/// A connected boat, reported by the boat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The boat's name.
    pub boat: BoatId,
    /// Random, chosen when the boat's process starts.
    pub instance: Uuid,
    /// The epoch of its outbox ([`crate::sighting::Sighting::epoch`]).
    pub epoch: Uuid,
}

/// Recognises instances of one boat that run at the same time.
#[derive(Clone, Debug, Default)]
pub struct InstanceWatch {
    /// The oldest report last.
    instances: Vec<Instance>,
    alternated: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Instance {
    id: Uuid,
    first: Duration,
    last: Duration,
}

impl InstanceWatch {
    /// Notes that `instance` reported itself at `now`, a monotonic time. Returns whether another
    /// instance is remembered.
    pub fn report(&mut self, instance: Uuid, now: Duration) -> bool {
        self.instances
            .retain(|i| now.saturating_sub(i.last) < FORGET);
        let earlier = self.instances.iter().position(|i| i.id == instance);
        let earlier = earlier.map(|index| self.instances.remove(index));
        if let Some(earlier) = earlier
            && self.instances.iter().any(|other| {
                other.last > earlier.last && now.saturating_sub(other.first) >= OVERLAP
            })
        {
            self.alternated = Some(now);
        }
        let first = earlier.map_or(now, |e| e.first);
        self.instances.insert(
            0,
            Instance {
                id: instance,
                first,
                last: now,
            },
        );
        self.instances.truncate(MAX_INSTANCES);
        self.instances.len() > 1
    }

    /// Whether two instances run at the same time.
    pub fn has_twin(&self, now: Duration) -> bool {
        self.alternated
            .is_some_and(|at| now.saturating_sub(at) < FORGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether these reports, as instance and second, are of instances that run at the same time.
    fn twin(reports: &[(u128, u64)]) -> bool {
        let mut watch = InstanceWatch::default();
        for &(instance, second) in reports {
            watch.report(Uuid::from_u128(instance), Duration::from_secs(second));
        }
        let now = reports.last().map_or(0, |r| r.1);
        watch.has_twin(Duration::from_secs(now))
    }

    #[test]
    fn restarts_are_no_twins() {
        assert!(!twin(&[(1, 0), (1, 60), (2, 70), (2, 130), (3, 131)]));
    }

    #[test]
    fn a_late_report_of_an_ended_instance_is_no_twin() {
        assert!(!twin(&[(1, 0), (2, 10), (1, 10), (2, 70)]));
    }

    #[test]
    fn alternating_instances_are_twins() {
        assert!(twin(&[(1, 0), (2, 10), (1, 12)]));
        assert!(twin(&[(1, 0), (2, 1), (3, 2), (1, 60)]));
    }

    #[test]
    fn a_twin_that_ended_is_forgotten() {
        let mut watch = InstanceWatch::default();
        for (instance, second) in [(1, 0), (2, 10), (1, 12), (1, 72), (1, 132)] {
            watch.report(Uuid::from_u128(instance), Duration::from_secs(second));
        }
        assert!(watch.has_twin(Duration::from_secs(132)));
        assert!(!watch.has_twin(Duration::from_secs(12 + 240)));
    }

    #[test]
    fn a_flood_of_instances_is_bounded() {
        let mut watch = InstanceWatch::default();
        for instance in 0..1000 {
            watch.report(Uuid::from_u128(instance), Duration::from_secs(1));
        }
        assert_eq!(watch.instances.len(), MAX_INSTANCES);
    }
}
