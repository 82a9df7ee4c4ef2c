//! A bundle that arrived over the air.

use flukewatch_common::bundle_transfer::ContentId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A bundle that arrived over the air and is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceivedBundle {
    /// The SHA-256 of its manifest.
    #[serde(with = "as_text")]
    pub manifest: ContentId,
    /// The version of its signature; `None` where it is not signed.
    pub version: Option<u64>,
    /// The offer that it came with.
    pub offer: Uuid,
}

/// A SHA-256 as hexadecimal digits.
mod as_text {
    use flukewatch_common::bundle_transfer::ContentId;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &ContentId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ContentId, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}
