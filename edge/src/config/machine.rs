//! `[machine]`

use super::checks::Checks;
use crate::machine::{DiskLimits, ThermalLimits};
use serde::Deserialize;
use std::path::PathBuf;

/// Thresholds for temperature and disk space, section `[machine]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineSection {
    /// The folder of the kernel's thermal zones.
    pub sensors: PathBuf,
    /// Temperature from which there is a warning.
    pub warm_celsius: f64,
    /// Temperature from which it is critical.
    pub hot_celsius: f64,
    /// Free space on the outbox's disk below which there is a warning.
    pub low_megabytes: u64,
    /// Free space below which it is critical.
    pub critical_megabytes: u64,
}

impl Default for MachineSection {
    fn default() -> Self {
        Self {
            sensors: "/sys/class/thermal".into(),
            warm_celsius: 80.0,
            hot_celsius: 95.0,
            low_megabytes: 1000,
            critical_megabytes: 200,
        }
    }
}

impl MachineSection {
    /// The temperatures of a warning and of a critical state.
    pub fn thermal(&self) -> ThermalLimits {
        ThermalLimits {
            warm: self.warm_celsius,
            hot: self.hot_celsius,
        }
    }

    /// The free space of a warning and of a critical state, in bytes.
    pub fn disk(&self) -> DiskLimits {
        DiskLimits {
            low: self.low_megabytes.saturating_mul(1_000_000),
            critical: self.critical_megabytes.saturating_mul(1_000_000),
        }
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        let (low, critical) = (self.low_megabytes as f64, self.critical_megabytes as f64);
        checks.range("warm_celsius", self.warm_celsius, 0.0, 150.0);
        checks.range("hot_celsius", self.hot_celsius, self.warm_celsius, 150.0);
        checks.range("low_megabytes", low, 0.0, 1e9);
        checks.range("critical_megabytes", critical, 0.0, low);
    }
}
