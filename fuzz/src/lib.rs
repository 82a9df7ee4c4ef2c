//! Code shared by the fuzz targets.

use std::path::PathBuf;

pub mod receiver;
pub mod repair;

/// The environment variable with the folder to which a target writes its seeds instead of fuzzing.
pub const SEEDS: &str = "FLUKEWATCH_SEEDS";

/// Writes the seeds of a target: valid inputs, made by Flukewatch itself so that they always have
/// the newest format.
///
/// Does nothing unless [`SEEDS`] is set; then it writes them and exits.
///
/// # Panics
/// When they cannot be written.
pub fn seeds<const N: usize>(make: impl FnOnce() -> [Vec<u8>; N]) {
    let Some(folder) = std::env::var_os(SEEDS).map(PathBuf::from) else {
        return;
    };
    for (number, seed) in make().iter().enumerate() {
        let path = folder.join(format!("seed-{number}"));
        std::fs::write(&path, seed).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
    std::process::exit(0);
}
