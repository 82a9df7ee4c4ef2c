//! What the fuzz targets share.

use std::path::PathBuf;

pub mod receiver;
pub mod repair;

/// The environment variable that names the folder where a target writes its seeds, in the place of a search.
pub const SEEDS: &str = "FLUKEWATCH_SEEDS";

/// What a search begins with: well-formed inputs, made by Flukewatch itself so that they are always of the newest format.
///
/// Does nothing but where [`SEEDS`] is set; then it writes them and ends the program.
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
