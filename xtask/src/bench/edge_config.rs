//! The configuration of a boat that is measured.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `edge.toml` into `folder`, with a bundle and the section `[camera]`; returns its path. The outbox is
/// `outbox` beside it, and the broker cannot be reached (port 9 is closed): sightings stay in the outbox.
pub(super) fn write_config(folder: &Path, bundle: &Path, camera: &str) -> anyhow::Result<PathBuf> {
    let bundle = fs::canonicalize(bundle).with_context(|| bundle.display().to_string())?;
    let bundle = bundle.to_str().context("the bundle's path is not UTF-8")?;
    let config = folder.join("edge.toml");
    let text = format!(
        "\
[boat]
name = \"bench\"
[bundle]
path = {bundle:?}
allow_unsigned = true
[engine]
backend = \"tract\"
{camera}[outbox]
path = \"outbox\"
[uplink]
broker = \"mqtt://127.0.0.1:9\"
[page]
listen = \"\"
"
    );
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    Ok(config)
}
