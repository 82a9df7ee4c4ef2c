//! `health.json`.

use super::document::Health;
use std::fs::File;
use std::io::Write;
use std::path::Path;

impl Health {
    /// Replaces `file` with the document in one step: readers never see half of it. A power cut may
    /// lose the newest version.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        let part = file.with_extension("json.part");
        let mut out = File::create(&part)?;
        serde_json::to_writer_pretty(&mut out, self)?;
        out.write_all(b"\n")?;
        drop(out);
        std::fs::rename(&part, file)
    }
}
