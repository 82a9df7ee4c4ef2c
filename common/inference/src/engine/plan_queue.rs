//! Lets models prepare the accelerator one after another: two plans that are built at once on one GPU, e.g. a
//! Jetson's, may need more memory than it has, and neither is ready early.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a model that is not next checks whether it should still continue.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The models that prepare the accelerator, in the order in which they were opened. A process has one queue, which
/// its clones share.
#[derive(Clone, Debug, Default)]
pub struct PlanQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    models: Mutex<Models>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Models {
    entered: u64,
    /// The numbers of those that have not left, the next one first.
    queued: VecDeque<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Models> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PlanQueue {
    /// Enters the queue at its end.
    pub(super) fn enter(&self) -> Turn {
        let mut models = self.0.lock();
        models.entered += 1;
        let number = models.entered;
        models.queued.push_back(number);
        Turn {
            shared: self.0.clone(),
            number,
        }
    }
}

/// The turn of a model in the queue. Dropping it leaves the queue.
pub(super) struct Turn {
    shared: Arc<Shared>,
    number: u64,
}

impl Turn {
    /// Blocks until those that entered before have left; returns false if `should_continue` does before.
    pub(super) fn wait(&self, should_continue: &dyn Fn() -> bool) -> bool {
        let mut models = self.shared.lock();
        while models.queued.front() != Some(&self.number) {
            if !should_continue() {
                return false;
            }
            let waited = self.shared.left.wait_timeout(models, POLL_INTERVAL);
            models = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.lock().queued.retain(|n| *n != self.number);
        self.shared.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn models_take_turns_in_the_order_in_which_they_entered() {
        let queue = PlanQueue::default();
        let turns: Vec<Turn> = (0..4).map(|_| queue.enter()).collect();
        let (done, order) = channel();
        let threads: Vec<_> = turns
            .into_iter()
            .enumerate()
            .rev()
            .map(|(number, turn)| {
                let done = done.clone();
                std::thread::spawn(move || {
                    assert!(turn.wait(&|| true));
                    done.send(number).unwrap();
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        let order: Vec<usize> = order.try_iter().collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn a_model_that_is_cancelled_leaves_the_queue_to_the_next() {
        let queue = PlanQueue::default();
        let (first, second, third) = (queue.enter(), queue.enter(), queue.enter());
        assert!(first.wait(&|| false), "nothing is before it");
        assert!(!second.wait(&|| false));
        drop(second);
        assert!(!third.wait(&|| false), "the first has not left");
        drop(first);
        assert!(third.wait(&|| false));
    }
}
