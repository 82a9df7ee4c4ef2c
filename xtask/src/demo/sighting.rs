//! A sighting in shore's `GET /api/v1/sightings`.

use serde::de::{Deserialize, Deserializer, Error};
use std::fmt;

/// The fields that xtask reads.
#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Sighting {
    pub(crate) id: String,
    pub(crate) sequence: u64,
    pub(crate) camera: String,
    #[serde(deserialize_with = "rfc3339")]
    pub(crate) started: jiff::Timestamp,
    #[serde(deserialize_with = "rfc3339")]
    pub(crate) ended: jiff::Timestamp,
    pub(crate) verdict: Verdict,
    /// The whale, if the verdict is `known`.
    pub(crate) whale: Option<String>,
    /// Why there is none, if the verdict is `unidentified`.
    pub(crate) reason: Option<String>,
    pub(crate) candidates: Vec<Candidate>,
    /// `stored` once the picture has arrived and is readable.
    pub(crate) picture: String,
    /// 0 as it was recorded; higher once it was identified.
    pub(crate) revision: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Known,
    New,
    Review,
    Unidentified,
}

#[derive(Clone, Debug, serde::Deserialize)]
pub(crate) struct Candidate {
    pub(crate) whale: String,
    pub(crate) score: f64,
}

fn rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<jiff::Timestamp, D::Error> {
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
            Verdict::Unidentified => {
                let reason = self.reason.as_deref().unwrap_or("?");
                write!(f, "unidentified ({reason})")
            }
        }
    }
}
