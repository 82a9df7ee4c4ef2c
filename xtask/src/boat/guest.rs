//! The emulated computer: its initial file system, and QEMU.

use super::config::{BUNDLE, IDENTITY, Sight, config};
use super::encounter::{self, Encounter};
use super::replay;
use crate::arm64::{self, Kernel};
use crate::checkout::Checkout;
use anyhow::Context;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

/// Kernel modules of the network and the camera.
const MODULES: [&str; 3] = ["virtio_pci", "virtio_net", "vivid"];
/// Options of vivid: one camera with an HDMI input, and an output that can be connected to it.
const CAMERA: &str =
    "n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1";
/// Libraries of glibc that the programs link to.
const LIBRARIES: [&str; 5] = [
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "libgcc_s.so.1",
];
const LOADER: &str = "ld-linux-aarch64.so.1";
/// Seconds for which each whale is shown.
const SECONDS: &str = "5";

/// Debian's packages in the emulated computer.
pub(super) struct Debian {
    /// The kernel.
    pub(super) kernel: Kernel,
    modules: Vec<PathBuf>,
    busybox: PathBuf,
    libraries: [PathBuf; 2],
}

impl Debian {
    /// Downloads missing packages.
    pub(super) fn fetch(checkout: &Checkout) -> anyhow::Result<Self> {
        let kernel = arm64::kernel(checkout)?;
        let modules = arm64::modules(checkout, &kernel, &MODULES)?;
        let busybox = arm64::package(checkout, "busybox-static")?.join("bin/busybox");
        let libraries = ["libc6", "libgcc-s1"].map(|package| {
            arm64::package(checkout, package).map(|f| f.join("lib/aarch64-linux-gnu"))
        });
        let [libc, libgcc] = libraries;
        println!(
            "    kernel {} in {}",
            kernel.version,
            kernel.folder.display()
        );
        Ok(Self {
            kernel,
            modules,
            busybox,
            libraries: [libc?, libgcc?],
        })
    }
}

/// Folder below `/boat` with a folder per encounter, which `init.sh` goes through in order.
const ENCOUNTERS: &str = "encounters";
/// Folder of the frames of the replayed encounter, below its configuration.
const FRAMES: &str = "frames";

/// The files of Flukewatch in the emulated boat.
pub(super) struct Aboard<'a> {
    /// The boat's program for aarch64.
    pub(super) edge: &'a Path,
    /// Folder with the camera player and the driver test, for aarch64.
    pub(super) examples: &'a Path,
    pub(super) bundle: &'a Path,
    /// Folder of the drawn whales.
    pub(super) whales: &'a Path,
    /// The whales that the camera is shown, in order.
    pub(super) encounters: &'a [Encounter],
    /// Folder of the boat's identity.
    pub(super) identity: &'a Path,
    /// URL of this machine's broker.
    pub(super) broker: &'a str,
}

/// Packs the guest's initial file system below `folder`; returns the file for QEMU.
pub(super) fn pack(
    checkout: &Checkout,
    folder: &Path,
    debian: &Debian,
    aboard: &Aboard,
) -> anyhow::Result<PathBuf> {
    let root = folder.join("guest");
    let made = || format!("cannot write to {}", root.display());
    fill(&root, debian, aboard).with_context(made)?;
    let archive = folder.join("guest.cpio");
    let names = checkout
        .ask(checkout.program("find").arg(".").current_dir(&root))
        .with_context(made)?;
    let list = folder.join("guest.list");
    fs::write(&list, names)?;
    let mut cpio = checkout.program("cpio");
    cpio.args(["--create", "--format=newc", "--quiet", "--owner=0:0"])
        .current_dir(&root)
        .stdin(File::open(&list)?)
        .stdout(File::create(&archive)?)
        .stderr(Stdio::inherit());
    let status = cpio.status().context("cpio cannot be started")?;
    anyhow::ensure!(status.success(), "cpio failed ({status})");
    Ok(archive)
}

fn fill(root: &Path, debian: &Debian, aboard: &Aboard) -> anyhow::Result<()> {
    let within = |path: &str| root.join(path);
    for inside in [
        "bin",
        "lib/aarch64-linux-gnu",
        "dev",
        "proc",
        "sys",
        "tmp",
        "modules",
        "boat",
    ] {
        fs::create_dir_all(within(inside))?;
    }
    fs::write(within("init"), include_str!("init.sh"))?;
    executable(&within("init"))?;
    fs::copy(&debian.busybox, within("bin/busybox"))?;
    symlink("busybox", within("bin/sh"))?;
    let [libc, _] = &debian.libraries;
    fs::copy(libc.join(LOADER), within("lib").join(LOADER))?;
    for library in LIBRARIES {
        let found = debian
            .libraries
            .iter()
            .map(|f| f.join(library))
            .find(|f| f.is_file());
        let found = found.with_context(|| format!("{library} is missing in Debian's glibc"))?;
        fs::copy(found, within("lib/aarch64-linux-gnu").join(library))?;
    }
    let mut order = String::new();
    for module in &debian.modules {
        let name = module.file_name().context("a module has no name")?;
        fs::copy(module, within("modules").join(name))?;
        let name = name.to_string_lossy();
        let options = if name.starts_with("vivid.") {
            CAMERA
        } else {
            ""
        };
        order += &format!("{name} {options}\n");
    }
    fs::write(within("modules/order"), order)?;

    for (program, name) in [
        (aboard.edge.to_owned(), "edge"),
        (aboard.examples.join("v4l2_player"), "player"),
        (aboard.examples.join("v4l2_trial"), "trial"),
    ] {
        let to = within("bin").join(name);
        fs::copy(&program, &to).with_context(|| program.display().to_string())?;
        executable(&to)?;
    }
    fs::copy(aboard.bundle, within(BUNDLE.trim_start_matches('/')))?;
    fs::write(within("boat/seconds"), SECONDS)?;
    for (i, encounter) in aboard.encounters.iter().enumerate() {
        let folder = within("boat")
            .join(ENCOUNTERS)
            .join(format!("{}-{}", i + 1, encounter.whale));
        fs::create_dir_all(&folder)?;
        let toml = config(Sight::Camera(&encounter.whale), aboard.broker);
        fs::write(folder.join("edge.toml"), toml)?;
        for photo in &encounter.photos {
            let file = folder.join(&photo.file);
            fs::copy(encounter::photo(aboard.whales, photo), &file)?;
            fs::write(file.with_extension("json"), photo.sidecar())?;
        }
        // The camera is unplugged for a while before the last whale.
        if i + 1 == aboard.encounters.len() {
            fs::write(folder.join("unplug"), "")?;
        }
    }
    identity(aboard.identity, &within(IDENTITY.trim_start_matches('/')))?;
    let shown = aboard.encounters.first().context("no whale was drawn")?;
    let replayed = within("boat/replay");
    replay::write(&replayed.join(FRAMES), aboard.whales, shown)?;
    let toml = config(Sight::Replay(FRAMES), aboard.broker);
    fs::write(replayed.join("edge.toml"), toml)?;
    // What is pending after that is sent by a run over open sea.
    let send = within("boat/send");
    fs::create_dir_all(send.join("sea"))?;
    let toml = config(Sight::Delivery("sea"), aboard.broker);
    fs::write(send.join("edge.toml"), toml)?;
    let any = shown.photos.first().context("no photo was drawn")?;
    fs::copy(
        encounter::photo(aboard.whales, any),
        send.join("sea/000001.jpg"),
    )?;
    fs::write(send.join("sea/000001.json"), replay::SEA)?;
    Ok(())
}

/// Copies an identity with the permissions of its files: only the boat may read its key.
fn identity(from: &Path, to: &Path) -> anyhow::Result<()> {
    let unreadable = || format!("{} cannot be read", from.display());
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        fs::copy(entry.path(), to.join(entry.file_name())).with_context(unreadable)?;
    }
    Ok(())
}

fn executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
}

/// The command that runs the emulated computer. Its network reaches this machine; its console is
/// QEMU's output.
pub(super) fn qemu(checkout: &Checkout, kernel: &Kernel, memory: &Path) -> Command {
    let mut qemu = checkout.program("qemu-system-aarch64");
    qemu.args([
        "-M",
        "virt",
        "-cpu",
        "cortex-a72",
        "-smp",
        "2",
        "-m",
        "1024",
    ])
    .args([
        "-accel",
        "tcg,thread=multi",
        "-nographic",
        "-no-reboot",
        "-nodefaults",
    ])
    .args(["-serial", "stdio", "-netdev", "user,id=net"])
    .args(["-device", "virtio-net-pci,netdev=net,romfile="])
    .arg("-kernel")
    .arg(kernel.image())
    .arg("-initrd")
    .arg(memory)
    .arg("-append")
    .arg(kernel_arguments(SystemTime::now()));
    qemu
}

/// With the time, which the kernel passes to init as an environment variable: the sightings' times should be right
/// even where the kernel has no driver for the emulated clock.
fn kernel_arguments(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    format!("console=ttyAMA0 quiet panic=-1 host_time={seconds}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_goes_through_the_folders_that_are_packed() {
        let script = include_str!("init.sh");
        assert!(script.contains(&format!("in {ENCOUNTERS}/*; do")));
        assert!(script.contains("$(cat seconds)") && script.contains("cd /boat/send"));
        assert!(script.contains("cd /boat/replay"));
    }

    #[test]
    fn the_guest_gets_the_time() {
        let now = UNIX_EPOCH + std::time::Duration::from_secs(1_796_000_000);
        let arguments = kernel_arguments(now);
        assert!(arguments.ends_with(" host_time=1796000000"), "{arguments}");
        assert!(include_str!("init.sh").contains("\"@$host_time\""));
    }

    #[test]
    fn a_key_stays_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        for (name, mode) in [("boat.key", 0o600), ("ca.pem", 0o644)] {
            fs::write(from.join(name), name).unwrap();
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        identity(&from, &to).unwrap();
        let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("boat.key"), mode("ca.pem")), (0o600, 0o644));
        assert!(identity(&folder.path().join("none"), &to).is_err());
    }
}
