//! The wish to end, shared by all parts of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once, when the program is asked to end; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// Whose wish counts as well.
    above: Option<Arc<AtomicBool>>,
}

impl Stop {
    /// One that may be asked alone, and is asked whenever this one is.
    pub fn below(&self) -> Self {
        Self {
            asked: Arc::default(),
            above: Some(self.asked.clone()),
        }
    }

    /// Asks all who hold a clone to end.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        let set = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        set(&self.asked) || self.above.as_deref().is_some_and(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_below_ends_with_the_one_above_and_not_the_other_way_round() {
        let above = Stop::default();
        let (one, other) = (above.below(), above.below());
        one.ask();
        assert!(one.asked() && !other.asked() && !above.asked());
        above.ask();
        assert!(other.clone().asked());
    }
}
