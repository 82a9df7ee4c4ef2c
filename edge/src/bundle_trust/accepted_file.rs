//! The note of the bundle that worked last.

use crate::bounded_note::{BoundedNote, NoteError};
use flukewatch_common::bundle::{Accepted, AcceptedBundle};
use std::path::Path;

/// The file in the outbox's folder.
const NAME: &str = "accepted-bundle.json";

/// The size limit of the file, in bytes.
const MAX_BYTES: u64 = 1024;

/// The file that names the bundle that worked last.
#[derive(Clone, Debug)]
pub struct AcceptedFile(BoundedNote);

impl AcceptedFile {
    /// The file in the folder `outbox`.
    pub fn new(outbox: &Path) -> Self {
        Self(BoundedNote::new(outbox.join(NAME), MAX_BYTES))
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The bundle that is noted. Where the note is damaged, a warning is logged.
    pub fn read(&self) -> Accepted {
        match self.0.read() {
            Ok(Some(accepted)) => Accepted::Bundle(accepted),
            Ok(None) => Accepted::Nothing,
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot read which bundle was used last; accepting every version"
                );
                Accepted::Unknown
            }
        }
    }

    /// Notes `bundle`. The file is written only where it differs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, bundle: &AcceptedBundle) -> Result<(), NoteError> {
        if matches!(self.0.read::<AcceptedBundle>(), Ok(Some(noted)) if noted == *bundle) {
            return Ok(());
        }
        self.0.write(bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(version: u64) -> AcceptedBundle {
        AcceptedBundle {
            manifest_sha256: "0".repeat(64),
            version,
        }
    }

    #[test]
    fn a_bundle_is_noted_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = AcceptedFile::new(&folder.path().join("outbox"));
        assert_eq!(file.read(), Accepted::Nothing);
        for version in [7, 9, 3] {
            file.note(&bundle(version)).unwrap();
            assert_eq!(file.read(), Accepted::Bundle(bundle(version)));
        }
    }

    #[test]
    fn an_unchanged_note_is_not_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = AcceptedFile::new(folder.path());
        file.note(&bundle(7)).unwrap();
        let written = || std::fs::metadata(file.path()).unwrap().modified().unwrap();
        let before = written();
        file.note(&bundle(7)).unwrap();
        assert_eq!(written(), before);
    }

    #[test]
    fn a_damaged_note_does_not_say_that_there_was_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = AcceptedFile::new(folder.path());
        for damaged in [
            &b""[..],
            b"\xff\xfe",
            b"{}",
            b"{\"manifest_sha256\":\"00\",\"version\":-1}",
            b"{\"manifest_sha256\":\"00\",\"version\":1,\"other\":2}",
            &[b' '; 5000],
        ] {
            std::fs::write(file.path(), damaged).unwrap();
            assert_eq!(file.read(), Accepted::Unknown);
        }
        file.note(&bundle(7)).unwrap();
        assert_eq!(file.read(), Accepted::Bundle(bundle(7)));
    }
}
