//! Temperatures, as the kernel gives them.

use super::Level;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// From when on it is too warm, in degrees Celsius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThermalLimits {
    /// A warning.
    pub warm: f64,
    /// A fault.
    pub hot: f64,
}

/// What a sensor says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Temperature {
    /// Its name, as `cpu-thermal`; sensors of the same name have a number behind it.
    pub sensor: String,
    /// Degrees Celsius.
    pub celsius: f64,
    /// Whether that is too warm.
    pub level: Level,
}

impl fmt::Display for Temperature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} °C at {}", self.celsius, self.sensor)
    }
}

/// Of what is beyond, a sensor says nothing true: a switched-off one gives -256 °C.
const BELIEVED: std::ops::RangeInclusive<f64> = -60.0..=200.0;
/// No computer has more sensors.
const MOST: usize = 64;

/// The sensors in `folder`, in the order of their folders; none where it cannot be read. A sensor that fails is left out.
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
    zones.truncate(MOST);
    let mut all: Vec<Temperature> = vec![];
    for (number, zone) in zones {
        let text = |file: &str| std::fs::read_to_string(zone.join(file)).unwrap_or_default();
        let Ok(thousandths) = text("temp").trim().parse::<f64>() else {
            continue;
        };
        let celsius = thousandths / 1000.0;
        if !BELIEVED.contains(&celsius) {
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
            level: level(celsius, limits),
        });
    }
    all
}

fn level(celsius: f64, limits: ThermalLimits) -> Level {
    if celsius >= limits.hot {
        Level::Fault
    } else if celsius >= limits.warm {
        Level::Warning
    } else {
        Level::Good
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
    fn sensors_are_read_by_number_and_judged() {
        let folder = tempfile::tempdir().unwrap();
        sensor(folder.path(), 10, "gpu-thermal\n", "80000\n");
        sensor(folder.path(), 2, "cpu-thermal\n", "54250\n");
        sensor(folder.path(), 3, "cpu-thermal\n", "95100\n");
        std::fs::create_dir(folder.path().join("cooling_device0")).unwrap();
        let said: Vec<_> = read(folder.path(), LIMITS)
            .into_iter()
            .map(|t| (t.to_string(), t.level))
            .collect();
        let expected = [
            ("54 °C at cpu-thermal", Level::Good),
            ("95 °C at cpu-thermal-3", Level::Fault),
            ("80 °C at gpu-thermal", Level::Warning),
        ];
        assert_eq!(said, expected.map(|(words, level)| (words.into(), level)));
    }

    #[test]
    fn what_a_sensor_cannot_mean_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for (number, temp) in ["-256000", "", "warm", "nan", "1e300", "inf"]
            .iter()
            .enumerate()
        {
            sensor(folder.path(), number as u32, "odd", temp);
        }
        sensor(folder.path(), 9, "", "20000");
        let said = read(folder.path(), LIMITS);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].sensor, "thermal");
        assert!(read(Path::new("/no/such/folder"), LIMITS).is_empty());
    }
}
