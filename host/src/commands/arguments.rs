//! Parsers for options that several commands have.

use clap::Args;
use flukewatch_train::trainer::device_choice::DeviceChoice;
use std::path::Path;

/// Where a training runs.
#[derive(Args, Debug)]
pub(super) struct DeviceArgs {
    /// Where to train: auto (the first CUDA device, else the CPU), cpu, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    /// Same as --device cpu
    #[arg(long, conflicts_with = "device")]
    cpu: bool,
}

#[cfg(feature = "train")]
impl DeviceArgs {
    pub(super) fn choice(&self) -> DeviceChoice {
        if self.cpu {
            DeviceChoice::Cpu
        } else {
            self.device
        }
    }
}

pub(super) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("expected a fraction in [0, 1], e.g. 0.05".into()),
    }
}

/// The name of a file or folder without its extension, as a default for names.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_is_between_0_and_1() {
        assert_eq!(fraction("0.05"), Ok(0.05));
        for bad in ["-0.1", "1.01", "5%", "NaN", ""] {
            assert!(fraction(bad).is_err(), "{bad}");
        }
    }
}
