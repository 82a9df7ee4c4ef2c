//! Collects the faults of a section.

use super::fault::Fault;
use flukewatch_common::boat_settings::SettingKey;

/// Checks the keys of one section.
pub(super) struct Checks<'a> {
    section: &'a str,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Checks<'a> {
    /// Faults of `section`, e.g. `camera[2]`, are added to `faults`.
    pub(super) fn new(section: &'a str, faults: &'a mut Vec<Fault>) -> Self {
        Self { section, faults }
    }

    /// Adds a fault of `key`.
    pub(super) fn fault(&mut self, key: &str, problem: impl Into<String>) {
        let key = format!("{}.{key}", self.section);
        self.faults.push(Fault::of(&key, problem));
    }

    /// Adds a fault of the section as a whole: the key is not in the file.
    pub(super) fn section_fault(&mut self, problem: impl Into<String>) {
        self.faults.push(Fault::of(self.section, problem));
    }

    /// Checks that `value` is `low` to `high`; NaN is not.
    pub(super) fn range(&mut self, key: &str, value: f64, low: f64, high: f64) {
        if !(low..=high).contains(&value) {
            self.fault(key, format!("must be {low} to {high}, not {value}"));
        }
    }

    /// Checks the value of a key that can also be set from shore, by the same rule.
    pub(super) fn setting(&mut self, key: SettingKey, value: f64) {
        if let Err(invalid) = key.check_number(value) {
            // The fault names the key.
            let text = invalid.to_string();
            let problem = text.split_once(": ").map_or(&*text, |(_, problem)| problem);
            self.faults.push(Fault::of(key.as_str(), problem));
        }
    }

    /// Checks that `value` can be parsed.
    pub(super) fn parses<T, E: std::fmt::Display>(&mut self, key: &str, value: Result<T, E>) {
        if let Err(e) = value {
            self.fault(key, e.to_string());
        }
    }
}
