//! Calls of tract on graphs that are not checked yet.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The result of `work`, or `None` if it panics.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
