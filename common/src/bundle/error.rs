//! What can be wrong with a bundle.

use super::FORMAT;
use std::io;
use std::path::PathBuf;

/// Why a bundle cannot be opened or saved.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The disk says no.
    #[error("{} cannot be read: {source}", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Some other folder or file.
    #[error("{} is no bundle: it does not {why}", .path.display())]
    NotABundle {
        /// The file or folder.
        path: PathBuf,
        /// What it lacks.
        why: &'static str,
    },
    /// The manifest is damaged.
    #[error("bundle {}: its manifest.json cannot be used: {why}", .path.display())]
    Manifest {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer Flukewatch.
    #[error("bundle {}: format {got} is newer than this program, which reads format {FORMAT}: update the program", .path.display())]
    Newer {
        /// The bundle.
        path: PathBuf,
        /// Its format.
        got: u64,
    },
    /// Written by an older Flukewatch.
    #[error("bundle {}: format {got} is no longer read; expected format {FORMAT}: export the bundle again", .path.display())]
    Older {
        /// The bundle.
        path: PathBuf,
        /// Its format.
        got: u64,
    },
    /// A part that this format does not have.
    #[error("bundle {}: there is no part '{part}' in a bundle", .path.display())]
    UnknownPart {
        /// The bundle.
        path: PathBuf,
        /// The part's or the file's name.
        part: String,
    },
    /// A part that is not there.
    #[error("bundle {}: its {part} is missing", .path.display())]
    MissingPart {
        /// The bundle.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// A file name that leads out of the bundle, or is used twice.
    #[error("bundle {}: its {part} is said to be in '{file}', which is no file name that a part may have", .path.display())]
    PartName {
        /// The bundle.
        path: PathBuf,
        /// The part.
        part: String,
        /// The name.
        file: String,
    },
    /// Larger than is read.
    #[error("bundle {}: its {part} has {bytes} bytes, more than is read", .path.display())]
    TooLarge {
        /// The bundle.
        path: PathBuf,
        /// The part.
        part: String,
        /// Its size.
        bytes: u64,
    },
    /// Cut off, or grown.
    #[error("bundle {}: its {part} has {got} bytes where the manifest says {expected}: copy the bundle again", .path.display())]
    WrongSize {
        /// The bundle.
        path: PathBuf,
        /// The part.
        part: String,
        /// By the manifest.
        expected: u64,
        /// In fact.
        got: u64,
    },
    /// Changed since it was made.
    #[error("bundle {}: its {part} is not the one that the manifest names (SHA-256 differs): copy the bundle again", .path.display())]
    Altered {
        /// The bundle.
        path: PathBuf,
        /// The part.
        part: String,
    },
    /// The single file is damaged.
    #[error("bundle {}: the file is damaged or cut off: {why}", .path.display())]
    Archive {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A part is whole but not what it should be.
    #[error("bundle {}: its {part} cannot be used: {why}", .path.display())]
    Part {
        /// The bundle.
        path: PathBuf,
        /// The part.
        part: String,
        /// What is wrong.
        why: String,
    },
    /// The parts contradict each other.
    #[error("bundle {bundle}: {why}")]
    Inconsistent {
        /// Its path or name.
        bundle: String,
        /// What does not fit.
        why: String,
    },
    /// Changed in memory, past its manifest.
    #[error(
        "the bundle's {part} is not what its manifest says; make it with Bundle::new or with_catalogue"
    )]
    Stale {
        /// The part, or `manifest`.
        part: String,
    },
    /// The place is taken by something that is no bundle, or no bundle alone.
    #[error("{} is not replaced: it holds '{file}', which is no part of a bundle", .path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        file: String,
    },
    /// The disk does not take it.
    #[error("{} cannot be written: {source}", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
