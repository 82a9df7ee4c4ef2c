//! Settings that describe themselves, so that `flukewatch losses` can list them without libtorch.

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

/// Checks that `value` is finite and `valid`; the error states the `range`.
pub(crate) fn require(valid: bool, name: &str, range: &str, value: f64) -> Result<(), String> {
    if valid && value.is_finite() {
        Ok(())
    } else {
        Err(format!("{name} must be {range}, not {value}"))
    }
}

/// Checks a factor of logits. Beyond a thousand, single precision cannot distinguish them.
pub(crate) fn require_scale(name: &str, value: f64) -> Result<(), String> {
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
