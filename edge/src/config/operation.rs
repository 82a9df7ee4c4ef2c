//! `[log]`, `[page]`, `[archive]` and `[machine]`: how the boat is looked after.

use super::{Fault, range, within};
use crate::machine::{DiskLimits, ThermalLimits};
use crate::outbox::ArchiveLimits;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How much the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// What costs sightings.
    Error,
    /// And what somebody should look at.
    Warn,
    /// And each sighting.
    Info,
    /// And each message that is sent.
    Debug,
    /// And more than anybody wants to read.
    Trace,
}

impl LogLevel {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For the journal where it reads them, text otherwise.
    Auto,
    /// With time and level.
    Text,
    /// Without a time, and with the level as the journal wants it.
    Journal,
    /// An object of JSON each.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// How much.
    pub level: LogLevel,
    /// How it looks.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            format: LogFormat::Auto,
        }
    }
}

/// `[page]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageSection {
    /// Where the boat's page is served, as `127.0.0.1:8090`; empty for nowhere.
    pub listen: String,
}

impl PageSection {
    /// The address; `None` where there is to be no page.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }
}

/// `[archive]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArchiveSection {
    /// For how many days sightings stay on board that shore has receipted; 0 for none.
    pub days: f64,
    /// How much they may take, in megabytes of 1,000,000 bytes.
    pub max_megabytes: u64,
}

impl Default for ArchiveSection {
    fn default() -> Self {
        Self {
            days: 30.0,
            max_megabytes: 500,
        }
    }
}

impl ArchiveSection {
    /// What may be kept; `None` where nothing is to be.
    pub fn limits(&self) -> Option<ArchiveLimits> {
        (self.days > 0.0 && self.max_megabytes > 0).then(|| ArchiveLimits {
            longest: Duration::from_secs_f64(self.days * 86_400.0),
            max_bytes: self.max_megabytes.saturating_mul(1_000_000),
        })
    }
}

/// `[machine]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MachineSection {
    /// The folder with the kernel's temperatures.
    pub sensors: PathBuf,
    /// From so many degrees Celsius on the computer is warm.
    pub warm_celsius: f64,
    /// And from so many on hot.
    pub hot_celsius: f64,
    /// With less room than so many megabytes the outbox's disk is filling up.
    pub low_megabytes: u64,
    /// And with less than so many nearly full.
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
    /// The limits of temperatures.
    pub fn thermal(&self) -> ThermalLimits {
        ThermalLimits {
            warm: self.warm_celsius,
            hot: self.hot_celsius,
        }
    }

    /// The limits of the disk.
    pub fn disk(&self) -> DiskLimits {
        DiskLimits {
            low: self.low_megabytes.saturating_mul(1_000_000),
            critical: self.critical_megabytes.saturating_mul(1_000_000),
        }
    }
}

/// What makes no sense in them.
pub(super) fn faults(
    page: &PageSection,
    archive: &ArchiveSection,
    machine: &MachineSection,
) -> Vec<Fault> {
    let mut faults = vec![];
    if !page.listen.is_empty() && page.address().is_none() {
        faults.push(Fault::of(
            "page.listen",
            format!(
                "must be an address and a port, as 127.0.0.1:8090 or 0.0.0.0:8090, or empty, not '{}'",
                page.listen.chars().take(64).collect::<String>()
            ),
        ));
    }
    for (key, value, low, high) in [
        ("archive.days", archive.days, 0.0, 3650.0),
        (
            "archive.max_megabytes",
            archive.max_megabytes as f64,
            0.0,
            1e6,
        ),
        ("machine.warm_celsius", machine.warm_celsius, 0.0, 150.0),
        (
            "machine.hot_celsius",
            machine.hot_celsius,
            machine.warm_celsius,
            150.0,
        ),
        (
            "machine.low_megabytes",
            machine.low_megabytes as f64,
            0.0,
            1e9,
        ),
        (
            "machine.critical_megabytes",
            machine.critical_megabytes as f64,
            0.0,
            machine.low_megabytes as f64,
        ),
    ] {
        if !within(value, low, high) {
            faults.push(Fault::of(key, range(value, low, high)));
        }
    }
    faults
}
