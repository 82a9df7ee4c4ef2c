//! Errors of TensorRT, its shims and its plans.

use std::path::{Path, PathBuf};

/// Errors of starting TensorRT or loading a model.
#[derive(Debug, thiserror::Error)]
pub enum TensorRtError {
    /// No shim is installed.
    #[error(
        "no shim for TensorRT (libflukewatch_trt11.so, libflukewatch_trt10.so or libflukewatch_trt8.so) in {}: \
         build them with `cargo xtask shim`", .folder.display()
    )]
    NoShim {
        /// The folder that was searched.
        folder: PathBuf,
    },
    /// None of several shims starts; each with its error.
    #[error("{}", each(.0))]
    NoneStarts(Vec<TensorRtError>),
    /// The file cannot be opened as a shim.
    #[error("{} cannot be opened as a shim for TensorRT: {why}", .file.display())]
    NotAShim {
        /// The path of the file.
        file: PathBuf,
        /// The error of the loader.
        why: String,
    },
    /// The shim belongs to another version of Flukewatch.
    #[error(
        "{} has version {got} of the shim's interface; expected {expected}: install the shim of this version",
        .file.display()
    )]
    OtherAbi {
        /// The path of the file.
        file: PathBuf,
        /// The interface version of the shim.
        got: u32,
        /// The interface version of this program.
        expected: u32,
    },
    /// The shim is for another TensorRT than its file name says.
    #[error("{} is a shim for TensorRT {got}, not {expected}: rename it to its version", .file.display())]
    OtherName {
        /// The path of the file.
        file: PathBuf,
        /// The major version of the shim.
        got: i32,
        /// The major version in the file name.
        expected: u32,
    },
    /// The driver, the GPU or TensorRT is missing or of another version.
    #[error("TensorRT does not start with {}: {why}", .shim.display())]
    NotStarted {
        /// The path of the shim.
        shim: PathBuf,
        /// What is missing.
        reason: NotStarted,
        /// The reason that the shim gives.
        why: String,
    },
    /// TensorRT cannot read the ONNX file.
    #[error("TensorRT rejects the model: {0}; run `flukewatch inspect --target` for details")]
    NotParsed(String),
    /// TensorRT cannot build a plan from the model.
    #[error("TensorRT cannot build a plan from the model: {0}")]
    NotBuilt(String),
    /// The build was cancelled.
    #[error("the build of the plan was cancelled")]
    Stopped,
    /// TensorRT cannot load the plan.
    #[error("TensorRT cannot load the plan: {0}")]
    NotLoaded(String),
    /// The input or output of the plan differs from the model's.
    #[error("the TensorRT plan does not match the model: {0}")]
    Unsupported(String),
    /// The GPU or TensorRT failed while running.
    #[error("TensorRT failed: {0}")]
    Failed(String),
    /// The cache of plans failed.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The model is invalid for any engine.
    #[error(transparent)]
    Model(#[from] crate::engine::EngineError),
    /// TensorRT's output differs from tract's.
    #[error("TensorRT and tract disagree: {0}")]
    Disagrees(String),
}

/// The missing requirement of TensorRT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// The NVIDIA driver.
    Driver,
    /// A usable GPU.
    Device,
    /// TensorRT or its ONNX parser.
    Library,
    /// A TensorRT of the shim's major version.
    Version,
    /// Any other failure.
    Other,
}

fn each(errors: &[TensorRtError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// Errors of the cache of plans.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Other users can write to the folder or file, and a plan holds native code.
    #[error(
        "{} is not safe to load plans from, which hold native code: {why}. Give it to the user that runs flukewatch-edge alone \
         (chown, chmod go-w), or name another folder", .path.display()
    )]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// Who could write to it.
        why: String,
    },
    /// An I/O operation failed.
    #[error("{} cannot be {what}: {source}", .path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The operation, as a participle.
        what: &'static str,
        /// The I/O error.
        source: std::io::Error,
    },
    /// The file of a plan is damaged.
    #[error("the plan {} is damaged: {why}", .path.display())]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl CacheError {
    /// Converts an I/O error on `path`, for `map_err`.
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}
