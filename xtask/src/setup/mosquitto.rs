//! mosquitto: tests meet a broker that is not ours.

use super::debian::{self, Tool};
use crate::workshop::Workshop;
use std::path::PathBuf;

const MOSQUITTO: Tool = Tool {
    program: "mosquitto",
    package: "mosquitto",
};

/// Where it is.
pub(crate) fn find() -> Option<PathBuf> {
    debian::find(MOSQUITTO.program)
}

/// Installs it where it is missing. Debian starts a broker of its own after that, as for any user of the package.
///
/// # Errors
/// When it is missing and cannot be installed; says what to run.
pub(super) fn install(workshop: &Workshop) -> anyhow::Result<()> {
    debian::demand(workshop, &[MOSQUITTO])?;
    if let Some(program) = find() {
        println!("    it is {}", program.display());
    }
    Ok(())
}
