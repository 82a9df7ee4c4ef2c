//! Steps of a command: each says what it does before and how long it took after, and a summary closes.

use crate::interrupt::Interrupted;
use crate::wording::duration;
use std::time::{Duration, Instant};

/// What has been done so far.
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
    /// It failed, and the command can do without.
    DoneWithout,
}

impl Steps {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            done: vec![],
        }
    }

    /// Does `what`; its failure is for the caller.
    pub(crate) fn take<T>(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.take_or(Outcome::Failed, what, step)
    }

    fn take_or<T>(
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
            Ok(_) => println!("    done in {}", duration(took)),
            Err(e) if e.is::<Interrupted>() => println!("    interrupted"),
            Err(e) => println!("    failed after {}: {e:#}", duration(took)),
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

    /// Does `what`; a failure is remembered and the next step can follow. Only an interrupt ends all.
    pub(crate) fn attempt(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> Result<(), Interrupted> {
        go_on(self.take(what, step))
    }

    /// Does `what`, which may fail for want of something that the command can do without.
    pub(crate) fn wish(
        &mut self,
        what: &str,
        step: impl FnOnce() -> anyhow::Result<()>,
    ) -> Result<(), Interrupted> {
        go_on(self.take_or(Outcome::DoneWithout, what, step))
    }

    /// How long it has been.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Whether a step failed; wishes do not count.
    pub(crate) fn any_failed(&self) -> bool {
        self.done.iter().any(|d| d.outcome == Outcome::Failed)
    }

    /// Whether every step was done, wishes too.
    pub(crate) fn all_done(&self) -> bool {
        self.done.iter().all(|d| d.outcome == Outcome::Done)
    }

    /// A line for each step, and all together.
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
                Outcome::DoneWithout => "none",
            };
            text += &format!("  {outcome:<6}  {:>12}  {what}\n", duration(*took));
        }
        text + &format!("  {:<6}  {:>12}  in all", "", duration(self.elapsed()))
    }
}

fn go_on(result: anyhow::Result<()>) -> Result<(), Interrupted> {
    match result {
        Err(e) if e.is::<Interrupted>() => Err(Interrupted),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_and_others_follow() {
        let mut steps = Steps::new();
        assert_eq!(steps.take("one", || Ok(1)).unwrap(), 1);
        assert!(!steps.any_failed());
        assert_eq!(steps.attempt("two", || anyhow::bail!("no")), Ok(()));
        assert_eq!(steps.attempt("three", || Ok(())), Ok(()));
        assert!(steps.any_failed() && !steps.all_done());
        let summary = steps.summary();
        let outcomes: Vec<&str> = summary
            .lines()
            .map(|l| l.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(outcomes[..3], ["ok", "FAILED", "ok"]);
    }

    #[test]
    fn a_wish_that_fails_is_no_failure() {
        let mut steps = Steps::new();
        assert_eq!(steps.wish("one", || anyhow::bail!("not here")), Ok(()));
        assert!(!steps.any_failed() && !steps.all_done());
        assert!(steps.summary().starts_with("  none "));
    }

    #[test]
    fn an_interrupt_is_no_failure_to_go_on_after() {
        let mut steps = Steps::new();
        assert_eq!(
            steps.attempt("one", || Err(Interrupted.into())),
            Err(Interrupted)
        );
    }
}
