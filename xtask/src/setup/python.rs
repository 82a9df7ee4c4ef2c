//! Python, which brings libtorch and ONNX Runtime. Nothing of Flukewatch runs in it.

use super::debian;
use crate::checkout::Checkout;
use anyhow::bail;
use std::process::Command;

/// `python3`.
pub(super) fn python(checkout: &Checkout) -> Command {
    checkout.program("python3")
}

/// `python3 -m pip`.
pub(super) fn pip(checkout: &Checkout) -> Command {
    let mut command = python(checkout);
    command
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .args(["-m", "pip"]);
    command
}

/// A part of Python that Debian has in a package of its own.
pub(super) struct Part {
    module: &'static str,
    package: &'static str,
}

/// To install Python packages.
pub(super) const PIP: Part = Part {
    module: "pip",
    package: "python3-pip",
};
/// To make environments. Without the package there is a module `venv`, but not the one that it needs.
pub(super) const VENV: Part = Part {
    module: "ensurepip",
    package: "python3-venv",
};

/// Sees to it that a part is there.
///
/// # Errors
/// When it is not and cannot be installed; says what to do.
pub(super) fn require(checkout: &Checkout, Part { module, package }: Part) -> anyhow::Result<()> {
    let import = format!("import {module}");
    let there = || {
        checkout
            .ask(python(checkout).args(["-c", &import]))
            .is_some()
    };
    if there() {
        return Ok(());
    }
    debian::install(checkout, &[package])?;
    if !there() {
        bail!("python3 still has no module {module}; is it Debian's?");
    }
    Ok(())
}
