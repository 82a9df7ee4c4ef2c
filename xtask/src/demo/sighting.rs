//! A sighting, as shore's `GET /api/sightings` tells it.

use serde::de::{Deserialize, Deserializer, Error};
use std::fmt;

/// What the demo needs of it.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Sighting {
    pub(crate) id: String,
    /// The boat's own count.
    pub(crate) sequence: u64,
    pub(crate) camera: String,
    #[serde(deserialize_with = "moment")]
    pub(crate) started: jiff::Timestamp,
    #[serde(deserialize_with = "moment")]
    pub(crate) ended: jiff::Timestamp,
    pub(crate) verdict: Verdict,
    /// The whale, where the verdict is `known`.
    pub(crate) whale: Option<String>,
    pub(crate) candidates: Vec<Candidate>,
    /// `stored` where the picture has come and can be shown.
    pub(crate) picture: String,
}

/// What the boat says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Known,
    New,
    Review,
}

/// A whale that it may be.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Candidate {
    pub(crate) whale: String,
    pub(crate) score: f64,
}

/// A moment, written as ISO 8601.
fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let closest = self.candidates.first();
        let score = closest.map_or_else(String::new, |c| format!(" {:.2}", c.score));
        let name = closest.map_or("none", |c| c.whale.as_str());
        match self.verdict {
            Verdict::Known => {
                let whale = self.whale.as_deref().unwrap_or("?");
                write!(f, "known {whale}{score}")
            }
            Verdict::New => write!(f, "new (closest {name}{score})"),
            Verdict::Review => write!(f, "review (closest {name}{score})"),
        }
    }
}
