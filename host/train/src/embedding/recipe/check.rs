//! Checks of a recipe's values.

use super::{DividedBatches, OptimiserSettings, Recipe, SamplerSettings, ScheduleSettings, Stage};
use crate::about::{InvalidSetting, require, require_that};

impl Recipe {
    /// Checks all values, also against each other.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let epochs = self.epochs();
        require_that(!self.stages.is_empty(), "stages", "[]", "one stage or more")?;
        self.stages.iter().try_for_each(Stage::check)?;
        let within = |key: &str, value: usize, range: std::ops::RangeInclusive<usize>| {
            let expected = format!("{} to {}", range.start(), range.end());
            require_that(range.contains(&value), key, value, &expected)
        };
        within("batch_size", self.batch_size, 2..=4096)?;
        within("accumulate_steps", self.accumulate_steps, 1..=1024)?;
        within("head.dimension", self.head.dimension, 8..=4096)?;
        require(
            (0.0..1.0).contains(&self.head.dropout),
            "head.dropout",
            "at least 0 and less than 1",
            self.head.dropout,
        )?;
        require(
            (0.0..=1.0).contains(&self.padding),
            "padding",
            "0 to 1",
            self.padding.into(),
        )?;
        self.optimiser.check()?;
        self.augmentation.check()?;
        require_that(
            self.augmentation.flip == 0.0 || !self.mirror_as_new_identity,
            "augmentation.flip",
            self.augmentation.flip,
            "0, or mirror_as_new_identity = false: a mirrored fluke is either the same whale or another",
        )?;
        self.divide.check(self.head.dimension, epochs)?;
        self.average.check(epochs)?;
        require_that(
            self.qat_epochs <= epochs,
            "qat_epochs",
            self.qat_epochs,
            &format!("at most the {epochs} epochs of the run"),
        )?;
        require_that(
            self.patience == 0 || self.validation_identities > 0,
            "patience",
            self.patience,
            "0, or validation_identities of 1 or more",
        )?;
        within("threads", self.threads, 0..=4096)?;
        within("workers", self.workers, 1..=64)?;
        require(
            (0.0..=1e6).contains(&self.save_minutes),
            "save_minutes",
            "0 to 1e6",
            self.save_minutes,
        )?;
        self.check_pairs()
    }

    /// Checks sampler, loss and division against each other.
    fn check_pairs(&self) -> Result<(), InvalidSetting> {
        if let SamplerSettings::Pk {
            photos_per_identity: k,
        } = self.sampler
        {
            require_that(
                k >= 2 && self.batch_size.is_multiple_of(k),
                "sampler.photos_per_identity",
                k,
                &format!("2 or more, a divisor of batch_size ({})", self.batch_size),
            )?;
        }
        self.loss.check()?;
        let kind = self.loss.about().kind;
        require_that(
            !self.loss.needs_pairs() || matches!(self.sampler, SamplerSettings::Pk { .. }),
            "sampler.kind",
            "\"shuffled\"",
            &format!("sampler.kind = \"pk\": the {kind} loss compares pairs"),
        )?;
        let mixed = self.divide.learners > 1 && self.divide.batches == DividedBatches::Mixed;
        require_that(
            !(mixed && self.loss.needs_pairs()),
            "divide.batches",
            "\"mixed\"",
            &format!(
                "\"one-cluster\": the {kind} loss compares pairs, which mixed batches tear apart"
            ),
        )
    }
}

impl Stage {
    fn check(&self) -> Result<(), InvalidSetting> {
        require_that(
            (1..=1_000_000).contains(&self.epochs),
            "stages.epochs",
            self.epochs,
            "1 to 1000000",
        )?;
        for (key, side) in [("stages.height", self.height), ("stages.width", self.width)] {
            require_that(
                side.is_multiple_of(32) && (32..=1024).contains(&side),
                key,
                side,
                "one of the multiples of 32 from 32 to 1024",
            )?;
        }
        Ok(())
    }
}

impl OptimiserSettings {
    fn check(&self) -> Result<(), InvalidSetting> {
        for (key, value) in [
            ("optimiser.backbone_lr", self.backbone_lr),
            ("optimiser.head_lr", self.head_lr),
            ("optimiser.loss_lr", self.loss_lr),
        ] {
            require(value >= 0.0, key, "0 or more", value)?;
        }
        require(
            (0.0..1.0).contains(&self.momentum),
            "optimiser.momentum",
            "at least 0 and less than 1",
            self.momentum,
        )?;
        if let ScheduleSettings::Step {
            every_epochs,
            factor,
        } = self.schedule
        {
            require_that(
                every_epochs > 0,
                "optimiser.schedule.every_epochs",
                every_epochs,
                "1 or more",
            )?;
            require(
                factor > 0.0 && factor <= 1.0,
                "optimiser.schedule.factor",
                "more than 0 and at most 1",
                factor,
            )?;
        }
        require(
            self.max_grad_norm >= 0.0,
            "optimiser.max_grad_norm",
            "0 or more",
            self.max_grad_norm,
        )?;
        require(
            (0.0..=1.0).contains(&self.weight_decay),
            "optimiser.weight_decay",
            "0 to 1",
            self.weight_decay,
        )?;
        require(
            (0.0..1.0).contains(&self.warm_up_fraction),
            "optimiser.warm_up_fraction",
            "at least 0 and less than 1",
            self.warm_up_fraction,
        )
    }
}
