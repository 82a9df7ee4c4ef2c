//! Reserved disk space: on a full disk the database needs some even to delete.

use super::error::OutboxError;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// More than the database's log grows between two checkpoints.
const BYTES: usize = 512 * 1024;

pub(super) struct Reserve {
    file: PathBuf,
}

impl Reserve {
    /// The reserve of the outbox in `outbox`.
    pub(super) fn of(outbox: &Path) -> Self {
        Self {
            file: outbox.join("outbox.reserve"),
        }
    }

    /// Reserves the space if it is not reserved yet.
    ///
    /// # Errors
    /// When there is none; then there is none for sightings either.
    pub(super) fn keep(&self) -> Result<(), OutboxError> {
        if self.file.exists() {
            return Ok(());
        }
        let part = self.file.with_extension("reserve.part");
        let written = File::create(&part)
            .and_then(|mut file| {
                file.write_all(&filling())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&part, &self.file));
        written.map_err(|e| {
            let _ = std::fs::remove_file(&part);
            OutboxError::disk(&self.file)(e)
        })
    }

    /// Frees the space for deleting. Returns whether it was reserved.
    pub(super) fn release(&self) -> bool {
        std::fs::remove_file(&self.file).is_ok()
    }
}

/// Random bytes: some file systems do not store zeros.
fn filling() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..BYTES / 8).flat_map(|_| next()).collect()
}
