//! The computer under the boat's program: how hot it is, and how much room its disk has.

mod disk;
mod thermal;

pub use disk::{DiskHealth, DiskLimits};
pub use thermal::{Temperature, ThermalLimits};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How far something has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    #[default]
    Good,
    /// Somebody should look at it.
    Warning,
    /// It costs sightings, or soon will.
    Fault,
}

/// What health says of the computer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineHealth {
    /// Each sensor.
    pub temperatures: Vec<Temperature>,
    /// The disk with the outbox; null where it cannot be asked.
    pub disk: Option<DiskHealth>,
}

/// Looks at the computer, and tells the log when something changes.
pub struct MachineWatch {
    sensors: PathBuf,
    outbox: PathBuf,
    thermal: ThermalLimits,
    disk: DiskLimits,
    told: (Level, Level),
}

impl MachineWatch {
    /// Reads the sensors in the folder `sensors`, which is `/sys/class/thermal`, and the disk that holds the folder `outbox`.
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
            told: (Level::Good, Level::Good),
        }
    }

    /// How it is now.
    pub fn look(&mut self) -> MachineHealth {
        let health = MachineHealth {
            temperatures: thermal::read(&self.sensors, self.thermal),
            disk: disk::read(&self.outbox, self.disk),
        };
        let hottest = hottest(&health.temperatures);
        let heat = hottest.map_or(Level::Good, |t| t.level);
        let room = health.disk.map_or(Level::Good, |d| d.level);
        if heat != self.told.0 {
            let words = hottest.map(ToString::to_string).unwrap_or_default();
            match heat {
                Level::Good => tracing::info!("the computer has cooled down: {words}"),
                Level::Warning => tracing::warn!("the computer is warm: {words}"),
                Level::Fault => tracing::error!(
                    "the computer is hot and will slow down or stop: {words}. Give it shade and air"
                ),
            }
        }
        if room != self.told.1 {
            let words = health.disk.map(|d| d.to_string()).unwrap_or_default();
            match room {
                Level::Good => tracing::info!("the outbox's disk has room again: {words}"),
                Level::Warning => tracing::warn!("the outbox's disk is filling up: {words}"),
                Level::Fault => tracing::error!(
                    "the outbox's disk is nearly full: {words}. Free some of it or let the boat reach shore"
                ),
            }
        }
        self.told = (heat, room);
        health
    }
}

/// The hottest of them.
pub fn hottest(temperatures: &[Temperature]) -> Option<&Temperature> {
    temperatures
        .iter()
        .max_by(|a, b| a.celsius.total_cmp(&b.celsius))
}
