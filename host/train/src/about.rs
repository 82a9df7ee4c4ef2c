//! Settings that describe themselves, so that `flukewatch losses` can list them without libtorch, and
//! checks of their values.

use std::fmt;

/// A kind of loss or miner.
#[derive(Debug, PartialEq)]
pub struct About {
    /// The kind's name in recipes.
    pub kind: &'static str,
    /// What it computes, in one line.
    pub formula: &'static str,
    /// The publication that introduced it.
    pub source: &'static str,
    /// Name and meaning of each setting. Defaults are read from the default value instead.
    pub settings: &'static [(&'static str, &'static str)],
}

/// A setting with an invalid value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSetting {
    /// Its name, with dots within a recipe.
    pub key: String,
    /// Its value.
    pub value: String,
    /// What is expected instead.
    pub expected: String,
}

impl InvalidSetting {
    pub(crate) fn new(key: &str, value: impl fmt::Display, expected: &str) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_string(),
            expected: expected.to_owned(),
        }
    }

    /// The setting as part of a table.
    pub(crate) fn of(mut self, table: &str) -> Self {
        self.key = format!("{table}.{}", self.key);
        self
    }
}

impl fmt::Display for InvalidSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            value,
            expected,
        } = self;
        write!(f, "{key} = {value}: expected {expected}")
    }
}

/// Checks that `value` is finite and `valid`; the error states what is `expected`.
pub(crate) fn require(
    valid: bool,
    key: &str,
    expected: &str,
    value: f64,
) -> Result<(), InvalidSetting> {
    require_that(valid && value.is_finite(), key, value, expected)
}

/// Checks that the `value` of a setting is `valid`.
pub(crate) fn require_that(
    valid: bool,
    key: &str,
    value: impl fmt::Display,
    expected: &str,
) -> Result<(), InvalidSetting> {
    if valid {
        Ok(())
    } else {
        Err(InvalidSetting::new(key, value, expected))
    }
}

/// Checks a factor of logits. Beyond a thousand, single precision cannot distinguish them.
pub(crate) fn require_scale(name: &str, value: f64) -> Result<(), InvalidSetting> {
    require(
        value > 0.0 && value <= 1000.0,
        name,
        "more than 0 and at most 1000",
        value,
    )
}

/// A settings struct from one line per setting: name, type, default, meaning.
macro_rules! settings {
    ($(#[$outer:meta])* $name:ident {
        $($field:ident: $type:ty = $default:expr, $meaning:literal;)*
    }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $(#[doc = $meaning] pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            const MEANINGS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($field), $meaning),)*];
        }
    };
}

/// A recipe's choice of one kind, tagged by `kind`: one line per kind.
macro_rules! registry {
    ($(#[$outer:meta])* $name:ident of $kind:ident { $($variant:ident($settings:ty),)* }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum $name {
            $(#[doc = concat!("See [`", stringify!($settings), "`].")] $variant($settings),)*
        }

        impl $name {
            /// Every kind with its defaults.
            pub fn all() -> Vec<Self> {
                vec![$(Self::$variant(<$settings>::default()),)*]
            }

            fn kind(&self) -> &dyn $kind {
                match self {
                    $(Self::$variant(settings) => settings,)*
                }
            }

            /// Formula, source and settings.
            pub fn about(&self) -> &'static crate::about::About {
                self.kind().about()
            }
        }
    };
}

pub(crate) use {registry, settings};
