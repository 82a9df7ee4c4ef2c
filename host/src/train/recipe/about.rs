//! What a recipe's choice is, in words: beside its settings, so that `flukewatch losses` can say it without libtorch.

/// A kind of loss or miner.
#[derive(Debug, PartialEq)]
pub struct About {
    /// As the recipe names it.
    pub kind: &'static str,
    /// What it computes, in one line.
    pub formula: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// Each setting and what it is. Defaults are not repeated here: they are read from the default value itself.
    pub settings: &'static [(&'static str, &'static str)],
}

/// `value` must be finite and `good`; else a line for people that says the `range`.
pub(super) fn need(good: bool, name: &str, range: &str, value: f64) -> Result<(), String> {
    if good && value.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} must be {range}, not {value}"))
    }
}

/// A factor of a logit: beyond a thousand, single precision has nothing left to tell apart.
pub(super) fn need_scale(name: &str, value: f64) -> Result<(), String> {
    need(
        value > 0.0 && value <= 1000.0,
        name,
        "more than 0 and at most 1000",
        value,
    )
}
