//! TensorRT's headers, which we may not redistribute: from a folder that the user names, or from a
//! crate that contains them.

use crate::checkout::Checkout;
use anyhow::{Context, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The variable that names a folder of headers, as installed by JetPack.
pub(super) const FOLDER: &str = "TENSORRT_INCLUDE_DIR";

/// The headers of one version of TensorRT.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Headers {
    /// Version, e.g. `10.16`.
    pub(super) version: String,
    /// Major version.
    pub(super) major: u32,
    /// The folder with `NvInfer.h`.
    pub(super) folder: PathBuf,
}

/// Versions of the crate trtx-sys (Apache-2.0), and the headers that they contain.
const CRATES: [(&str, &str); 2] = [
    ("0.9.1+rtx1.7", "TensorRT-Headers/TRT-Enterprise-11.4"),
    ("0.5.0", "TensorRT-Headers/TRT-Enterprise-10.16"),
];

/// The headers that the user names, else those of all versions of the crate.
///
/// # Errors
/// If the folder has no headers, or Cargo cannot fetch the crates.
pub(super) fn all(checkout: &Checkout) -> anyhow::Result<Vec<Headers>> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let headers = Headers::copied(Path::new(&folder), &checkout.target().join("shims"))
            .with_context(|| format!("{FOLDER} is {}", folder.display()))?;
        return Ok(vec![headers]);
    }
    CRATES
        .iter()
        .map(|(version, folder)| Headers::read(&of_crate(checkout, version)?.join(folder)))
        .collect()
}

/// The sources of a version of trtx-sys in Cargo's registry, fetched if necessary.
fn of_crate(checkout: &Checkout, version: &str) -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            let user = std::env::var_os("HOME")?;
            Some(PathBuf::from(user).join(".cargo"))
        });
    let sources = home.context("HOME is not set")?.join("registry/src");
    let name = format!("trtx-sys-{version}");
    if let Some(found) = search(&sources, &name) {
        return Ok(found);
    }
    // The only Cargo command that fetches a crate without its dependencies.
    let plain = version.split('+').next().unwrap_or(version);
    checkout
        .ask(checkout.cargo().args(["info", "--quiet", &format!("trtx-sys@{plain}")]))
        .with_context(|| format!("Cargo cannot fetch the crate trtx-sys {version}, which contains TensorRT's headers; set {FOLDER}"))?;
    search(&sources, &name).with_context(|| format!("{name} is missing in {}", sources.display()))
}

/// Searches the folders of all registries.
fn search(sources: &Path, name: &str) -> Option<PathBuf> {
    let registries = fs::read_dir(sources).ok()?;
    registries
        .flatten()
        .map(|registry| registry.path().join(name))
        .find(|folder| folder.is_dir())
}

impl Headers {
    /// Reads the version of the headers in `folder`.
    fn read(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("NvInferVersion.h");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("TensorRT's headers not found: {}", file.display()))?;
        let number = |name: &str| define(&text, name, 4);
        let (Some(major), Some(minor)) = (number("NV_TENSORRT_MAJOR"), number("NV_TENSORRT_MINOR"))
        else {
            bail!("{} does not define a version", file.display());
        };
        if !folder.join("NvOnnxParser.h").is_file() {
            bail!("NvOnnxParser.h is missing in {}", folder.display());
        }
        Ok(Self {
            version: format!("{major}.{minor}"),
            major,
            folder: folder.to_owned(),
        })
    }

    /// Copies TensorRT's own headers from `folder` to `into`: a system's include folder has other
    /// headers, which must not mix with the compiler's.
    fn copied(folder: &Path, into: &Path) -> anyhow::Result<Self> {
        let found = Self::read(folder)?;
        let copy = into.join(format!("headers-{}", found.version));
        let to = |name: &Path| copy.join(name);
        fs::create_dir_all(&copy)?;
        for entry in fs::read_dir(folder)?.flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("Nv") && entry.path().is_file() {
                fs::copy(entry.path(), to(Path::new(&name)))?;
            }
        }
        let parts = folder.join("impl");
        if parts.is_dir() {
            fs::create_dir_all(to(Path::new("impl")))?;
            for entry in fs::read_dir(&parts)?
                .flatten()
                .filter(|e| e.path().is_file())
            {
                fs::copy(entry.path(), to(&Path::new("impl").join(entry.file_name())))?;
            }
        }
        Ok(Self {
            folder: copy,
            ..found
        })
    }
}

/// The value of `#define name`, which may be another name.
fn define(text: &str, name: &str, depth: u32) -> Option<u32> {
    let mut words = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("#define") && words.next() == Some(name)).then(|| words.next())?
    });
    let value = words.next()?;
    match value.parse() {
        Ok(number) => Some(number),
        Err(_) if depth > 0 => define(text, value, depth - 1),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "#define TRT_MAJOR_ENTERPRISE 10\n#define TRT_MINOR_ENTERPRISE 16\n\
        #define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE //!< major\n#define NV_TENSORRT_MINOR TRT_MINOR_ENTERPRISE\n";
    const OLD: &str =
        "#define NV_TENSORRT_MAJOR 8 //!< TensorRT major version.\n#define NV_TENSORRT_MINOR 5\n";

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("NvInferVersion.h"), text).unwrap();
        folder
    }

    #[test]
    fn versions_are_resolved_through_other_names() {
        assert_eq!(define(NEW, "NV_TENSORRT_MAJOR", 4), Some(10));
        assert_eq!(define(OLD, "NV_TENSORRT_MINOR", 4), Some(5));
        assert_eq!(define("#define A B\n#define B A\n", "A", 4), None);
        assert_eq!(define(OLD, "NV_TENSORRT", 4), None);
    }

    #[test]
    fn only_tensorrts_headers_are_copied_from_a_systems_folder() {
        let system = folder(OLD);
        assert!(Headers::read(system.path()).is_err(), "without a parser");
        fs::write(system.path().join("NvOnnxParser.h"), "").unwrap();
        fs::write(system.path().join("stdio.h"), "").unwrap();
        fs::create_dir(system.path().join("impl")).unwrap();
        fs::write(system.path().join("impl/a.h"), "").unwrap();
        let into = tempfile::tempdir().unwrap();
        let headers = Headers::copied(system.path(), into.path()).unwrap();
        assert_eq!((headers.major, &*headers.version), (8, "8.5"));
        assert_eq!(headers.folder, into.path().join("headers-8.5"));
        assert!(headers.folder.join("NvOnnxParser.h").is_file());
        assert!(headers.folder.join("impl/a.h").is_file());
        assert!(!headers.folder.join("stdio.h").exists());
    }

    #[test]
    fn a_folder_without_headers_is_named() {
        let error = Headers::read(Path::new("no/such/folder")).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("no/such/folder/NvInferVersion.h"), "{said}");
    }
}
