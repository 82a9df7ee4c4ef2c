//! Cooperative cancellation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Cancels the parts of a run. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct CancellationToken {
    cancelled: Arc<AtomicBool>,
    parent: Option<Arc<AtomicBool>>,
}

impl CancellationToken {
    /// A token that can be cancelled alone, and is cancelled with this one.
    pub fn child_token(&self) -> Self {
        Self {
            cancelled: Arc::default(),
            parent: Some(self.cancelled.clone()),
        }
    }

    /// Cancels this token, its clones and its children.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    /// Whether this token or its parent is cancelled.
    pub fn is_cancelled(&self) -> bool {
        let set = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        set(&self.cancelled) || self.parent.as_deref().is_some_and(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_cancelled_with_its_parent_and_not_the_other_way_round() {
        let parent = CancellationToken::default();
        let (one, other) = (parent.child_token(), parent.child_token());
        one.cancel();
        assert!(one.is_cancelled() && !other.is_cancelled() && !parent.is_cancelled());
        parent.cancel();
        assert!(other.clone().is_cancelled());
    }
}
