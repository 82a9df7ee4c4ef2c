//! One setting.

use super::key::SettingKey;
use crate::link_class::LinkClass;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The value of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SettingValue {
    /// A number.
    Number(f64),
    /// A class of links.
    Link(LinkClass),
}

/// A setting whose value is valid for its key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    key: SettingKey,
    value: SettingValue,
}

/// A setting that a boat does not accept.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InvalidSetting {
    /// The text has another form.
    #[error("'{0}': expected KEY=VALUE")]
    Form(String),
    /// The key cannot be set from shore.
    #[error("'{0}' cannot be set from shore; expected one of {keys}", keys = SettingKey::ALL.map(SettingKey::as_str).join(", "))]
    Unknown(String),
    /// The key is known to a newer program only.
    #[error("setting {0} is unknown to this version of the program: update it")]
    Newer(u8),
    /// The key is there twice.
    #[error("{key}: set twice", key = .0.as_str())]
    Repeated(SettingKey),
    /// The number is out of range.
    #[error("{key}: must be {expected}, not {number}", key = .0.as_str(), expected = .0.expected(), number = .1)]
    Range(SettingKey, f64),
    /// The number is not whole.
    #[error("{key}: must be a whole number, not {number}", key = .0.as_str(), number = .1)]
    NotWhole(SettingKey, f64),
    /// The value is of another kind.
    #[error("{key}: expected {expected}, not '{text}'", key = .0.as_str(), expected = .0.expected(), text = .1)]
    Value(SettingKey, String),
}

impl SettingKey {
    /// Checks a number for this key: the boat's configuration and what comes from shore alike.
    ///
    /// # Errors
    /// When it is out of range; NaN is.
    pub fn check_number(self, number: f64) -> Result<(), InvalidSetting> {
        let fits = self.range().is_some_and(|(low, high)| {
            (low..=high).contains(&number) || (self.permits_zero() && number == 0.0)
        });
        if !fits {
            return Err(InvalidSetting::Range(self, number));
        }
        if self.is_whole() && number.fract() != 0.0 {
            return Err(InvalidSetting::NotWhole(self, number));
        }
        Ok(())
    }
}

impl Setting {
    /// A setting.
    ///
    /// # Errors
    /// When the value is out of the key's range.
    pub fn new(key: SettingKey, value: SettingValue) -> Result<Self, InvalidSetting> {
        match value {
            SettingValue::Link(_) if key == SettingKey::Link => {}
            SettingValue::Number(number) if key != SettingKey::Link => key.check_number(number)?,
            value => return Err(InvalidSetting::Value(key, value.to_string())),
        }
        Ok(Self { key, value })
    }

    /// Its key.
    pub fn key(&self) -> SettingKey {
        self.key
    }

    /// Its value.
    pub fn value(&self) -> SettingValue {
        self.value
    }
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Link(class) => class.fmt(f),
        }
    }
}

/// `KEY=VALUE`, as [`Setting::from_str`] reads it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key.as_str(), self.value)
    }
}

impl FromStr for Setting {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| InvalidSetting::Form(text.to_owned()))?;
        let name = name.trim();
        let key =
            SettingKey::parse(name).ok_or_else(|| InvalidSetting::Unknown(name.to_owned()))?;
        let value = value.trim();
        let parsed = if key == SettingKey::Link {
            LinkClass::parse(value).map(SettingValue::Link)
        } else {
            value.parse().ok().map(SettingValue::Number)
        };
        let parsed = parsed.ok_or_else(|| InvalidSetting::Value(key, value.to_owned()))?;
        Self::new(key, parsed)
    }
}
