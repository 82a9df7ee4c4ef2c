//! What a person sees during training.

use flukewatch_progress::{ProgressBar, bar};
use std::time::{Duration, Instant};

/// How often a line is printed where no bar can be drawn (e.g. in a log file).
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Position in a run after a step.
pub(crate) struct Position<'a> {
    /// Steps of the whole run so far.
    pub(crate) steps: u64,
    /// E.g. "epoch 3/20".
    pub(crate) part: &'a str,
    pub(crate) loss: f64,
    pub(crate) batch_size: usize,
}

/// A bar over all steps of a run, with loss, R@1, images per second and the time left.
pub(crate) struct ProgressReporter {
    bar: ProgressBar,
    quiet: bool,
    began: Option<(Instant, u64)>,
    logged: Instant,
    smooth_loss: Option<f64>,
    recall: Option<f64>,
}

impl ProgressReporter {
    pub(crate) fn new(quiet: bool, steps: u64) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            bar(steps, "training")
        };
        Self {
            bar,
            quiet,
            began: None,
            logged: Instant::now(),
            smooth_loss: None,
            recall: None,
        }
    }

    pub(crate) fn step(&mut self, position: &Position<'_>) {
        let &Position {
            steps,
            part,
            loss,
            batch_size,
        } = position;
        let (began, first) = *self.began.get_or_insert_with(|| {
            // Earlier sessions and epochs of another size say nothing about the speed now.
            self.bar.set_position(steps);
            self.bar.reset_eta();
            (Instant::now(), steps)
        });
        let smooth = self.smooth_loss.map_or(loss, |s| 0.9 * s + 0.1 * loss);
        self.smooth_loss = Some(smooth);
        let images = ((steps - first) * batch_size as u64) as f64;
        let speed = images / began.elapsed().as_secs_f64().max(1e-9);
        let recall = self
            .recall
            .map_or(String::new(), |r| format!(" R@1 {r:.3}"));
        let message = format!("{part} loss {smooth:.3}{recall} {speed:.0} images/s");
        self.bar.set_position(steps);
        if self.bar.is_hidden() && !self.quiet && self.logged.elapsed() > LOG_EVERY {
            self.logged = Instant::now();
            let left = self.bar.length().unwrap_or(steps).saturating_sub(steps);
            let seconds = (left * batch_size as u64) as f64 / speed.max(1e-9);
            let left = indicatif::HumanDuration(Duration::from_secs_f64(seconds.min(1e8)));
            eprintln!("{message}, about {left} left");
        }
        self.bar.set_message(message);
    }

    /// After a part of the run; speed is measured afresh in the next.
    pub(crate) fn end_of_part(&mut self, validation_recall: Option<f64>, line: &str) {
        self.began = None;
        self.recall = validation_recall;
        self.line(line);
    }

    /// Prints a line above the bar.
    pub(crate) fn line(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for ProgressReporter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
