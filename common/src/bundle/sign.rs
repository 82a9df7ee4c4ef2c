//! Signs a bundle where it is.

use super::content::Content;
use super::manifest::MANIFEST_FILE;
use super::signature::{SIGNATURE_FILE, Signature, SignatureTerms};
use super::{Bundle, BundleError, BundleTrust, Files, archive, folder, verify};
use crate::atomic_file::write_atomically;
use flukewatch_trust::SigningKey;
use std::borrow::Cow;
use std::path::Path;

/// Signs the bundle at `path`, a folder or a `.flukebundle` file, in place of an earlier signature, once it is
/// verified that every part is complete and valid. The bundle is replaced atomically and keeps its id.
///
/// # Errors
/// When the bundle cannot be used or written, or `terms` are out of range.
pub fn sign(
    path: &Path,
    key: &SigningKey,
    terms: SignatureTerms,
) -> Result<Signature, BundleError> {
    Bundle::from_files(path, verified(path)?, &BundleTrust::Everyone)?;
    let files = verified(path)?;
    let manifest = files.head.manifest_bytes();
    let signature =
        Signature::new(key, manifest, terms).map_err(|source| BundleError::Signature {
            path: path.into(),
            source,
        })?;
    let bytes = signature.to_bytes();
    if path.is_dir() {
        let file = path.join(SIGNATURE_FILE);
        write_atomically(&file, &bytes)
            .map_err(|source| BundleError::Write { path: file, source })?;
        return Ok(signature);
    }
    let mut contents = vec![
        (MANIFEST_FILE, Content::Bytes(Cow::Borrowed(manifest))),
        (SIGNATURE_FILE, Content::Bytes(Cow::Owned(bytes))),
    ];
    for (part, info) in &files.manifest.parts {
        let content = &files.parts[part];
        contents.push((&info.file, Content::Read(content)));
    }
    archive::write(path, &contents)?;
    Ok(signature)
}

/// The files of the bundle at `path`, each verified, whatever its signature is.
fn verified(path: &Path) -> Result<Files, BundleError> {
    let files = if path.is_dir() {
        folder::read(path, |_| Ok(()))?
    } else {
        archive::read(path, |_| Ok(()))?
    };
    for (part, info) in &files.manifest.parts {
        let content = files
            .parts
            .get(part)
            .ok_or_else(|| BundleError::MissingPart {
                path: path.into(),
                part: part.clone(),
            })?;
        verify(path, part, info, content.len(), || content.sha256_hex())?;
    }
    Ok(files)
}
