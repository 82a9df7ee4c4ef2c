//! Batches prepared ahead of the training step.

use std::sync::mpsc::{Receiver, RecvError, sync_channel};

/// Yields what `make` returns for each number of a range, in order, from threads that work ahead.
/// Dropping it ends them.
pub(crate) struct Prefetcher<T> {
    queues: Vec<Receiver<T>>,
    start: u64,
    next: u64,
    end: u64,
}

/// Batches that each worker prepares ahead.
const AHEAD: usize = 2;

impl<T: Send + 'static> Prefetcher<T> {
    /// The numbers `start..end`, on `workers` threads, or one.
    pub(crate) fn new(
        (start, end): (u64, u64),
        workers: usize,
        make: impl Fn(u64) -> T + Clone + Send + 'static,
    ) -> Self {
        let workers = workers.max(1) as u64;
        let queues = (0..workers)
            .map(|worker| {
                let (send, receive) = sync_channel(AHEAD);
                let make = make.clone();
                std::thread::spawn(move || {
                    let mut number = start + worker;
                    while number < end && send.send(make(number)).is_ok() {
                        number += workers;
                    }
                });
                receive
            })
            .collect();
        Self {
            queues,
            start,
            next: start,
            end,
        }
    }
}

impl<T> Iterator for Prefetcher<T> {
    /// `Err` if the thread that makes it has died.
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let queue = (self.next - self.start) as usize % self.queues.len();
        self.next += 1;
        Some(self.queues[queue].recv())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_come_in_order_whatever_the_number_of_workers() {
        for workers in [0, 1, 3, 20] {
            let made: Vec<u64> = Prefetcher::new((5, 17), workers, |n| n * n)
                .map(Result::unwrap)
                .collect();
            assert_eq!(made, (5..17).map(|n| n * n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_worker_that_dies_is_reported() {
        let mut batches = Prefetcher::new((0, 3), 1, |n| {
            assert!(n < 1, "this worker dies");
            n
        });
        assert_eq!(batches.next(), Some(Ok(0)));
        assert_eq!(batches.next(), Some(Err(RecvError)));
    }
}
