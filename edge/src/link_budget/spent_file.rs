//! Keeps the bytes of the last hour through a restart.

use crate::bounded_note::{BoundedNote, NoteError};
use flukewatch_common::link_class::LinkClass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The name of the file in the outbox's folder.
const NAME: &str = "link-budget.json";
/// It has about 2 kB.
const MAX_BYTES: u64 = 64 * 1024;

/// The file.
#[derive(Debug)]
pub(super) struct SpentFile(BoundedNote);

/// What it holds.
#[derive(Debug)]
pub(super) enum Read {
    Minutes(Minutes),
    /// It does not exist: the first start.
    Absent,
    Damaged,
}

/// The bytes of each of the last minutes, the newest first, by the name of the class.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Minutes(BTreeMap<String, Vec<u64>>);

impl Minutes {
    /// Those of `class`.
    pub(super) fn of(&self, class: LinkClass) -> &[u64] {
        self.0.get(class.as_str()).map_or(&[], Vec::as_slice)
    }
}

impl SpentFile {
    pub(super) fn of(folder: &Path) -> Self {
        Self(BoundedNote::new(folder.join(NAME), MAX_BYTES))
    }

    pub(super) fn read(&self) -> Read {
        match self.0.read() {
            Ok(Some(minutes)) => Read::Minutes(minutes),
            Ok(None) => Read::Absent,
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot read the link's budget; counting this hour's bytes as spent"
                );
                Read::Damaged
            }
        }
    }

    pub(super) fn write(&self, minutes: [Vec<u64>; LinkClass::ALL.len()]) -> Result<(), NoteError> {
        let classes = LinkClass::ALL.into_iter().zip(minutes);
        let spent = classes.filter(|(_, minutes)| minutes.iter().any(|bytes| *bytes > 0));
        let spent = spent.map(|(class, minutes)| (class.as_str().to_owned(), minutes));
        self.0.write(&Minutes(spent.collect()))
    }
}
