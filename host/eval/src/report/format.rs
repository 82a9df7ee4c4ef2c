//! Numbers as text.

use crate::metrics::bootstrap::Interval;

const NOT_A_NUMBER: &str = "–";

/// A number with three decimals.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.3}")
    } else {
        NOT_A_NUMBER.into()
    }
}

/// A fraction in percent.
pub(super) fn percent(fraction: f64) -> String {
    if fraction.is_finite() {
        format!("{:.1} %", fraction * 100.0)
    } else {
        NOT_A_NUMBER.into()
    }
}

/// An interval in parentheses; empty without one.
pub(super) fn interval(interval: Option<Interval>) -> String {
    interval
        .map(|i| format!("({:.3} – {:.3})", i.low, i.high))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_numbers_are_dashes() {
        assert_eq!(
            (number(f64::NAN), number(0.5), percent(0.123)),
            ("–".into(), "0.500".into(), "12.3 %".into())
        );
    }
}
