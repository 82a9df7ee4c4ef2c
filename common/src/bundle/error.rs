//! Errors of opening and saving a bundle.

use super::FORMAT;
use super::signature::InvalidSignature;
use super::trust::TrustError;
use std::io;
use std::path::PathBuf;

/// Why a bundle cannot be opened or saved.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The path of the file or folder.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// A part cannot be copied before it is mapped.
    #[error("the {part} of bundle {} cannot be copied to {}: {source}", .path.display(), .folder.display())]
    Copy {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
        /// The folder of the copies.
        folder: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The folder or file is not a bundle.
    #[error("{} is not a bundle: {why}", .path.display())]
    NotABundle {
        /// The path of the file or folder.
        path: PathBuf,
        /// What is missing or wrong.
        why: &'static str,
    },
    /// The manifest cannot be parsed or contradicts itself.
    #[error("bundle {}: its manifest.json cannot be used: {why}", .path.display())]
    Manifest {
        /// The path of the bundle.
        path: PathBuf,
        /// A description of the error.
        why: String,
    },
    /// The signature's file is not one, or the bundle cannot be signed so.
    #[error("bundle {}: its signature.json cannot be used: {source}", .path.display())]
    Signature {
        /// The path of the bundle.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidSignature,
    },
    /// The bundle is undamaged, and not one that is to be used.
    #[error("bundle {} rejected: {source}", .path.display())]
    Untrusted {
        /// The path of the bundle.
        path: PathBuf,
        /// Why it is not used.
        source: TrustError,
    },
    /// Written by a newer Flukewatch.
    #[error("bundle {}: format {got} is newer than this program, which reads format {FORMAT}: update the program", .path.display())]
    Newer {
        /// The path of the bundle.
        path: PathBuf,
        /// The format in the bundle's manifest.
        got: u64,
    },
    /// Written by an older Flukewatch.
    #[error("bundle {}: unsupported format {got}; expected format {FORMAT}: export the bundle again", .path.display())]
    Older {
        /// The path of the bundle.
        path: PathBuf,
        /// The format in the bundle's manifest.
        got: u64,
    },
    /// A part that this format does not define.
    #[error("bundle {}: unknown part '{part}'", .path.display())]
    UnknownPart {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part or the file.
        part: String,
    },
    /// A part is missing.
    #[error("bundle {}: its {part} is missing", .path.display())]
    MissingPart {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
    },
    /// A file name that leads out of the bundle, or is used twice.
    #[error("bundle {}: its {part} has the invalid file name '{file}'; expected a unique name of letters, digits, '.', '-' and '_'", .path.display())]
    PartName {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
        /// The file name in the manifest.
        file: String,
    },
    /// A part exceeds the size limit.
    #[error("bundle {}: its {part} has {bytes} bytes, more than the limit", .path.display())]
    TooLarge {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
        /// The size in bytes.
        bytes: u64,
    },
    /// A part is shorter or longer than the manifest says.
    #[error("bundle {}: its {part} has {got} bytes where the manifest says {expected}: copy the bundle again", .path.display())]
    WrongSize {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
        /// The size in the manifest, in bytes.
        expected: u64,
        /// The size on disk, in bytes.
        got: u64,
    },
    /// A part was changed after the bundle was made.
    #[error("bundle {}: its {part} does not match the manifest (SHA-256 differs): copy the bundle again", .path.display())]
    Altered {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
    },
    /// The single file is damaged.
    #[error("bundle {}: the file is damaged or cut off: {why}", .path.display())]
    Archive {
        /// The path of the bundle.
        path: PathBuf,
        /// A description of the error.
        why: String,
    },
    /// A part is complete, but its content is invalid.
    #[error("bundle {}: its {part} cannot be used: {why}", .path.display())]
    Part {
        /// The path of the bundle.
        path: PathBuf,
        /// The name of the part.
        part: String,
        /// A description of the error.
        why: String,
    },
    /// The parts contradict each other.
    #[error("bundle {bundle}: {why}")]
    Inconsistent {
        /// The path or name of the bundle.
        bundle: String,
        /// What is inconsistent.
        why: String,
    },
    /// A public field was changed without updating the manifest.
    #[error(
        "the bundle's {part} does not match its manifest; make it with Bundle::new or with_catalogue"
    )]
    Stale {
        /// The part, or `manifest`.
        part: String,
    },
    /// The destination folder holds files that do not belong to a bundle.
    #[error("{} is not replaced: it holds '{file}', which is not part of a bundle; move the file or choose another folder", .path.display())]
    Occupied {
        /// The destination folder.
        path: PathBuf,
        /// The file that does not belong to a bundle.
        file: String,
    },
    /// A file or folder cannot be written.
    #[error("{} cannot be written: {source}", .path.display())]
    Write {
        /// The path of the file or folder.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
}
