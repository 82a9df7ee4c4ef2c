//! What kind of link carries a boat's messages to shore.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of a boat's link to shore, from cheap to dear. The order is that of the wire format.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LinkClass {
    /// A cable or Wi-Fi that costs nothing.
    #[default]
    Harbour,
    /// A mobile network.
    Lte,
    /// Starlink and similar constellations.
    Starlink,
    /// A geostationary satellite.
    Vsat,
    /// Iridium and similar links of a few kilobits per second.
    Iridium,
}

impl LinkClass {
    /// Every class, in order.
    pub const ALL: [Self; 5] = [
        Self::Harbour,
        Self::Lte,
        Self::Starlink,
        Self::Vsat,
        Self::Iridium,
    ];

    /// The name in the configuration and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Harbour => "harbour",
            Self::Lte => "lte",
            Self::Starlink => "starlink",
            Self::Vsat => "vsat",
            Self::Iridium => "iridium",
        }
    }

    /// The class with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Its number in [`LinkClass::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for LinkClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_names_and_numbers() {
        for (number, class) in LinkClass::ALL.into_iter().enumerate() {
            assert_eq!(LinkClass::parse(class.as_str()), Some(class));
            assert_eq!(class.index(), number);
        }
        assert_eq!(LinkClass::parse("Iridium"), None);
    }
}
