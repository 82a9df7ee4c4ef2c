//! The bundle: everything a boat needs to identify whales, as a folder or a `.flukebundle` file.
//!
//! `manifest.json` names the files with their sizes and SHA-256: the model (ONNX), the catalogue, the
//! decision rule, the model card, and optionally the expected embeddings of drawn flukes, a detector
//! (ONNX), the descriptors of the catalogue's photos for local matching, and hashes of what the model was
//! trained on. A single file is an uncompressed tar of the same files, the manifest first.
//! `signature.json` says who published it. Nothing in a bundle is used before it is checked.

mod archive;
mod content;
pub mod delivery;
mod error;
mod folder;
mod golden;
mod head;
mod manifest;
mod sign;
mod signature;
mod training_set;
mod trust;

pub use error::BundleError;
pub use head::BundleHead;
pub use manifest::{
    DETECTOR_PART, DetectorInfo, GOLDEN_PART, InvalidDetector, LOCAL_PARTS, LocalInfo,
    MANIFEST_FILE, Manifest, ModelInfo, PARTS, PartInfo, Precision, TRAINING_PART, View,
};
pub use sign::sign;
pub use signature::{
    InvalidSignature, MAX_SIGNATURE, MAX_VERSION, SIGNATURE_FILE, Signature, SignatureTerms,
};
pub use training_set::TrainingSet;
pub use trust::{Accepted, AcceptedBundle, BundleTrust, TrustError, TrustedKeys};

use crate::catalogue::{Catalogue, CatalogueError};
use crate::decision::DecisionRule;
use crate::embedding::Embedding;
use crate::local_matching::{LocalCatalogue, LocalPhotos, LocalPhotosError};
use crate::prepare::Preparation;
use crate::sha256::sha256_hex;
use content::{Content, Part};
use manifest::{CARD, CATALOGUE, DECISION, DETECTOR, GOLDEN, LOCAL, LOCAL_INDEX, MODEL, TRAINING};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The supported bundle format.
pub const FORMAT: u32 = 4;

/// The size limit of a part other than the catalogue, in bytes.
pub const MAX_PART: u64 = 512 * 1024 * 1024;
/// The size limit of a catalogue, in bytes: the largest entry of a tar.
pub const MAX_CATALOGUE: u64 = (8 << 30) - 1;
/// The size limit of the manifest, in bytes.
pub const MAX_MANIFEST: u64 = 1024 * 1024;
/// The file extension of a single-file bundle.
pub const EXTENSION: &str = "flukebundle";

/// A model with its catalogue, decision rule and description.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The description of the bundle.
    pub manifest: Manifest,
    /// The ONNX file of the embedding model.
    pub model: Vec<u8>,
    /// The enrolled whales.
    pub catalogue: Catalogue,
    /// When a whale counts as known.
    pub decision: DecisionRule,
    /// The model card, Markdown.
    pub card: String,
    /// The model's embeddings of drawn flukes, computed where the bundle was made; may be empty.
    pub golden: Vec<Embedding>,
    /// The ONNX file of the detector, if there is one; the manifest says how it is run.
    pub detector: Option<Vec<u8>>,
    /// The descriptors of the catalogue's photos, if the bundle has local matching; the manifest says how they are scored.
    pub local: Option<LocalPhotos>,
    /// What the model was trained on; `None` if that is unknown.
    pub training: Option<TrainingSet>,
    /// Who published the bundle; `None` once a part was changed.
    signature: Option<Signature>,
    manifest_bytes: Vec<u8>,
    id: String,
}

/// A bundle's files as they were read.
struct Files {
    head: BundleHead,
    manifest: Manifest,
    parts: BTreeMap<String, Part>,
}

/// Reads the files of a bundle, a folder or a `.flukebundle` file; nothing but the head if `trust` rejects it.
fn read_files(path: &Path, trust: &BundleTrust) -> Result<Files, BundleError> {
    let admit = |head: &BundleHead| head.check(path, trust);
    if path.is_dir() {
        folder::read(path, admit)
    } else {
        archive::read(path, admit)
    }
}

impl BundleHead {
    /// Reads manifest and signature of a bundle, a folder or a `.flukebundle` file, and nothing else.
    ///
    /// # Errors
    /// When the path is not a bundle, or its signature's file is not one.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        if path.is_dir() {
            folder::read_head(path)
        } else {
            archive::read_head(path)
        }
    }
}

/// The parts of a new bundle; golden embeddings, a detector and the training set are added with
/// [`Bundle::with_golden`], [`Bundle::with_detector`] and [`Bundle::with_training_set`].
#[derive(Clone, Debug)]
pub struct NewBundle<'a> {
    /// The bundle's name, shown to users.
    pub name: &'a str,
    /// When it was made, RFC 3339 UTC.
    pub created: &'a str,
    /// How a photo becomes the model's input.
    pub preparation: Preparation,
    /// The views of a photo that are embedded.
    pub views: Vec<View>,
    /// How the model was made.
    pub model_info: ModelInfo,
    /// The ONNX file of the embedding model.
    pub model: Vec<u8>,
    /// The enrolled whales; the catalogue's dimension becomes the bundle's.
    pub catalogue: Catalogue,
    /// When a whale counts as known.
    pub decision: DecisionRule,
    /// The model card, Markdown.
    pub card: String,
}

impl Bundle {
    /// Makes a bundle; its manifest describes the parts as given.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when preparation, views, catalogue and rule do not fit together.
    pub fn new(new: NewBundle<'_>) -> Result<Self, BundleError> {
        let manifest = Manifest {
            format: FORMAT,
            name: new.name.to_owned(),
            created: new.created.to_owned(),
            preparation: new.preparation,
            views: new.views,
            dimension: new.catalogue.dimension(),
            model: new.model_info,
            detector: None,
            local: None,
            parts: BTreeMap::new(),
        };
        Self {
            manifest,
            model: new.model,
            catalogue: new.catalogue,
            decision: new.decision,
            card: new.card,
            golden: vec![],
            detector: None,
            local: None,
            training: None,
            signature: None,
            manifest_bytes: vec![],
            id: String::new(),
        }
        .described()
    }

    /// The same model with other whales and the rule that was fitted on them. In a bundle with local matching, the catalogue must hold
    /// the same photos or none; [`Bundle::with_enrolled`] sets others.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the catalogue has another dimension, the rule is invalid, or the descriptors of photos are
    /// missing.
    pub fn with_catalogue(
        mut self,
        catalogue: Catalogue,
        decision: DecisionRule,
    ) -> Result<Self, BundleError> {
        if let (true, Some(local)) = (catalogue.is_empty(), &mut self.local) {
            *local = LocalPhotos::new(local.layout());
        }
        self.catalogue = catalogue;
        self.decision = decision;
        self.described()
    }

    /// Like [`Bundle::with_catalogue`], with the descriptors of the catalogue's photos; `None` without local matching.
    ///
    /// # Errors
    /// Those of [`Bundle::with_catalogue`], or when there are descriptors of other photos.
    pub fn with_enrolled(
        mut self,
        catalogue: Catalogue,
        local: Option<LocalPhotos>,
        decision: DecisionRule,
    ) -> Result<Self, BundleError> {
        self.catalogue = catalogue;
        self.local = local;
        self.decision = decision;
        self.described()
    }

    /// The same bundle with another model file and local matching by its second output, or without local matching. The model must give
    /// the same embeddings. The catalogue must be empty where local matching is added.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the description is out of range or enrolled photos have no descriptors.
    pub fn with_local(
        mut self,
        model: Vec<u8>,
        info: Option<LocalInfo>,
    ) -> Result<Self, BundleError> {
        self.model = model;
        self.local = info.as_ref().map(|info| LocalPhotos::new(info.layout));
        self.manifest.local = info;
        self.described()
    }

    /// The descriptors of the catalogue's photos and their score, for [`crate::local_matching::search_encounter`].
    pub fn local_catalogue(&self) -> Option<LocalCatalogue<'_>> {
        Some(LocalCatalogue {
            photos: self.local.as_ref()?,
            score: &self.manifest.local.as_ref()?.score,
        })
    }

    /// The same bundle with the embeddings that its model gives for drawn flukes.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when an embedding is not of the bundle's dimension.
    pub fn with_golden(mut self, golden: Vec<Embedding>) -> Result<Self, BundleError> {
        self.golden = golden;
        self.described()
    }

    /// The same bundle with another detector, or without one.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the description of the detector is invalid.
    pub fn with_detector(
        mut self,
        detector: Option<(DetectorInfo, Vec<u8>)>,
    ) -> Result<Self, BundleError> {
        (self.manifest.detector, self.detector) = detector.unzip();
        self.described()
    }

    /// The same bundle with what its model was trained on, or without saying so.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the parts do not fit together.
    pub fn with_training_set(mut self, training: Option<TrainingSet>) -> Result<Self, BundleError> {
        self.training = training;
        self.described()
    }

    /// The same bundle with another card.
    ///
    /// # Errors
    /// [`BundleError::Inconsistent`] when the parts do not fit together.
    pub fn with_card(mut self, card: String) -> Result<Self, BundleError> {
        self.card = card;
        self.described()
    }

    /// The detector and its description, to hand on to another bundle.
    pub fn detector_part(&self) -> Option<(DetectorInfo, Vec<u8>)> {
        Some((self.manifest.detector.clone()?, self.detector.clone()?))
    }

    /// Validates the parts and describes them in the manifest.
    fn described(mut self) -> Result<Self, BundleError> {
        self.validate(&self.manifest.name)?;
        let golden = (!self.golden.is_empty()).then_some(GOLDEN_PART);
        let detector = self.detector.as_ref().map(|_| DETECTOR_PART);
        let local = self.local.as_ref().filter(|local| !local.is_empty());
        let training = self.training.as_ref().map(|_| TRAINING_PART);
        self.manifest.parts = PARTS
            .into_iter()
            .chain(golden)
            .chain(detector)
            .chain(local.into_iter().flat_map(|_| LOCAL_PARTS))
            .chain(training)
            .map(|(part, file)| {
                let content = self.part(part)?;
                let info = PartInfo {
                    file: file.into(),
                    sha256: content
                        .sha256_hex()
                        .map_err(|e| BundleError::Inconsistent {
                            bundle: self.manifest.name.clone(),
                            why: format!("part '{part}' cannot be written: {e}"),
                        })?,
                    bytes: content.len(),
                };
                Ok((part.to_owned(), info))
            })
            .collect::<Result<_, BundleError>>()?;
        self.manifest_bytes = self.manifest.to_bytes()?;
        self.id = id_of(&self.manifest_bytes);
        self.signature = None;
        Ok(self)
    }

    /// Opens a bundle, a folder or a `.flukebundle` file, signed or not, and checks every part of it.
    ///
    /// A large catalogue stays in its file and is mapped ([`crate::catalogue::MMAP_THRESHOLD`]):
    /// while the bundle is in use, nothing may write to that file. [`Bundle::save`] is safe: it
    /// writes a new file and renames it. [`Bundle::open_copied`] maps copies instead.
    ///
    /// # Errors
    /// When a part is missing, damaged or invalid; the error names the bundle and the part.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        Self::open_trusted(path, &BundleTrust::Everyone)
    }

    /// Opens a bundle like [`Bundle::open`] if `trust` accepts it. With trusted keys, every part is then verified by its SHA-256, also
    /// descriptors on disk.
    ///
    /// # Errors
    /// As [`Bundle::open`]; [`BundleError::Untrusted`] when it is not accepted, before anything of it but its manifest is read.
    pub fn open_trusted(path: &Path, trust: &BundleTrust) -> Result<Self, BundleError> {
        Self::from_files(path, read_files(path, trust)?, trust)
    }

    /// Opens a bundle like [`Bundle::open_trusted`], for a program that runs for weeks: what would be mapped is copied first, into
    /// files without a name in `folder`, so that the bundle may be modified in place while it is in use.
    ///
    /// # Errors
    /// As [`Bundle::open_trusted`]; [`BundleError::Copy`] when a part cannot be copied, e.g. for want of space.
    pub fn open_copied(
        path: &Path,
        trust: &BundleTrust,
        folder: &Path,
    ) -> Result<Self, BundleError> {
        let mut files = read_files(path, trust)?;
        files.parts = std::mem::take(&mut files.parts)
            .into_iter()
            .map(|(name, part)| match part.copied_into(folder) {
                Ok(part) => Ok((name, part)),
                Err(source) => Err(BundleError::Copy {
                    path: path.into(),
                    part: name,
                    folder: folder.into(),
                    source,
                }),
            })
            .collect::<Result<_, _>>()?;
        Self::from_files(path, files, trust)
    }

    /// The bundle with these files, which `trust` accepts, after a check of every part; `path` is for errors.
    fn from_files(path: &Path, files: Files, trust: &BundleTrust) -> Result<Self, BundleError> {
        let Files {
            head,
            manifest,
            mut parts,
        } = files;
        for (part, info) in &manifest.parts {
            let found = parts.get(part).ok_or_else(|| BundleError::MissingPart {
                path: path.into(),
                part: part.clone(),
            })?;
            if trust.accepts_checksums() && found.is_verified_later(part) {
                expect_size(path, part, info, found.len())?;
            } else {
                verify(path, part, info, found.len(), || found.sha256_hex())?;
            }
        }
        let bad = |part: &str, why: String| BundleError::Part {
            path: path.into(),
            part: part.into(),
            why,
        };
        let mut take = |part: &str| {
            parts.remove(part).ok_or_else(|| BundleError::MissingPart {
                path: path.into(),
                part: part.into(),
            })
        };
        let catalogue = take(CATALOGUE)?
            .into_catalogue()
            .map_err(|e: CatalogueError| bad(CATALOGUE, e.to_string()))?;
        let local = match &manifest.local {
            None => None,
            Some(info) if !manifest.parts.contains_key(LOCAL) => {
                Some(LocalPhotos::new(info.layout))
            }
            Some(_) => {
                let index = take(LOCAL_INDEX)?
                    .into_bytes()
                    .map_err(|e| bad(LOCAL_INDEX, e.to_string()))?;
                let local = take(LOCAL)?.into_local(&index);
                Some(local.map_err(|e: LocalPhotosError| bad(LOCAL, e.to_string()))?)
            }
        };
        let mut bytes = |part: &str| {
            take(part)?
                .into_bytes()
                .map_err(|source| BundleError::Read {
                    path: path.into(),
                    source,
                })
        };
        let decision =
            serde_json::from_slice(&bytes(DECISION)?).map_err(|e| bad(DECISION, e.to_string()))?;
        let card = String::from_utf8(bytes(CARD)?).map_err(|e| bad(CARD, e.to_string()))?;
        let golden = match manifest.parts.contains_key(GOLDEN) {
            true => golden::from_bytes(path, &bytes(GOLDEN)?, manifest.dimension)?,
            false => vec![],
        };
        let detector = match manifest.detector.is_some() {
            true => Some(bytes(DETECTOR)?),
            false => None,
        };
        let training = match manifest.parts.contains_key(TRAINING) {
            true => {
                Some(TrainingSet::from_bytes(&bytes(TRAINING)?).map_err(|why| bad(TRAINING, why))?)
            }
            false => None,
        };
        let (manifest_bytes, signature) = head.into_parts();
        let bundle = Self {
            model: bytes(MODEL)?,
            manifest,
            catalogue,
            decision,
            card,
            golden,
            detector,
            local,
            training,
            signature,
            id: id_of(&manifest_bytes),
            manifest_bytes,
        };
        bundle.validate(&path.display().to_string())?;
        Ok(bundle)
    }

    /// Saves the bundle: a path that ends in `.flukebundle` becomes one file, any other a folder.
    /// The same bundle always gives the same bytes. An existing bundle stays until the new one is
    /// complete on the disk.
    ///
    /// # Errors
    /// When writing fails, when the destination is a folder with other files, or when public fields
    /// of the bundle no longer match its manifest ([`BundleError::Stale`]).
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
        if let Some(signature) = &self.signature {
            let bytes = Content::Bytes(Cow::Owned(signature.to_bytes()));
            files.push((SIGNATURE_FILE, bytes));
        }
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

    /// The first 12 hex digits of the SHA-256 of `manifest.json`; it identifies the bundle.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The SHA-256 of `manifest.json`, 64 hexadecimal digits.
    pub fn manifest_sha256(&self) -> String {
        sha256_hex(&self.manifest_bytes)
    }

    /// Who published the bundle, if it is signed: the signature is valid. What is changed has to be signed again.
    pub fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// The content of a part, to be written.
    fn part(&self, part: &str) -> Result<Content<'_>, BundleError> {
        let borrowed = |bytes| Ok(Content::Bytes(Cow::Borrowed(bytes)));
        match part {
            MODEL => borrowed(&self.model),
            CATALOGUE => Ok(Content::Catalogue(&self.catalogue)),
            CARD => borrowed(self.card.as_bytes()),
            LOCAL => Ok(Content::Local(
                self.local.as_ref().ok_or_else(|| self.stale(part))?,
            )),
            LOCAL_INDEX => {
                let local = self.local.as_ref().ok_or_else(|| self.stale(part))?;
                Ok(Content::Bytes(Cow::Owned(local.index_bytes())))
            }
            DETECTOR => borrowed(self.detector.as_deref().ok_or_else(|| self.stale(part))?),
            GOLDEN => Ok(Content::Bytes(Cow::Owned(golden::to_bytes(&self.golden)))),
            TRAINING => {
                let training = self.training.as_ref().ok_or_else(|| self.stale(part))?;
                Ok(Content::Bytes(Cow::Owned(training.to_bytes())))
            }
            DECISION => {
                let mut bytes = serde_json::to_vec_pretty(&self.decision).map_err(|e| {
                    BundleError::Inconsistent {
                        bundle: self.manifest.name.clone(),
                        why: format!("its decision rule cannot be written: {e}"),
                    }
                })?;
                bytes.push(b'\n');
                Ok(Content::Bytes(Cow::Owned(bytes)))
            }
            _ => Err(self.stale(part)),
        }
    }

    fn stale(&self, part: &str) -> BundleError {
        BundleError::Stale { part: part.into() }
    }

    /// Checks that the parts fit together; `bundle` is the path or name for errors.
    fn validate(&self, bundle: &str) -> Result<(), BundleError> {
        self.consistent().map_err(|why| BundleError::Inconsistent {
            bundle: bundle.to_owned(),
            why,
        })
    }

    fn consistent(&self) -> Result<(), String> {
        let Manifest {
            name,
            preparation,
            views,
            dimension,
            detector,
            local,
            ..
        } = &self.manifest;
        if name.trim().is_empty() {
            return Err("its name is empty".into());
        }
        preparation.validate().map_err(|e| e.to_string())?;
        if views.is_empty() || (1..views.len()).any(|i| views[..i].contains(&views[i])) {
            return Err("its views must be plain, mirrored or both, each once".into());
        }
        if *dimension == 0 || !dimension.is_multiple_of(views.len()) {
            return Err(format!(
                "embedding dimension {dimension} is not divisible by {} views",
                views.len()
            ));
        }
        if self.catalogue.dimension() != *dimension {
            return Err(format!(
                "its catalogue has embeddings of dimension {}, expected the model's {dimension}",
                self.catalogue.dimension()
            ));
        }
        if let Some(other) = self.golden.iter().find(|g| g.dimension() != *dimension) {
            return Err(format!(
                "its golden embeddings have dimension {}, expected the model's {dimension}",
                other.dimension()
            ));
        }
        self.decision.validate().map_err(|e| e.to_string())?;
        if let Some(detector) = detector {
            detector.validate().map_err(|e| e.to_string())?;
        }
        match (local, &self.local) {
            (None, None) => {}
            (Some(info), Some(photos)) => {
                info.layout.validate().map_err(|e| e.to_string())?;
                info.score.validate().map_err(|e| e.to_string())?;
                if photos.layout() != info.layout {
                    return Err(format!(
                        "its photos have descriptors of {:?}, expected the model's {:?}",
                        photos.layout(),
                        info.layout
                    ));
                }
                photos
                    .expect_photos(self.catalogue.entries())
                    .map_err(|e| e.to_string())?;
            }
            _ => {
                return Err(
                    "descriptors of photos and the field 'local' must be present together".into(),
                );
            }
        }
        Ok(())
    }
}

/// Compares the size of a part with the manifest.
fn expect_size(path: &Path, part: &str, info: &PartInfo, bytes: u64) -> Result<(), BundleError> {
    if bytes == info.bytes {
        return Ok(());
    }
    Err(BundleError::WrongSize {
        path: path.into(),
        part: part.into(),
        expected: info.bytes,
        got: bytes,
    })
}

/// Compares a part of `bytes` bytes with the manifest; calls `sha256_hex` only if the size matches.
fn verify(
    path: &Path,
    part: &str,
    info: &PartInfo,
    bytes: u64,
    sha256_hex: impl FnOnce() -> io::Result<String>,
) -> Result<(), BundleError> {
    expect_size(path, part, info, bytes)?;
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

fn id_of(manifest: &[u8]) -> String {
    sha256_hex(manifest).chars().take(12).collect()
}

#[cfg(test)]
mod tests;
