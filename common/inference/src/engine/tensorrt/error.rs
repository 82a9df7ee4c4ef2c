//! What can be in the way of TensorRT.

use std::path::{Path, PathBuf};

/// Why TensorRT does not run a model.
#[derive(Debug, thiserror::Error)]
pub enum TensorRtError {
    /// No shim anywhere.
    #[error(
        "there is no shim for TensorRT (libflukewatch_trt11.so, libflukewatch_trt10.so or libflukewatch_trt8.so) in {}: \
         `cargo xtask shim` makes them", .folder.display()
    )]
    NoShim {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Shims, and none of them starts. Each is told with its reason.
    #[error("{}", each(.0))]
    NoneStarts(Vec<TensorRtError>),
    /// A file that cannot be opened as a shim.
    #[error("{} cannot be opened as a shim for TensorRT: {why}", .file.display())]
    NotAShim {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// A shim of another Flukewatch.
    #[error(
        "{} speaks version {got} of the shim's interface, this program speaks {expected}: install the shim that came with it",
        .file.display()
    )]
    OtherAbi {
        /// The file.
        file: PathBuf,
        /// The shim's.
        got: u32,
        /// Ours.
        expected: u32,
    },
    /// A shim for another TensorRT than its name says.
    #[error("{} is a shim for TensorRT {got}, not {expected}: give it the name of its version", .file.display())]
    OtherName {
        /// The file.
        file: PathBuf,
        /// The shim's.
        got: i32,
        /// The name's.
        expected: u32,
    },
    /// No driver, no GPU, no TensorRT, or one of another version.
    #[error("TensorRT does not start through {}: {why}", .shim.display())]
    NotStarted {
        /// The shim.
        shim: PathBuf,
        /// Which of them.
        reason: NotStarted,
        /// What the shim says.
        why: String,
    },
    /// The ONNX file is not for TensorRT.
    #[error("TensorRT does not take the model: {0}; `flukewatch inspect --target` tells more")]
    NotParsed(String),
    /// The model could not be made a plan.
    #[error("TensorRT builds no plan from the model: {0}")]
    NotBuilt(String),
    /// Somebody ended the build.
    #[error("building the plan was ended before it was done")]
    Stopped,
    /// A plan that TensorRT does not take.
    #[error("TensorRT does not load the plan: {0}")]
    NotLoaded(String),
    /// A plan for other images or embeddings than the model's.
    #[error("the plan that TensorRT built is not the model's: {0}")]
    Unsupported(String),
    /// The GPU failed.
    #[error("TensorRT failed: {0}")]
    Failed(String),
    /// The folder of plans.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The model itself, whatever the engine.
    #[error(transparent)]
    Model(#[from] crate::engine::EngineError),
    /// TensorRT's numbers are not the model's.
    #[error("TensorRT runs the model and gives other numbers than tract: {0}")]
    Disagrees(String),
}

/// What of TensorRT is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// The driver.
    Driver,
    /// The GPU.
    Device,
    /// TensorRT or its ONNX parser.
    Library,
    /// A TensorRT of this major version.
    Version,
    /// Something else.
    Other,
}

fn each(errors: &[TensorRtError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

/// What is wrong with the folder of plans, or with a plan in it.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A folder or file that others than this program's user can write: a plan holds native code.
    #[error(
        "{} is not safe to load plans from, which hold native code: {why}. Give it to the user that runs flukewatch-edge alone \
         (chown, chmod go-w), or name another folder", .path.display()
    )]
    NotOurs {
        /// The folder or file.
        path: PathBuf,
        /// Who could write it.
        why: String,
    },
    /// The disk.
    #[error("{} cannot be {what}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done.
        what: &'static str,
        /// Why it cannot.
        source: std::io::Error,
    },
    /// A plan that is not whole.
    #[error("the plan {} is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl CacheError {
    /// For `map_err`.
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}
