//! Lets programs that were linked against libtorch find it without `LD_LIBRARY_PATH`, and tells them its
//! version.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_LIBTORCH").is_some()
        && let Ok(folder) = std::env::var("LIBTORCH")
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}/lib");
        if let Some(version) = libtorch_version(Path::new(&folder)) {
            println!("cargo:rustc-env=FLUKEWATCH_LIBTORCH_VERSION={version}");
        }
    }
}

/// The version of libtorch: from the Python package, or from the C++ distribution.
fn libtorch_version(folder: &Path) -> Option<String> {
    let read = |file: &str| {
        let path = folder.join(file);
        println!("cargo:rerun-if-changed={}", path.display());
        std::fs::read_to_string(path).ok()
    };
    if let Some(text) = read("version.py") {
        let assigned = |line: &str| Some(line.strip_prefix("__version__ = ")?.trim().to_owned());
        let version = text.lines().find_map(assigned)?;
        return Some(version.trim_matches(['\'', '"']).to_owned());
    }
    Some(read("build-version")?.trim().to_owned())
}
