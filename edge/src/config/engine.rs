//! `[engine]`

use super::checks::Checks;
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_inference::engine::tensorrt::{PlanOptions, SHIM_FOLDER, TensorRtConfig};
use serde::Deserialize;
use std::path::PathBuf;

/// The inference engine's settings, section `[engine]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSection {
    /// The backend that runs the embedding network and the detector.
    pub backend: EngineChoice,
    /// Number of threads that tract uses for each of them.
    pub threads: usize,
    /// The folder of TensorRT's shims.
    pub shims: PathBuf,
    /// The folder of TensorRT's plans; created where it is missing.
    pub plans: PathBuf,
    /// Whether layers that are not int8 may run in 16 bits.
    pub fp16: bool,
    /// TensorRT's workspace for building plans, in megabytes of 1,000,000 bytes.
    pub workspace_megabytes: u64,
}

impl Default for EngineSection {
    fn default() -> Self {
        Self {
            backend: EngineChoice::Auto,
            threads: 1,
            shims: SHIM_FOLDER.into(),
            plans: "plans".into(),
            fp16: false,
            workspace_megabytes: 512,
        }
    }
}

impl EngineSection {
    /// Where TensorRT is, and how it builds plans.
    pub fn tensorrt(&self) -> TensorRtConfig {
        TensorRtConfig {
            shims: self.shims.clone(),
            plans: self.plans.clone(),
            options: PlanOptions {
                fp16: self.fp16,
                workspace_bytes: self.workspace_megabytes.saturating_mul(1_000_000),
            },
        }
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        checks.range("threads", self.threads as f64, 1.0, 64.0);
        let workspace = self.workspace_megabytes as f64;
        checks.range("workspace_megabytes", workspace, 16.0, 1e5);
    }
}
