//! Formats durations and counts.

use std::time::Duration;

/// Formats a duration, e.g. `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn format_duration(d: Duration) -> String {
    let seconds = d.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", d.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let written = |ms| format_duration(Duration::from_millis(ms));
        assert_eq!(written(0), "0.0 s");
        assert_eq!(written(449), "0.4 s");
        assert_eq!(written(12_900), "12 s");
        assert_eq!(written(185_000), "3 min 05 s");
    }
}
