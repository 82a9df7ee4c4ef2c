//! `[levels]`

use super::checks::Checks;
use crate::levels::Levels;

/// Checks the section `[levels]`.
pub(super) fn check(levels: &Levels, checks: &mut Checks<'_>) {
    const DAY: f64 = 86_400.0;
    for (key, value, low, high) in [
        ("blind_seconds", levels.blind_seconds, 1.0, DAY),
        ("searched_fraction", levels.searched_fraction, 0.0, 1.0),
        (
            "detector_milliseconds",
            levels.detector_milliseconds,
            1.0,
            1e6,
        ),
        ("frozen_seconds", levels.frozen_seconds, 5.0, DAY),
        ("dark_seconds", levels.dark_seconds, 5.0, 30.0 * DAY),
        ("blurred_seconds", levels.blurred_seconds, 5.0, 30.0 * DAY),
        ("blurred_fraction", levels.blurred_fraction, 0.0, 1.0),
        ("busy_seconds", levels.busy_seconds, 1.0, DAY),
        ("pending_days", levels.pending_days, 0.0, 36_500.0),
    ] {
        checks.range(key, value, low, high);
    }
}
