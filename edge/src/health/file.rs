//! `health.json`.

use super::document::Health;
use std::path::Path;

impl Health {
    /// Replaces `file` with the document in one step: readers never see half of it. A power cut may
    /// lose the newest version.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> std::io::Result<()> {
        // A writer on the file itself would make a system call for each token.
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let part = file.with_extension("json.part");
        std::fs::write(&part, text)?;
        std::fs::rename(&part, file)
    }
}
