//! Debian's packages.

use crate::workshop::Workshop;
use anyhow::bail;

/// Installs a package where xtask may, as root on a Debian system.
///
/// # Errors
/// Where it may not: the message is the command to run. And when apt-get fails.
pub(super) fn install(workshop: &Workshop, package: &str) -> anyhow::Result<()> {
    if workshop
        .ask(workshop.program("apt-get").arg("--version"))
        .is_none()
    {
        bail!("missing: {package} (Debian's name); install it as your system does");
    }
    let root = workshop.ask(workshop.program("id").arg("-u"));
    if root.as_deref().map(str::trim) != Some("0") {
        bail!("missing: {package}; run: sudo apt-get install {package}");
    }
    println!("    apt-get installs {package}");
    let apt = || {
        let mut command = workshop.program("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    workshop.run(apt().arg("update"))?;
    workshop.run(
        apt()
            .args(["install", "-y", "--no-install-recommends"])
            .arg(package),
    )
}
