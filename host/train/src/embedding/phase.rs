//! What each epoch does: which part of the embedding is trained, and on which photos.

use super::recipe::{DividedBatches, Recipe};
use std::fmt::Write as _;

/// What an epoch trains, and on which batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Each batch comes from one cluster and trains that cluster's slice of the embedding.
    Divided,
    /// Batches come from all photos, and each photo trains its cluster's slice.
    DividedMixed,
    /// Each batch comes from one cluster and trains the whole embedding.
    WholeByCluster,
    /// Batches come from all photos and train the whole embedding.
    Whole,
}

impl Phase {
    /// Whether photos must be clustered.
    pub fn clustered(self) -> bool {
        self != Self::Whole
    }

    /// Whether each batch comes from one cluster.
    pub fn one_cluster(self) -> bool {
        matches!(self, Self::Divided | Self::WholeByCluster)
    }

    /// Whether slices are trained separately.
    pub fn divided(self) -> bool {
        matches!(self, Self::Divided | Self::DividedMixed)
    }

    fn description(self) -> &'static str {
        match self {
            Self::Divided => "slices, each on its cluster",
            Self::DividedMixed => "slices, mixed batches",
            Self::WholeByCluster => "whole embedding, by cluster",
            Self::Whole => "whole embedding, all photos",
        }
    }
}

/// The phase of `epoch`, counted from 0.
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
    phase(recipe, epoch).clustered() && epoch.is_multiple_of(recipe.divide.cluster_every_n_epochs)
}

/// Whether `epoch` trains with fake quantisation.
pub fn quantised(recipe: &Recipe, epoch: usize) -> bool {
    recipe.epochs().saturating_sub(epoch) <= recipe.qat_epochs
}

/// Whether the validation figures of `epoch` compare with those of the epoch before: not when fake
/// quantisation starts, nor at another size.
#[cfg(feature = "libtorch")]
pub(super) fn validates_like_the_previous(recipe: &Recipe, epoch: usize) -> bool {
    let of = |epoch: usize| {
        let stage = recipe.stage(epoch);
        (stage.height, stage.width, quantised(recipe, epoch))
    };
    epoch == 0 || of(epoch) == of(epoch - 1)
}

/// Whether the exported embedding after `epochs` is K slices, each of length 1, rather than one
/// vector of length 1.
pub fn ends_divided(recipe: &Recipe, epochs: usize) -> bool {
    phase(recipe, epochs.saturating_sub(1)).divided()
}

/// The whole schedule as a table; `steps` is the number of steps per epoch.
pub fn table(recipe: &Recipe, steps: usize) -> String {
    let total = (recipe.epochs() * steps) as u64;
    let schedule = recipe.optimiser.schedule(recipe.epochs(), steps);
    let mut text = format!(
        "{:>5}  {:>9}  {:>6}  {:>13}  {:<37}  before\n",
        "epoch", "size", "steps", "lr / peak", "trains"
    );
    for epoch in 0..recipe.epochs() {
        let stage = recipe.stage(epoch);
        let at = |step: usize| schedule.lr_factor(step as u64);
        let mut before = vec![];
        if clusters_before(recipe, epoch) {
            before.push(format!("cluster photos into {}", recipe.divide.learners));
        }
        if quantised(recipe, epoch) && (epoch == 0 || !quantised(recipe, epoch - 1)) {
            before.push("start fake quantisation".to_owned());
        }
        writeln!(
            text,
            "{:>5}  {:>9}  {:>6}  {:>5.3} - {:<5.3}  {:<37}  {}",
            epoch + 1,
            format!("{} x {}", stage.height, stage.width),
            steps,
            at(epoch * steps),
            at((epoch + 1) * steps - 1),
            phase(recipe, epoch).description(),
            before.join(", ")
        )
        .expect("writing to a String succeeds");
    }
    writeln!(
        text,
        "{} epochs, {total} steps, batch size {}{}",
        recipe.epochs(),
        recipe.batch_size,
        match recipe.accumulate_steps {
            1 => String::new(),
            batches => format!(", {batches} batches per step"),
        }
    )
    .expect("writing to a String succeeds");
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
        "divide={learners=4,cluster_every_n_epochs=2,whole_epochs=3,single_epochs=1}",
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

    #[cfg(feature = "libtorch")]
    #[test]
    fn validation_is_compared_at_one_size_and_precision() {
        let stages = "stages=[{epochs=2,height=32,width=64},{epochs=6,height=64,width=128}]";
        let recipe = recipe(&[stages, "qat_epochs=3"]);
        let alone: Vec<usize> = (0..8)
            .filter(|&e| !validates_like_the_previous(&recipe, e))
            .collect();
        assert_eq!(alone, [2, 5]);
    }

    #[test]
    fn one_learner_is_plain_training() {
        let recipe = Recipe::default();
        assert!((0..20).all(|e| phase(&recipe, e) == Phase::Whole && !clusters_before(&recipe, e)));
    }

    #[test]
    fn the_table_lists_what_each_epoch_does() {
        let mut settings = DIVIDED.to_vec();
        settings.push("qat_epochs=2");
        let text = table(&recipe(&settings), 10);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 10, "{text}");
        assert!(
            lines[1].contains("slices, each on its cluster")
                && lines[1].contains("cluster photos into 4")
        );
        assert!(lines[7].contains("start fake quantisation"), "{text}");
        assert!(lines[8].contains("all photos") && lines[9] == "8 epochs, 80 steps, batch size 32");
    }
}
