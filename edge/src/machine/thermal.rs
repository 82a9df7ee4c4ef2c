//! Temperatures from the kernel's thermal zones.

use flukewatch_common::severity::Severity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Temperatures from which a sensor is reported, in degrees Celsius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThermalLimits {
    /// Temperature from which there is a warning.
    pub warm: f64,
    /// Temperature from which a sensor is critical.
    pub hot: f64,
}

/// A reading of one sensor, rated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// Its name, e.g. `cpu-thermal`; a second sensor of the same name has its number appended.
    pub sensor: String,
    /// Temperature in degrees Celsius.
    pub celsius: f64,
    /// How serious that is.
    pub severity: Severity,
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.0} °C", self.sensor, self.celsius)
    }
}

/// Plausible temperatures: a switched-off sensor gives -256 °C.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = -60.0..=200.0;
/// The most sensors that are read.
const MAX_SENSORS: usize = 64;

/// Reads the sensors in `folder`, ordered by their number. Sensors that cannot be read are skipped.
pub(super) fn read(folder: &Path, limits: ThermalLimits) -> Vec<Temperature> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut zones: Vec<(u32, std::path::PathBuf)> = entries
        .filter_map(|e| {
            let number = e
                .file_name()
                .to_str()?
                .strip_prefix("thermal_zone")?
                .parse();
            Some((number.ok()?, e.path()))
        })
        .collect();
    zones.sort_unstable();
    zones.truncate(MAX_SENSORS);
    let mut all: Vec<Temperature> = vec![];
    for (number, zone) in zones {
        let text = |file: &str| std::fs::read_to_string(zone.join(file)).unwrap_or_default();
        let Ok(thousandths) = text("temp").trim().parse::<f64>() else {
            continue;
        };
        let celsius = thousandths / 1000.0;
        if !PLAUSIBLE.contains(&celsius) {
            continue;
        }
        let kind = text("type");
        let kind = match kind.trim() {
            "" => "thermal",
            kind => kind,
        };
        let taken = all.iter().any(|t| t.sensor == kind);
        all.push(Temperature {
            sensor: if taken {
                format!("{kind}-{number}")
            } else {
                kind.to_owned()
            },
            celsius,
            severity: severity(celsius, limits),
        });
    }
    all
}

fn severity(celsius: f64, limits: ThermalLimits) -> Severity {
    if celsius >= limits.hot {
        Severity::Critical
    } else if celsius >= limits.warm {
        Severity::Warning
    } else {
        Severity::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ThermalLimits = ThermalLimits {
        warm: 80.0,
        hot: 95.0,
    };

    fn sensor(folder: &Path, number: u32, kind: &str, temp: &str) {
        let zone = folder.join(format!("thermal_zone{number}"));
        std::fs::create_dir(&zone).unwrap();
        std::fs::write(zone.join("type"), kind).unwrap();
        std::fs::write(zone.join("temp"), temp).unwrap();
    }

    #[test]
    fn sensors_are_read_by_number_and_rated() {
        let folder = tempfile::tempdir().unwrap();
        sensor(folder.path(), 10, "gpu-thermal\n", "80000\n");
        sensor(folder.path(), 2, "cpu-thermal\n", "54250\n");
        sensor(folder.path(), 3, "cpu-thermal\n", "95100\n");
        std::fs::create_dir(folder.path().join("cooling_device0")).unwrap();
        let read_sensors: Vec<_> = read(folder.path(), LIMITS)
            .into_iter()
            .map(|t| (t.to_string(), t.severity))
            .collect();
        let expected = [
            ("cpu-thermal: 54 °C", Severity::Ok),
            ("cpu-thermal-3: 95 °C", Severity::Critical),
            ("gpu-thermal: 80 °C", Severity::Warning),
        ];
        assert_eq!(
            read_sensors,
            expected.map(|(text, severity)| (text.into(), severity))
        );
    }

    #[test]
    fn implausible_readings_are_skipped() {
        let folder = tempfile::tempdir().unwrap();
        for (number, temp) in ["-256000", "", "warm", "nan", "1e300", "inf"]
            .iter()
            .enumerate()
        {
            sensor(folder.path(), number as u32, "odd", temp);
        }
        sensor(folder.path(), 9, "", "20000");
        let read_sensors = read(folder.path(), LIMITS);
        assert_eq!(read_sensors.len(), 1, "{read_sensors:?}");
        assert_eq!(read_sensors[0].sensor, "thermal");
        assert!(read(Path::new("/no/such/folder"), LIMITS).is_empty());
    }
}
