//! Keeps the budget up to date.

use super::budget::LinkBudget;
use super::selector::{LinkSelector, Selection};
use crate::time::{MonotonicClock, MonotonicTimestamp};
use flukewatch_common::clock::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often file and routes are read.
const INTERVAL: Duration = Duration::from_secs(2);

/// Sets the class of the link in use, and saves the budget.
pub struct LinkWatch {
    selector: LinkSelector,
    budget: Arc<LinkBudget>,
    clock: Arc<dyn MonotonicClock>,
    selected: Option<(Selection, MonotonicTimestamp)>,
}

impl LinkWatch {
    /// A watch that has not looked yet.
    pub fn new(
        selector: LinkSelector,
        budget: Arc<LinkBudget>,
        clock: Arc<dyn MonotonicClock>,
    ) -> Self {
        Self {
            selector,
            budget,
            clock,
            selected: None,
        }
    }

    /// The budget.
    pub fn budget(&self) -> &Arc<LinkBudget> {
        &self.budget
    }

    /// What has chosen the class, once that is known.
    pub fn selection(&self) -> Option<Selection> {
        self.selected.map(|(selection, _)| selection)
    }

    /// What is wrong with the file that names the class.
    pub fn fault(&self) -> Option<&str> {
        self.selector.fault()
    }

    /// Does what is due at the UTC time `now`. Blocks.
    pub fn poll(&mut self, now: Timestamp) {
        let at = self.clock.now();
        let is_due = |(_, last): (_, MonotonicTimestamp)| at.since(last) >= INTERVAL;
        if self.selected.is_none_or(is_due) {
            let selection = self.selector.select(now);
            self.budget.set_class(selection.class);
            let before = self.selection();
            if before.is_none_or(|before| before.class != selection.class) {
                tracing::info!(
                    link = %selection.class,
                    by = selection.by.as_str(),
                    bytes_per_hour = ?self.budget.bytes_per_hour(),
                    "link class selected"
                );
            }
            self.selected = Some((selection, at));
        }
        self.budget.save_when_due();
    }
}
