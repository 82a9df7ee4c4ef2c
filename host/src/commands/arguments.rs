//! Parsers for options that several commands have.

use std::path::Path;

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
