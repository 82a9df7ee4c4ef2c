//! Debian's packages for aarch64: downloaded and unpacked below `.tools/arm64`, never installed.

use crate::checkout::Checkout;
use crate::setup::debian;
use anyhow::{Context, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const FOLDER: &str = ".tools/arm64";
/// The meta-package that depends on Debian's newest kernel.
const NEWEST_KERNEL: &str = "linux-image-arm64";

/// An unpacked kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    /// Folder of the unpacked package.
    pub(crate) folder: PathBuf,
    /// Version, e.g. `6.1.0-56-arm64`.
    pub(crate) version: String,
}

impl Kernel {
    pub(crate) fn image(&self) -> PathBuf {
        self.folder
            .join("boot")
            .join(format!("vmlinuz-{}", self.version))
    }

    /// Finds the kernel that is unpacked in `folder`.
    fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let modules = folder.join("lib/modules");
        let version = fs::read_dir(&modules)
            .with_context(|| format!("{} cannot be read", modules.display()))?
            .flatten()
            .find_map(|entry| entry.file_name().into_string().ok())
            .with_context(|| format!("{} is empty", modules.display()))?;
        let kernel = Self {
            folder: folder.to_owned(),
            version,
        };
        ensure!(
            kernel.image().is_file(),
            "{} is missing",
            kernel.image().display()
        );
        Ok(kernel)
    }
}

/// The folder of the unpacked `package`; downloads it if it is missing.
///
/// # Errors
/// If this is not Debian, or the package cannot be downloaded.
pub(crate) fn package(checkout: &Checkout, package: &str) -> anyhow::Result<PathBuf> {
    let folder = checkout.path(FOLDER).join(package);
    if !folder.is_dir() {
        unpack(checkout, package, &folder)?;
    }
    Ok(folder)
}

/// Debian's kernel with its module dependencies (`modules.dep`).
///
/// # Errors
/// See [`package`].
pub(crate) fn kernel(checkout: &Checkout) -> anyhow::Result<Kernel> {
    let folder = checkout.path(FOLDER).join(NEWEST_KERNEL);
    if !folder.is_dir() {
        update(checkout)?;
        let shown = checkout
            .ask(apt(checkout, "apt-cache").args(["show", &format!("{NEWEST_KERNEL}:arm64")]))
            .unwrap_or_default();
        let name = image_of(&shown).with_context(|| {
            format!("Debian's package {NEWEST_KERNEL} does not depend on a kernel image")
        })?;
        unpack(checkout, name, &folder)?;
    }
    let kernel = Kernel::in_folder(&folder)?;
    let listed = folder
        .join("lib/modules")
        .join(&kernel.version)
        .join("modules.dep");
    if !listed.is_file() {
        let depmod = debian::find("depmod").context("depmod not found; install kmod")?;
        checkout.run(
            checkout
                .program(depmod)
                .arg("-b")
                .arg(&folder)
                .arg(&kernel.version),
        )?;
    }
    Ok(kernel)
}

/// The modules of `kernel` to load for `wanted`, in load order.
///
/// # Errors
/// If the kernel lacks one.
pub(crate) fn modules(
    checkout: &Checkout,
    kernel: &Kernel,
    wanted: &[&str],
) -> anyhow::Result<Vec<PathBuf>> {
    let modprobe = debian::find("modprobe").context("modprobe not found; install kmod")?;
    let mut files: Vec<PathBuf> = vec![];
    for module in wanted {
        let shown = checkout
            .ask(
                checkout
                    .program(&modprobe)
                    .arg("-d")
                    .arg(&kernel.folder)
                    .args(["-S", &kernel.version, "--show-depends", module]),
            )
            .with_context(|| format!("the kernel {} has no module {module}", kernel.version))?;
        for file in loaded(&shown) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// The files of `insmod /lib/modules/.. options`; built-in modules have no file.
fn loaded(shown: &str) -> Vec<PathBuf> {
    let file = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("insmod")).then(|| words.next().map(PathBuf::from))?
    };
    shown.lines().filter_map(file).collect()
}

/// The package of the newest kernel image, from `apt-cache show` of the meta-package. The first
/// entry is the newest.
fn image_of(shown: &str) -> Option<&str> {
    let depends = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    depends
        .split(',')
        .filter_map(|word| word.split_whitespace().next())
        .find(|name| name.starts_with("linux-image-"))
}

/// A private apt state with the system's sources, for packages of both architectures.
fn apt(checkout: &Checkout, program: &str) -> Command {
    let state = checkout.path(FOLDER).join("apt");
    let mut command = checkout.program(program);
    let native = checkout
        .ask(checkout.program("dpkg").arg("--print-architecture"))
        .unwrap_or_default();
    command.arg("-qq");
    for processor in [native.trim(), "arm64"] {
        command.args(["-o", &format!("APT::Architectures::={processor}")]);
    }
    command
        .arg("-o")
        .arg(format!(
            "Dir::State::lists={}",
            state.join("lists").display()
        ))
        .arg("-o")
        .arg(format!("Dir::Cache={}", state.join("cache").display()))
        .args(["-o", "APT::Sandbox::User=root"]);
    command
}

/// Downloads the package lists, which takes seconds.
fn update(checkout: &Checkout) -> anyhow::Result<()> {
    if debian::find("apt-get").is_none() || debian::find("dpkg-deb").is_none() {
        bail!(
            "Debian's packages for aarch64 cannot be downloaded: apt-get or dpkg-deb is missing; run this on Debian"
        );
    }
    for folder in ["apt/lists/partial", "apt/cache/archives/partial"] {
        let folder = checkout.path(FOLDER).join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("{} cannot be created", folder.display()))?;
    }
    checkout.run(apt(checkout, "apt-get").arg("update"))
}

/// Unpacks next to `folder` and then renames, so that `folder` is complete if it exists.
fn unpack(checkout: &Checkout, package: &str, folder: &Path) -> anyhow::Result<()> {
    println!("    downloading {package} for aarch64 with apt-get");
    let part = folder.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    let unpacked = part.join("unpacked");
    fs::create_dir_all(&unpacked)
        .with_context(|| format!("{} cannot be created", unpacked.display()))?;
    update(checkout)?;
    let name = format!("{package}:arm64");
    checkout.run(
        apt(checkout, "apt-get")
            .args(["download", &name])
            .current_dir(&part),
    )?;
    let file = fs::read_dir(&part)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "deb"))
        .with_context(|| format!("apt-get did not download {package}"))?;
    checkout.run(
        checkout
            .program("dpkg-deb")
            .arg("-x")
            .arg(file)
            .arg(&unpacked),
    )?;
    fs::rename(&unpacked, folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    fs::remove_dir_all(&part)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_first_entry_of_apt() {
        let shown = "Package: linux-image-arm64\nVersion: 6.1.192-2\n\
            Depends: linux-image-6.1.0-56-arm64 (= 6.1.192-2), other\n\n\
            Package: linux-image-arm64\nDepends: linux-image-6.1.0-50-arm64 (= 6.1.176-1)\n";
        assert_eq!(image_of(shown), Some("linux-image-6.1.0-56-arm64"));
        assert_eq!(image_of("Package: linux-image-arm64\n"), None);
    }

    #[test]
    fn modules_are_loaded_in_modprobes_order() {
        let shown = "insmod /k/lib/modules/6/virtio.ko \nbuiltin mc\ninsmod /k/lib/modules/6/vivid.ko n_devs=1\n";
        let files = ["/k/lib/modules/6/virtio.ko", "/k/lib/modules/6/vivid.ko"];
        assert_eq!(loaded(shown), files.map(PathBuf::from));
    }

    #[test]
    fn a_kernel_without_an_image_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Kernel::in_folder(folder.path()).is_err());
        fs::create_dir_all(folder.path().join("lib/modules/6.1.0-9-arm64")).unwrap();
        assert!(Kernel::in_folder(folder.path()).is_err());
        fs::create_dir_all(folder.path().join("boot")).unwrap();
        fs::write(folder.path().join("boot/vmlinuz-6.1.0-9-arm64"), "").unwrap();
        let kernel = Kernel::in_folder(folder.path()).unwrap();
        assert_eq!(kernel.version, "6.1.0-9-arm64");
    }
}
