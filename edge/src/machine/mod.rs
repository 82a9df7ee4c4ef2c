//! The computer: its temperatures and the free space on its disk.

mod disk;
mod thermal;

pub use disk::{DiskHealth, DiskLimits};
pub use flukewatch_common::severity::Severity;
pub use thermal::{Temperature, ThermalLimits};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The computer's part of the health document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineHealth {
    /// Readings of all sensors, by number.
    pub temperatures: Vec<Temperature>,
    /// The disk that holds the outbox; null where it cannot be read.
    pub disk: Option<DiskHealth>,
}

/// Measures the computer, and logs each change of severity.
pub struct MachineMonitor {
    sensors: PathBuf,
    outbox: PathBuf,
    thermal: ThermalLimits,
    disk: DiskLimits,
    logged: (Severity, Severity),
}

impl MachineMonitor {
    /// Reads the sensors in the folder `sensors`, usually `/sys/class/thermal`, and the disk that
    /// holds the folder `outbox`.
    pub fn new(
        sensors: PathBuf,
        outbox: PathBuf,
        thermal: ThermalLimits,
        disk: DiskLimits,
    ) -> Self {
        Self {
            sensors,
            outbox,
            thermal,
            disk,
            logged: (Severity::Ok, Severity::Ok),
        }
    }

    /// Reads sensors and disk, and logs changes of severity.
    pub fn measure(&mut self) -> MachineHealth {
        let health = MachineHealth {
            temperatures: thermal::read(&self.sensors, self.thermal),
            disk: disk::read(&self.outbox, self.disk),
        };
        let hottest = hottest(&health.temperatures);
        let heat = hottest.map_or(Severity::Ok, |t| t.severity);
        let space = health.disk.map_or(Severity::Ok, |d| d.severity);
        if heat != self.logged.0 {
            let hottest = hottest.map(ToString::to_string).unwrap_or_default();
            match heat {
                Severity::Ok => tracing::info!(hottest, "computer temperature normal"),
                Severity::Warning => tracing::warn!(hottest, "computer warm"),
                Severity::Critical => tracing::error!(hottest, "computer overheating"),
            }
        }
        if space != self.logged.1 {
            let disk = health.disk.map(|d| d.to_string()).unwrap_or_default();
            match space {
                Severity::Ok => tracing::info!(disk, "disk space normal"),
                Severity::Warning => tracing::warn!(disk, "disk space low"),
                Severity::Critical => tracing::error!(disk, "disk nearly full"),
            }
        }
        self.logged = (heat, space);
        health
    }
}

/// The highest reading; `None` without sensors.
pub fn hottest(temperatures: &[Temperature]) -> Option<&Temperature> {
    temperatures
        .iter()
        .max_by(|a, b| a.celsius.total_cmp(&b.celsius))
}
