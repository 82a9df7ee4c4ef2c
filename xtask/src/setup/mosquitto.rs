//! mosquitto, an external broker for tests.

use super::debian::{self, Tool};
use crate::checkout::Checkout;
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
pub(super) fn install(checkout: &Checkout) -> anyhow::Result<()> {
    debian::require(checkout, &[MOSQUITTO])?;
    if let Some(program) = find() {
        println!("    it is {}", program.display());
    }
    Ok(())
}
