//! Python, with which libtorch and ONNX Runtime are installed. Flukewatch itself does not use it.

use super::debian;
use crate::checkout::Checkout;
use anyhow::bail;
use std::process::Command;

/// A command that runs `python3`.
pub(super) fn python(checkout: &Checkout) -> Command {
    checkout.program("python3")
}

/// A command that runs `python3 -m pip`.
pub(super) fn pip(checkout: &Checkout) -> Command {
    let mut command = python(checkout);
    command
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .args(["-m", "pip"]);
    command
}

/// A part of Python that Debian packages separately.
pub(super) struct Part {
    module: &'static str,
    package: &'static str,
}

/// pip, to install Python packages.
pub(super) const PIP: Part = Part {
    module: "pip",
    package: "python3-pip",
};
/// venv, to create environments. Without the package there is a module `venv`, but not `ensurepip`,
/// which it needs.
pub(super) const VENV: Part = Part {
    module: "ensurepip",
    package: "python3-venv",
};

/// Installs a part if it is missing.
///
/// # Errors
/// If it is missing and cannot be installed; says what to do.
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
        bail!("python3 still lacks the module {module}; check that it is Debian's python3");
    }
    Ok(())
}
