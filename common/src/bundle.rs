//! The bundle: all that a boat needs to name a whale, in a folder or in one `.flukebundle` file.
//!
//! `manifest.json` names the files with their sizes and SHA-256: the model (ONNX), the catalogue, the decision rule, the model card,
//! since format 2 what the model must give for drawn flukes, and since format 3 a detector of flukes (ONNX). A single file is an uncompressed tar of the same files, the manifest first. Nothing in a bundle is used
//! before it is checked.

mod archive;
mod content;
mod error;
mod folder;
mod golden;
mod manifest;

pub use error::BundleError;
pub use manifest::{
    DETECTOR_PART, DetectorInfo, FORMAT, GOLDEN_PART, MANIFEST_FILE, Manifest, ModelInfo, PARTS,
    PartInfo, Precision, View,
};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::decision::DecisionRule;
use crate::embedding::Embedding;
use crate::prepare::Preparation;
use content::{Content, Found};
use manifest::{CARD, CATALOGUE, DECISION, DETECTOR, GOLDEN, MODEL};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The largest part that is read, in bytes; a catalogue apart.
pub const MAX_PART: u64 = 512 * 1024 * 1024;
/// The largest catalogue, in bytes: what a tar can hold.
pub const MAX_CATALOGUE: u64 = (8 << 30) - 1;
/// The largest manifest that is read, in bytes.
pub const MAX_MANIFEST: u64 = 1024 * 1024;
/// The ending of a bundle in one file.
pub const EXTENSION: &str = "flukebundle";

/// A model with all that belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What it says of itself.
    pub manifest: Manifest,
    /// The ONNX file.
    pub model: Vec<u8>,
    /// The whales that it knows.
    pub catalogue: Catalogue,
    /// When a whale counts as known.
    pub decision: DecisionRule,
    /// The model card, Markdown.
    pub card: String,
    /// What the model gave for drawn flukes where the bundle was made ([`crate::golden`]); empty where nobody asked it.
    pub golden: Vec<Embedding>,
    /// The ONNX file of the detector, where there is one; the manifest says how it is run.
    pub detector: Option<Vec<u8>>,
    manifest_bytes: Vec<u8>,
    id: String,
}

/// A bundle's files as they were read.
struct Files {
    manifest_bytes: Vec<u8>,
    manifest: Manifest,
    parts: BTreeMap<String, Found>,
}

impl Bundle {
    /// Makes a bundle; its dimension is the catalogue's, and its manifest describes the parts as given.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the preparation, views, catalogue or rule make no sense together.
    #[expect(
        clippy::too_many_arguments,
        reason = "a bundle is these parts, each of another type"
    )]
    pub fn new(
        name: &str,
        created: &str,
        preparation: Preparation,
        views: Vec<View>,
        model_info: ModelInfo,
        model: Vec<u8>,
        mut catalogue: Catalogue,
        decision: DecisionRule,
        card: String,
    ) -> Result<Self, BundleError> {
        catalogue.modernise();
        let manifest = Manifest {
            format: 1,
            name: name.to_owned(),
            created: created.to_owned(),
            preparation,
            views,
            dimension: catalogue.dimension(),
            model: model_info,
            detector: None,
            parts: BTreeMap::new(),
        };
        Self::describe(manifest, model, catalogue, decision, card, vec![], None)
    }

    /// The same model with other whales and the rule that was fitted on them.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the catalogue is another model's or the rule makes no sense.
    pub fn with_catalogue(
        self,
        mut catalogue: Catalogue,
        decision: DecisionRule,
    ) -> Result<Self, BundleError> {
        catalogue.modernise();
        Self::describe(
            self.manifest,
            self.model,
            catalogue,
            decision,
            self.card,
            self.golden,
            self.detector,
        )
    }

    /// The same bundle with what its model must give for drawn flukes, see [`crate::golden::golden`].
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when an embedding is not of the bundle's dimension.
    pub fn with_golden(self, golden: Vec<Embedding>) -> Result<Self, BundleError> {
        Self::describe(
            self.manifest,
            self.model,
            self.catalogue,
            self.decision,
            self.card,
            golden,
            self.detector,
        )
    }

    /// The same bundle with a detector, an ONNX file and how it is run; or with none.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when what is said of it makes no sense.
    pub fn with_detector(
        mut self,
        detector: Option<(DetectorInfo, Vec<u8>)>,
    ) -> Result<Self, BundleError> {
        let (info, model) = detector.unzip();
        self.manifest.detector = info;
        Self::describe(
            self.manifest,
            self.model,
            self.catalogue,
            self.decision,
            self.card,
            self.golden,
            model,
        )
    }

    /// The same bundle with another card.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the parts make no sense together.
    pub fn with_card(self, card: String) -> Result<Self, BundleError> {
        Self::describe(
            self.manifest,
            self.model,
            self.catalogue,
            self.decision,
            card,
            self.golden,
            self.detector,
        )
    }

    /// The detector and what is said of it, to hand on to another bundle.
    pub fn detector_part(&self) -> Option<(DetectorInfo, Vec<u8>)> {
        Some((self.manifest.detector.clone()?, self.detector.clone()?))
    }

    fn describe(
        mut manifest: Manifest,
        model: Vec<u8>,
        catalogue: Catalogue,
        decision: DecisionRule,
        card: String,
        golden: Vec<Embedding>,
        detector: Option<Vec<u8>>,
    ) -> Result<Self, BundleError> {
        check(&manifest.name, &manifest, &catalogue, &decision, &golden)?;
        manifest.format = match (&detector, golden.is_empty()) {
            (Some(_), _) => 3,
            (None, false) => 2,
            (None, true) => 1,
        };
        let mut bundle = Self {
            manifest: manifest.clone(),
            model,
            catalogue,
            decision,
            card,
            golden,
            detector,
            manifest_bytes: vec![],
            id: String::new(),
        };
        let golden = (!bundle.golden.is_empty()).then_some(GOLDEN_PART);
        let detector = bundle.detector.as_ref().map(|_| DETECTOR_PART);
        manifest.parts = PARTS
            .into_iter()
            .chain(golden)
            .chain(detector)
            .map(|(part, file)| {
                let content = bundle.part(part)?;
                let info = PartInfo {
                    file: file.into(),
                    sha256: content
                        .sha256_hex()
                        .map_err(|e| BundleError::Inconsistent {
                            bundle: manifest.name.clone(),
                            why: format!("its {part} cannot be written: {e}"),
                        })?,
                    bytes: content.len(),
                };
                Ok((part.to_owned(), info))
            })
            .collect::<Result<_, BundleError>>()?;
        bundle.manifest_bytes = manifest.to_bytes()?;
        bundle.id = id_of(&bundle.manifest_bytes);
        bundle.manifest = manifest;
        Ok(bundle)
    }

    /// Opens a bundle, a folder or a `.flukebundle` file, and checks every part of it.
    ///
    /// A large catalogue stays in its file and is mapped ([`crate::catalogue::MAPPED_FROM`]): while the bundle is in use nothing may write to
    /// that file. [`Bundle::save`] does not: it writes another one and renames it.
    ///
    /// # Errors
    /// Naming the bundle and the part at fault.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let files = if path.is_dir() {
            folder::read(path)?
        } else {
            archive::read(path)?
        };
        let Files {
            manifest_bytes,
            manifest,
            mut parts,
        } = files;
        for (part, info) in &manifest.parts {
            let found = parts.get(part).ok_or_else(|| BundleError::MissingPart {
                path: path.into(),
                part: part.clone(),
            })?;
            verify(path, part, info, found.len(), || found.sha256_hex())?;
        }
        let bad = |part: &str, why: String| BundleError::Part {
            path: path.into(),
            part: part.into(),
            why,
        };
        let mut take = |part: &str| parts.remove(part).unwrap_or(Found::Read(vec![]));
        let catalogue = take(CATALOGUE)
            .catalogue()
            .map_err(|e: CatalogueError| bad(CATALOGUE, e.to_string()))?;
        let mut take = |part: &str| take(part).bytes();
        let model = take(MODEL);
        let decision =
            serde_json::from_slice(&take(DECISION)).map_err(|e| bad(DECISION, e.to_string()))?;
        let card = String::from_utf8(take(CARD)).map_err(|e| bad(CARD, e.to_string()))?;
        let golden = golden::from_bytes(path, &take(GOLDEN), manifest.dimension)?;
        let detector = manifest.detector.is_some().then(|| take(DETECTOR));
        check(
            &path.display().to_string(),
            &manifest,
            &catalogue,
            &decision,
            &golden,
        )?;
        let id = id_of(&manifest_bytes);
        Ok(Self {
            manifest,
            model,
            catalogue,
            decision,
            card,
            golden,
            detector,
            manifest_bytes,
            id,
        })
    }

    /// Saves the bundle: a path that ends in `.flukebundle` becomes one file, any other a folder. The same bundle always gives
    /// the same bytes. A bundle that is there already stays until the new one is whole on the disk.
    ///
    /// # Errors
    /// When the disk does not take it, when a folder with other files is in the way, or when the bundle's public fields were
    /// changed past its manifest ([`BundleError::Stale`]).
    pub fn save(&self, path: &Path) -> Result<(), BundleError> {
        if id_of(&self.manifest.to_bytes()?) != self.id
            && Manifest::read(path, &self.manifest_bytes)? != self.manifest
        {
            return Err(BundleError::Stale {
                part: "manifest".into(),
            });
        }
        let manifest = Content::Bytes(Cow::Borrowed(&self.manifest_bytes));
        let mut files = vec![(MANIFEST_FILE, manifest)];
        for (part, info) in &self.manifest.parts {
            let content = self.part(part)?;
            verify(path, part, info, content.len(), || content.sha256_hex())
                .map_err(|_| BundleError::Stale { part: part.clone() })?;
            files.push((&info.file, content));
        }
        if path.extension().is_some_and(|e| e == EXTENSION) {
            archive::write(path, &files)
        } else {
            folder::write(path, &files)
        }
    }

    /// The first 12 hex digits of the SHA-256 of `manifest.json`: another bundle, another id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A part's file.
    fn part(&self, part: &str) -> Result<Content<'_>, BundleError> {
        let borrowed = |bytes| Ok(Content::Bytes(Cow::Borrowed(bytes)));
        match part {
            MODEL => borrowed(&self.model),
            CATALOGUE => Ok(Content::Catalogue(&self.catalogue)),
            CARD => borrowed(self.card.as_bytes()),
            DETECTOR => borrowed(self.detector.as_deref().unwrap_or_default()),
            GOLDEN => Ok(Content::Bytes(Cow::Owned(golden::to_bytes(&self.golden)))),
            _ => {
                let mut bytes = serde_json::to_vec_pretty(&self.decision).map_err(|e| {
                    BundleError::Inconsistent {
                        bundle: self.manifest.name.clone(),
                        why: format!("its decision rule cannot be written: {e}"),
                    }
                })?;
                bytes.push(b'\n');
                Ok(Content::Bytes(Cow::Owned(bytes)))
            }
        }
    }
}

/// What must fit together whoever made the bundle.
fn check(
    bundle: &str,
    manifest: &Manifest,
    catalogue: &Catalogue,
    decision: &DecisionRule,
    golden: &[Embedding],
) -> Result<(), BundleError> {
    let off = |why: String| {
        Err(BundleError::Inconsistent {
            bundle: bundle.to_owned(),
            why,
        })
    };
    if manifest.name.trim().is_empty() {
        return off("it has no name".into());
    }
    if let Err(e) = manifest.preparation.check() {
        return off(e.to_string());
    }
    let views = &manifest.views;
    if views.is_empty()
        || views
            .iter()
            .enumerate()
            .any(|(i, v)| views[..i].contains(v))
    {
        return off("its views must be plain, mirrored or both, each once".into());
    }
    if manifest.dimension == 0 || !manifest.dimension.is_multiple_of(views.len()) {
        return off(format!(
            "an embedding of {} numbers does not divide into {} views",
            manifest.dimension,
            views.len()
        ));
    }
    if catalogue.dimension() != manifest.dimension {
        return off(format!(
            "its catalogue holds embeddings of {} numbers, its model makes {}",
            catalogue.dimension(),
            manifest.dimension
        ));
    }
    if let Some(other) = golden.iter().find(|g| g.dimension() != manifest.dimension) {
        return off(format!(
            "its golden embeddings have {} numbers, its model makes {}",
            other.dimension(),
            manifest.dimension
        ));
    }
    let detector = manifest.detector.as_ref();
    if let Some(fault) = decision.fault().or(detector.and_then(DetectorInfo::fault)) {
        return off(fault);
    }
    Ok(())
}

/// Compares a part of `bytes` bytes with the manifest; `sha256_hex` is asked where the size is right.
fn verify(
    path: &Path,
    part: &str,
    info: &PartInfo,
    bytes: u64,
    sha256_hex: impl FnOnce() -> io::Result<String>,
) -> Result<(), BundleError> {
    if bytes != info.bytes {
        return Err(BundleError::WrongSize {
            path: path.into(),
            part: part.into(),
            expected: info.bytes,
            got: bytes,
        });
    }
    let sha256 = sha256_hex().map_err(|source| BundleError::Read {
        path: path.into(),
        source,
    })?;
    if sha256 != info.sha256 {
        return Err(BundleError::Altered {
            path: path.into(),
            part: part.into(),
        });
    }
    Ok(())
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn id_of(manifest: &[u8]) -> String {
    sha256_hex(manifest).chars().take(12).collect()
}

#[cfg(test)]
mod tests;
