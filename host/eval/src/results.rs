//! The results of an evaluation, and the protocols that it runs.

use crate::compare::Comparison;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::metrics::bootstrap::Bootstrap;
use crate::protocols::encounter::{self, EncounterResult};
use crate::protocols::error::ProtocolError;
use crate::protocols::open_set::{self, OpenSetOptions, OpenSetResult};
use crate::protocols::retrieval::{self, RetrievalResult};
use crate::protocols::time::{self, TimeResult};
use crate::training_overlap::TrainingOverlap;
use flukewatch_common::decision::DecisionRule;
use serde::Serialize;

/// A protocol of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// See [`retrieval`].
    Retrieval,
    /// See [`open_set`].
    OpenSet,
    /// See [`time`].
    Time,
    /// See [`encounter`].
    Encounter,
}

impl Protocol {
    /// Every protocol, in the order in which they are run.
    pub const ALL: [Self; 4] = [Self::Retrieval, Self::OpenSet, Self::Time, Self::Encounter];
}

/// Settings of the protocols.
#[derive(Clone, Debug)]
pub struct EvaluationOptions {
    /// Settings of the bootstrap intervals.
    pub bootstrap: Bootstrap,
    /// Number of open-set trials.
    pub trials: usize,
    /// Seed of trials and of clusters.
    pub seed: u64,
    /// Whether to compute NMI.
    pub nmi: bool,
    /// The bundle's decision rule, if there is a bundle.
    pub rule: Option<DecisionRule>,
}

/// Results of the protocols that were run.
#[derive(Debug, Default, Serialize)]
pub struct EvaluationResults {
    /// Results of [`Protocol::Retrieval`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<RetrievalResult>,
    /// Results of [`Protocol::OpenSet`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_set: Option<OpenSetResult>,
    /// Results of [`Protocol::Time`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeResult>,
    /// Results of [`Protocol::Encounter`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encounter: Option<EncounterResult>,
    /// What the model was trained on of the photos; `None` if the bundle does not say so.
    pub training_overlap: Option<TrainingOverlap>,
    /// Comparison with another bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
}

impl EvaluationResults {
    /// Runs a protocol and adds its results.
    ///
    /// # Errors
    /// If the photos lack what the protocol needs.
    pub fn run(
        &mut self,
        protocol: Protocol,
        photos: &LabelledEmbeddings,
        options: &EvaluationOptions,
    ) -> Result<(), ProtocolError> {
        let bootstrap = &options.bootstrap;
        match protocol {
            Protocol::Retrieval => {
                let nmi_seed = options.nmi.then_some(options.seed);
                self.retrieval = Some(retrieval::measure(photos, bootstrap, nmi_seed)?);
            }
            Protocol::OpenSet => {
                let options = OpenSetOptions {
                    trials: options.trials,
                    seed: options.seed,
                    rule: options.rule.clone(),
                };
                self.open_set = Some(open_set::measure(photos, &options, bootstrap)?);
            }
            Protocol::Time => self.time = Some(time::measure(photos, bootstrap)?),
            Protocol::Encounter => self.encounter = Some(encounter::measure(photos, bootstrap)?),
        }
        Ok(())
    }
}
