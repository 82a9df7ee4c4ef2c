//! The manifest: the description of a bundle and the files that it consists of.

use super::signature::SIGNATURE_FILE;
use super::{BundleError, FORMAT};
use crate::local_matching::{Layout, LocalScore};
use crate::prepare::{Colour, Fit, Preparation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The optional part with the expected embeddings of drawn flukes.
pub const GOLDEN_PART: (&str, &str) = (GOLDEN, "golden.f32");

/// The optional part with the detector.
pub const DETECTOR_PART: (&str, &str) = (DETECTOR, "detector.onnx");

/// The optional parts with the descriptors of the catalogue's photos.
pub const LOCAL_PARTS: [(&str, &str); 2] = [(LOCAL, "local.bin"), (LOCAL_INDEX, "local-index.bin")];
/// The optional part with hashes of what the model was trained on.
pub const TRAINING_PART: (&str, &str) = (TRAINING, "training.bin");

/// The parts of every bundle and the files that they are written to.
pub const PARTS: [(&str, &str); 4] = [
    (MODEL, "model.onnx"),
    (CATALOGUE, "catalogue.bin"),
    (DECISION, "decision.json"),
    (CARD, "CARD.md"),
];

pub(super) const MODEL: &str = "model";
pub(super) const CATALOGUE: &str = "catalogue";
pub(super) const DECISION: &str = "decision";
pub(super) const CARD: &str = "card";
pub(super) const GOLDEN: &str = "golden";
pub(super) const DETECTOR: &str = "detector";
pub(super) const LOCAL: &str = "local";
pub(super) const LOCAL_INDEX: &str = "local_index";
pub(super) const TRAINING: &str = "training";
const OPTIONAL: [&str; 5] = [GOLDEN, DETECTOR, LOCAL, LOCAL_INDEX, TRAINING];

/// The content of `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the bundle: [`FORMAT`].
    pub format: u32,
    /// The bundle's name, for display.
    pub name: String,
    /// When it was made, RFC 3339 UTC, e.g. `2026-11-23T16:20:00.000Z`.
    pub created: String,
    /// How a photo becomes the model's input.
    pub preparation: Preparation,
    /// The views of a photo that are embedded; the embedding is
    /// [`crate::embedding::Embedding::of_views`] over these, in this order.
    pub views: Vec<View>,
    /// The dimension of that embedding: the model's outputs times the number of views.
    pub dimension: usize,
    /// How the model was made.
    pub model: ModelInfo,
    /// The fluke detector, if the bundle has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<DetectorInfo>,
    /// Local matching, if the model has a second output for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalInfo>,
    /// The files: `model`, `catalogue`, `decision`, `card`, and optionally `golden`, `detector` and
    /// `training`; `local` and `local_index` where there is local matching and the catalogue is not empty.
    pub parts: BTreeMap<String, PartInfo>,
}

/// A view of a photo that is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    /// The photo itself, unchanged.
    Plain,
    /// Left and right swapped.
    Mirrored,
}

/// The number type of the model's weights and activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Weights and activations are 32-bit floats.
    F32,
    /// 8-bit integers, by QuantizeLinear and DequantizeLinear.
    Int8,
}

/// The description of the model in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
    /// The network, e.g. `efficientnet-lite0`.
    pub architecture: String,
    /// The number type of its weights and activations.
    pub precision: Precision,
    /// The version of the ONNX operator set that it uses.
    pub opset: u32,
    /// The training data, for display.
    pub trained_on: String,
}

/// The description of the detector in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorInfo {
    /// How a whole frame becomes its input: grey, letterboxed, without padding.
    pub preparation: Preparation,
    /// The strides of its maps in pixels of the input, in the order of its output
    /// ([`crate::detector::maps`]).
    pub strides: Vec<u32>,
    /// The lowest score of a detection, in 0..=1.
    pub threshold: f32,
    /// How its model was made.
    pub model: ModelInfo,
}

impl DetectorInfo {
    /// # Errors
    /// When preparation, strides or threshold are out of range.
    pub fn validate(&self) -> Result<(), InvalidDetector> {
        self.check().map_err(InvalidDetector)
    }

    fn check(&self) -> Result<(), String> {
        let p = &self.preparation;
        p.validate().map_err(|e| e.to_string())?;
        if p.colour != Colour::Grey || p.fit != Fit::Letterbox || p.padding != 0.0 {
            return Err("expected colour grey, fit letterbox and padding 0".into());
        }
        let strides = &self.strides;
        let valid = (1..=8).contains(&strides.len())
            && strides.iter().all(|s| (1..=256).contains(s))
            && strides.is_sorted_by(|a, b| a < b);
        if !valid {
            return Err("expected 1 to 8 strides of 1 to 256, ascending".into());
        }
        let threshold = self.threshold;
        if !(0.0..=1.0).contains(&threshold) {
            return Err(format!(
                "threshold {threshold}; expected a fraction in [0, 1]"
            ));
        }
        Ok(())
    }
}

/// The description of local matching in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalInfo {
    /// The name of the model's second output, `[1, C, height, width] f32` with the channels of [`Layout::channels`]: a block for each view
    /// of the manifest, in its order, then the fine grid.
    pub output: String,
    /// The locations and the dimension of their descriptors.
    pub layout: Layout,
    /// The number type of the layer that computes it.
    pub precision: Precision,
    /// How the similarity of descriptors is mixed into a score.
    pub score: LocalScore,
    /// The data that projection and score were fitted on, for display.
    pub fitted_on: String,
}

/// A detector whose description is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid detector: {0}")]
pub struct InvalidDetector(String);

/// The description of a file in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartInfo {
    /// The file name in the bundle, without a folder.
    pub file: String,
    /// The SHA-256 of the file, in lower-case hex.
    pub sha256: String,
    /// The size of the file in bytes.
    pub bytes: u64,
}

impl Manifest {
    /// Reads `manifest.json` of the bundle at `path`; the format is checked before anything else in it.
    pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Self, BundleError> {
        #[derive(Deserialize)]
        struct Head {
            format: u64,
        }
        let bad = |e: serde_json::Error| BundleError::Manifest {
            path: path.into(),
            why: e.to_string(),
        };
        let head: Head = serde_json::from_slice(bytes).map_err(bad)?;
        if head.format > u64::from(FORMAT) {
            return Err(BundleError::Newer {
                path: path.into(),
                got: head.format,
            });
        }
        if head.format < u64::from(FORMAT) {
            return Err(BundleError::Older {
                path: path.into(),
                got: head.format,
            });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(bad)?;
        manifest.check_parts(path)?;
        Ok(manifest)
    }

    /// Checks that the parts are the known ones, each in a separate file beside the manifest.
    fn check_parts(&self, path: &Path) -> Result<(), BundleError> {
        let known = |part: &str| PARTS.iter().any(|(known, _)| *known == part);
        if let Some(part) = self
            .parts
            .keys()
            .find(|p| !known(p) && !OPTIONAL.contains(&p.as_str()))
        {
            return Err(BundleError::UnknownPart {
                path: path.into(),
                part: part.clone(),
            });
        }
        if self.detector.is_some() != self.parts.contains_key(DETECTOR) {
            return Err(BundleError::Manifest {
                path: path.into(),
                why: "the field 'detector' and the part 'detector' must be present together".into(),
            });
        }
        let [local, index] = [LOCAL, LOCAL_INDEX].map(|part| self.parts.contains_key(part));
        if local != index || (local && self.local.is_none()) {
            return Err(BundleError::Manifest {
                path: path.into(),
                why: "the parts 'local' and 'local_index' must be present together, with the field 'local'"
                    .into(),
            });
        }
        let mut files = vec![MANIFEST_FILE, SIGNATURE_FILE];
        let there = OPTIONAL
            .into_iter()
            .filter(|part| self.parts.contains_key(*part));
        for part in PARTS.iter().map(|(part, _)| *part).chain(there) {
            let Some(info) = self.parts.get(part) else {
                return Err(BundleError::MissingPart {
                    path: path.into(),
                    part: part.into(),
                });
            };
            if !is_plain(&info.file) || files.contains(&info.file.as_str()) {
                return Err(BundleError::PartName {
                    path: path.into(),
                    part: part.into(),
                    file: info.file.clone(),
                });
            }
            if !is_sha256(&info.sha256) {
                return Err(BundleError::Manifest {
                    path: path.into(),
                    why: format!(
                        "the sha256 of part '{part}' is not 64 lower-case hexadecimal digits"
                    ),
                });
            }
            let most = match part {
                CATALOGUE | LOCAL => super::MAX_CATALOGUE,
                _ => super::MAX_PART,
            };
            if info.bytes > most {
                return Err(BundleError::TooLarge {
                    path: path.into(),
                    part: part.into(),
                    bytes: info.bytes,
                });
            }
            files.push(&info.file);
        }
        Ok(())
    }

    /// The bytes of `manifest.json`: indented, fields in the order above, parts by name.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| BundleError::Inconsistent {
            bundle: self.name.clone(),
            why: e.to_string(),
        })?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// Whether a text is a SHA-256 in the form of [`crate::sha256::sha256_hex`].
fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a name consists of letters, digits, `.`, `-` and `_` and does not start with a dot: no
/// folder, not hidden.
fn is_plain(file: &str) -> bool {
    (1..=64).contains(&file.len())
        && !file.starts_with('.')
        && file
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}
