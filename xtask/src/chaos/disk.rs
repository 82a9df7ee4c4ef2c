//! A small disk for a boat's outbox, which can be filled.

use crate::checkout::Checkout;
use anyhow::Context;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its size, in memory. A boat writes about 10 MB a minute while it cannot deliver.
const MEGABYTES: u32 = 96;
/// What fills it.
const BALLAST: &str = "ballast";

/// A file system in memory, or a plain folder where mounting is not permitted.
///
/// It is unmounted when it is dropped. A copy of the outbox stays next to its folder, to look into.
pub(super) struct Disk {
    folder: PathBuf,
    mounted: bool,
    fills: u32,
}

impl Disk {
    /// Mounts a disk in the new folder `folder`.
    ///
    /// # Errors
    /// If the folder cannot be created.
    pub(super) fn mount(checkout: &Checkout, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be created", folder.display()))?;
        let mut mount = checkout.program("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={MEGABYTES}m"), "tmpfs"]);
        Ok(Self {
            folder: folder.to_owned(),
            mounted: checkout.ask(mount.arg(folder)).is_some(),
            fills: 0,
        })
    }

    /// Whether it can be filled.
    pub(super) fn is_small(&self) -> bool {
        self.mounted
    }

    /// The folder in it that holds the outbox.
    pub(super) fn outbox(&self) -> PathBuf {
        self.folder.join("outbox")
    }

    /// Fills it; does nothing unless it is small.
    ///
    /// # Errors
    /// If the file that fills it cannot be created.
    pub(super) fn fill(&mut self) -> anyhow::Result<()> {
        self.fills += 1;
        if self.mounted && self.fills == 1 {
            let path = self.folder.join(BALLAST);
            let file = File::create(&path)
                .with_context(|| format!("{} cannot be created", path.display()));
            write_until_full(file?);
        }
        Ok(())
    }

    /// Ends a fill. The disk has room again once all have ended.
    pub(super) fn free(&mut self) {
        self.fills = self.fills.saturating_sub(1);
        if self.fills == 0 {
            let _ = fs::remove_file(self.folder.join(BALLAST));
        }
    }
}

/// Writes large pieces, then small ones, until the disk is full.
fn write_until_full(mut file: File) {
    for size in [1 << 20, 1 << 12] {
        let piece = vec![0; size];
        while file.write_all(&piece).is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(self.outbox())
                .arg(self.folder.with_file_name("outbox"))
                .output();
            if !copied.is_ok_and(|c| c.status.success()) {
                eprintln!("warning: no copy of {}", self.outbox().display());
            }
            unmount(&self.folder);
        }
    }
}

/// Unmounts the disks that an earlier run left behind in `folder`. Those in use stay.
pub(super) fn unmount_leftovers(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    for point in points.map(Path::new).filter(|p| p.starts_with(folder)) {
        unmount(point);
    }
}

fn unmount(point: &Path) {
    let done = Command::new("umount").arg(point).output();
    if !done.is_ok_and(|d| d.status.success()) {
        eprintln!("warning: {} is still mounted", point.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where mounting is not permitted, there is nothing to test but that nothing is filled.
    #[test]
    fn a_filled_disk_has_no_room_until_all_fills_have_ended() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("disk");
        let mut disk = Disk::mount(&Checkout::at(around.path()), &folder).unwrap();
        fs::create_dir(disk.outbox()).unwrap();
        fs::write(disk.outbox().join("sighting"), "whale").unwrap();
        disk.fill().unwrap();
        disk.fill().unwrap();
        disk.free();
        let written = || fs::write(folder.join("file"), [0; 4096]).is_ok();
        assert_eq!(written(), !disk.is_small());
        disk.free();
        assert!(written());
        let small = disk.is_small();
        drop(disk);
        assert_eq!(folder.join("file").exists(), !small);
        assert_eq!(around.path().join("outbox/sighting").exists(), small);
    }
}
