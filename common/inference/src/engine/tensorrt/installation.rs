//! The TensorRT, GPU and driver that a shim opened.

use super::shim::Session;
use std::fmt;
use std::path::PathBuf;

/// The versions of TensorRT and driver, and the GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The library's version with its build, e.g. `10.3.0.30`; unknown parts are omitted.
    pub version: String,
    /// The version of the headers that the shim was compiled with.
    pub headers: String,
    /// The name of the GPU, as its driver reports it.
    pub gpu: String,
    /// The GPU's compute capability, e.g. `8.7`.
    pub compute: String,
    /// The CUDA version of the driver, e.g. `12.6`.
    pub driver: String,
    /// The GPU's memory in bytes.
    pub memory_bytes: u64,
    /// The file of the shim that opened it.
    pub shim: PathBuf,
}

impl Installation {
    pub(super) fn of(session: &Session) -> Self {
        let about = session.about();
        let version = |parts: [i32; 4]| {
            let parts: Vec<String> = parts
                .iter()
                .take_while(|&&part| part >= 0)
                .map(ToString::to_string)
                .collect();
            parts.join(".")
        };
        let end = about
            .gpu
            .iter()
            .position(|&b| b == 0)
            .unwrap_or(about.gpu.len());
        let gpu = String::from_utf8_lossy(&about.gpu[..end]).trim().to_owned();
        Self {
            version: version(about.library),
            headers: version(about.headers),
            gpu,
            compute: format!("{}.{}", about.compute_major, about.compute_minor),
            driver: format!("{}.{}", about.driver / 1000, about.driver % 1000 / 10),
            memory_bytes: about.memory_bytes,
            shim: session.file().to_owned(),
        }
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            version,
            gpu,
            compute,
            driver,
            ..
        } = self;
        write!(
            f,
            "TensorRT {version} on {gpu} (compute {compute}), driver of CUDA {driver}"
        )
    }
}
