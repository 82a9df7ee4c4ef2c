//! mosquitto, an external broker for tests.

use super::debian::{self, Tool};
use crate::checkout::Checkout;
use std::path::PathBuf;

const MOSQUITTO: Tool = Tool {
    program: "mosquitto",
    package: "mosquitto",
};

/// The path of mosquitto.
pub(crate) fn find() -> Option<PathBuf> {
    debian::find(MOSQUITTO.program)
}

/// Installs it if it is missing. Debian then starts a broker as a service, as for any user of the
/// package.
///
/// # Errors
/// If it is missing and cannot be installed; says what to run.
pub(crate) fn install(checkout: &Checkout) -> anyhow::Result<()> {
    debian::require(checkout, &[MOSQUITTO])?;
    if let Some(program) = find() {
        println!("    found {}", program.display());
    }
    Ok(())
}
