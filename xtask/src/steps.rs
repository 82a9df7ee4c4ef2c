//! Steps of a command: prints a title before each, its duration after, and a summary at the end.

use crate::duration::format_duration;
use crate::interrupt::Interrupted;
use std::time::{Duration, Instant};

/// The record of the steps of a command.
pub(crate) struct Steps {
    began: Instant,
    done: Vec<Done>,
}

struct Done {
    what: String,
    took: Duration,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
    /// Failed, and the command can continue without it.
    Skipped,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            done: vec![],
        }
    }

    /// Runs a step; returns its error to the caller.
    pub(crate) fn required<T>(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.record(Outcome::Failed, what, step)
    }

    fn record<T>(
        &mut self,
        failure: Outcome,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        println!("\n==> {what}");
        let began = Instant::now();
        let result = step();
        let took = began.elapsed();
        match &result {
            Ok(_) => println!("    done in {}", format_duration(took)),
            Err(e) if e.is::<Interrupted>() => println!("    interrupted"),
            Err(e) => println!("    failed after {}: {e:#}", format_duration(took)),
        }
        self.done.push(Done {
            what: what.to_owned(),
            took,
            outcome: if result.is_ok() {
                Outcome::Done
            } else {
                failure
            },
        });
        result
    }

    /// Runs a step; a failure is recorded and the next step can follow. Only an interrupt is
    /// returned.
    pub(crate) fn check(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> Result<(), Interrupted> {
        continue_unless_interrupted(self.required(what, step))
    }

    /// Runs a step whose failure does not fail the command.
    pub(crate) fn optional(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> Result<(), Interrupted> {
        continue_unless_interrupted(self.record(Outcome::Skipped, what, step))
    }

    /// Time since the command started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether a step failed; optional ones do not count.
    pub(crate) fn any_failed(&self) -> bool {
        self.done.iter().any(|d| d.outcome == Outcome::Failed)
    }

    /// Whether every step succeeded, including optional ones.
    pub(crate) fn all_done(&self) -> bool {
        self.done.iter().all(|d| d.outcome == Outcome::Done)
    }

    /// A line for each step, and the total.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for Done {
            what,
            took,
            outcome,
        } in &self.done
        {
            let outcome = match outcome {
                Outcome::Done => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "none",
            };
            text += &format!("  {outcome:<6}  {:>12}  {what}\n", format_duration(*took));
        }
        text + &format!(
            "  {:<6}  {:>12}  total",
            "",
            format_duration(self.elapsed())
        )
    }
}

fn continue_unless_interrupted(result: anyhow::Result<()>) -> Result<(), Interrupted> {
    match result {
        Err(e) if e.is::<Interrupted>() => Err(Interrupted),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_recorded_and_others_follow() {
        let mut steps = Steps::new();
        assert_eq!(steps.required("one", || Ok(1)).unwrap(), 1);
        assert!(!steps.any_failed());
        assert_eq!(steps.check("two", || anyhow::bail!("no")), Ok(()));
        assert_eq!(steps.check("three", || Ok(())), Ok(()));
        assert!(steps.any_failed() && !steps.all_done());
        let summary = steps.summary();
        let outcomes: Vec<&str> = summary
            .lines()
            .map(|l| l.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(outcomes[..3], ["ok", "FAILED", "ok"]);
    }

    #[test]
    fn an_optional_step_that_fails_is_not_a_failure() {
        let mut steps = Steps::new();
        assert_eq!(steps.optional("one", || anyhow::bail!("not here")), Ok(()));
        assert!(!steps.any_failed() && !steps.all_done());
        assert!(steps.summary().starts_with("  none "));
    }

    #[test]
    fn an_interrupt_ends_the_command() {
        let mut steps = Steps::new();
        assert_eq!(
            steps.check("one", || Err(Interrupted.into())),
            Err(Interrupted)
        );
    }
}
