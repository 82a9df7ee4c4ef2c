//! Keeps the bytes of the last hour through a restart.

use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::link_class::LinkClass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// The name of the file in the outbox's folder.
const NAME: &str = "link-budget.json";
/// It has about 2 kB.
const MAX_BYTES: u64 = 64 * 1024;

/// The file.
#[derive(Debug)]
pub(super) struct SpentFile(PathBuf);

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
        Self(folder.join(NAME))
    }

    pub(super) fn read(&self) -> Read {
        let mut bytes = vec![];
        let read = File::open(&self.0).and_then(|f| f.take(MAX_BYTES).read_to_end(&mut bytes));
        let error = match read {
            Err(e) if e.kind() == ErrorKind::NotFound => return Read::Absent,
            Err(e) => e.to_string(),
            Ok(_) => match serde_json::from_slice(&bytes) {
                Ok(minutes) => return Read::Minutes(minutes),
                Err(e) => e.to_string(),
            },
        };
        tracing::warn!(
            file = %self.0.display(),
            error,
            "cannot read the link's budget; counting this hour's bytes as spent"
        );
        Read::Damaged
    }

    pub(super) fn write(&self, minutes: [Vec<u64>; LinkClass::ALL.len()]) -> Result<(), io::Error> {
        let classes = LinkClass::ALL.into_iter().zip(minutes);
        let spent = classes.filter(|(_, minutes)| minutes.iter().any(|bytes| *bytes > 0));
        let spent = spent.map(|(class, minutes)| (class.as_str().to_owned(), minutes));
        let text = serde_json::to_vec(&Minutes(spent.collect()))?;
        write_atomically(&self.0, &text)
    }
}
