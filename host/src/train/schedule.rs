//! What each epoch does: which part of the embedding learns from which photos, and how far the step size has come.

use super::recipe::{DividedBatches, OptimiserSettings, Recipe};
use std::fmt::Write as _;

/// What learns in an epoch, and from which batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Each batch comes from one cluster and moves that cluster's slice of the embedding.
    Divided,
    /// Batches come from all photos, and each photo moves its cluster's slice.
    DividedMixed,
    /// Each batch comes from one cluster and moves the whole embedding.
    WholeByCluster,
    /// Batches come from all photos and move the whole embedding.
    Whole,
}

impl Phase {
    /// Whether photos must be divided.
    pub fn clustered(self) -> bool {
        self != Self::Whole
    }

    /// Whether each batch comes from one cluster.
    pub fn one_cluster(self) -> bool {
        matches!(self, Self::Divided | Self::WholeByCluster)
    }

    /// Whether slices learn, each for itself.
    pub fn divided(self) -> bool {
        matches!(self, Self::Divided | Self::DividedMixed)
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Divided => "slices, each on its cluster",
            Self::DividedMixed => "slices, each photo its cluster's",
            Self::WholeByCluster => "whole embedding, a cluster at a time",
            Self::Whole => "whole embedding, all photos",
        }
    }
}

/// What `epoch` (from 0) does.
pub fn phase(recipe: &Recipe, epoch: usize) -> Phase {
    let (divide, left) = (&recipe.divide, recipe.epochs().saturating_sub(epoch));
    let mixed = divide.batches == DividedBatches::Mixed;
    if divide.learners == 1 || left <= divide.single_epochs {
        Phase::Whole
    } else if left <= divide.whole_epochs {
        if mixed {
            Phase::Whole
        } else {
            Phase::WholeByCluster
        }
    } else if mixed {
        Phase::DividedMixed
    } else {
        Phase::Divided
    }
}

/// Whether photos are clustered before `epoch`.
pub fn clusters_before(recipe: &Recipe, epoch: usize) -> bool {
    phase(recipe, epoch).clustered() && epoch.is_multiple_of(recipe.divide.every)
}

/// Whether `epoch` trains with rounded weights and activations.
pub fn rounds(recipe: &Recipe, epoch: usize) -> bool {
    recipe.epochs().saturating_sub(epoch) <= recipe.rounded_epochs
}

/// Whether what is exported after `epochs` is K slices, each of length 1, rather than one embedding of length 1.
pub fn ends_divided(recipe: &Recipe, epochs: usize) -> bool {
    phase(recipe, epochs.saturating_sub(1)).divided()
}

/// What the peak rates are multiplied with at `step` of `steps`: up in a line, down along half a cosine to a hundredth.
pub fn rate(settings: &OptimiserSettings, step: u64, steps: u64) -> f64 {
    let warm = (settings.warm_up * steps as f64).max(1.0);
    let step = step as f64;
    if step < warm {
        return (step + 1.0) / warm;
    }
    let done = ((step - warm) / (steps as f64 - warm).max(1.0)).min(1.0);
    0.01 + 0.99 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// The whole schedule as a table for people; `steps` an epoch.
pub fn table(recipe: &Recipe, steps: usize) -> String {
    let total = (recipe.epochs() * steps) as u64;
    let mut text = format!(
        "{:>5}  {:>9}  {:>6}  {:>13}  {:<37}  before it\n",
        "epoch", "size", "steps", "rate x peak", "what learns"
    );
    for epoch in 0..recipe.epochs() {
        let stage = recipe.stage(epoch);
        let at = |step: usize| rate(&recipe.optimiser, step as u64, total);
        let mut before = vec![];
        if clusters_before(recipe, epoch) {
            before.push(format!("photos into {} clusters", recipe.divide.learners));
        }
        if rounds(recipe, epoch) && (epoch == 0 || !rounds(recipe, epoch - 1)) {
            before.push("int8 rounding from here on".to_owned());
        }
        let _ = writeln!(
            text,
            "{:>5}  {:>9}  {:>6}  {:>5.3} - {:<5.3}  {:<37}  {}",
            epoch + 1,
            format!("{} x {}", stage.height, stage.width),
            steps,
            at(epoch * steps),
            at((epoch + 1) * steps - 1),
            phase(recipe, epoch).in_words(),
            before.join(", ")
        );
    }
    let _ = writeln!(
        text,
        "{} epochs, {total} steps of {} photos",
        recipe.epochs(),
        recipe.batch
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(overrides: &[&str]) -> Recipe {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        Recipe::read(None, None, &overrides).unwrap()
    }

    const DIVIDED: [&str; 2] = [
        "stages=[{epochs=8,height=32,width=64}]",
        "divide={learners=4,every=2,whole_epochs=3,single_epochs=1}",
    ];

    #[test]
    fn slices_then_the_whole_then_all_photos() {
        use Phase::{Divided as D, Whole as A, WholeByCluster as W};
        let recipe = recipe(&DIVIDED);
        let phases: Vec<Phase> = (0..8).map(|e| phase(&recipe, e)).collect();
        assert_eq!(phases, [D, D, D, D, D, W, W, A]);
        let clustered: Vec<usize> = (0..8).filter(|&e| clusters_before(&recipe, e)).collect();
        assert_eq!(clustered, [0, 2, 4, 6]);
        assert!(ends_divided(&recipe, 5) && !ends_divided(&recipe, 8));
    }

    #[test]
    fn mixed_batches_are_never_of_one_cluster() {
        use Phase::{DividedMixed as D, Whole as A};
        let mixed = "divide={learners=4,whole_epochs=3,single_epochs=1,batches=\"mixed\"}";
        let recipe = recipe(&[DIVIDED[0], mixed]);
        let phases: Vec<Phase> = (0..8).map(|e| phase(&recipe, e)).collect();
        assert_eq!(phases, [D, D, D, D, D, A, A, A]);
        assert!(phases.iter().all(|p| !p.one_cluster()));
        let clustered: Vec<usize> = (0..8).filter(|&e| clusters_before(&recipe, e)).collect();
        assert_eq!(clustered, [0, 2, 4]);
        assert!(ends_divided(&recipe, 5) && !ends_divided(&recipe, 6));
    }

    #[test]
    fn one_learner_is_plain_training() {
        let recipe = Recipe::default();
        assert!((0..20).all(|e| phase(&recipe, e) == Phase::Whole && !clusters_before(&recipe, e)));
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let settings = Recipe::default().optimiser;
        let at = |step| rate(&settings, step, 1000);
        assert!(at(0) < 0.03 && (at(49) - 1.0).abs() < 1e-9);
        assert!((at(525) - 0.505).abs() < 0.01 && at(999) < 0.011);
    }

    #[test]
    fn the_table_says_what_happens_when() {
        let mut settings = DIVIDED.to_vec();
        settings.push("rounded_epochs=2");
        let text = table(&recipe(&settings), 10);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 10, "{text}");
        assert!(
            lines[1].contains("slices, each on its cluster")
                && lines[1].contains("into 4 clusters")
        );
        assert!(lines[7].contains("int8 rounding from here on"), "{text}");
        assert!(lines[8].contains("all photos") && lines[9] == "8 epochs, 80 steps of 32 photos");
    }
}
