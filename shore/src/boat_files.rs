//! A folder with one small file per boat, which commands change while the station runs and follows it.

use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::sighting::BoatId;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 16 * 1024;

const LOCK_FILE: &str = "lock";
const EXTENSION: &str = "json";

/// A folder in a station's data folder, with one file per boat. Several processes may use it at a time.
#[derive(Clone, Debug)]
pub(crate) struct BoatFiles {
    data: PathBuf,
    folder: PathBuf,
}

/// The right to change the files, until it is dropped.
#[derive(Debug)]
pub(crate) struct FilesLock {
    _file: File,
}

/// Changes when a file is written or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, (SystemTime, u64, u64)>);

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BoatFilesError {
    /// The data folder does not exist.
    #[error("{} does not exist: create it, or check --data", .0.display())]
    NoData(PathBuf),
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried, e.g. `read`.
        action: &'static str,
        /// Path of the file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl BoatFiles {
    /// The folder `name` in a station's data folder.
    pub(crate) fn new(data: &Path, name: &str) -> Self {
        Self {
            data: data.to_owned(),
            folder: data.join(name),
        }
    }

    /// Blocks until no other process changes the files.
    pub(crate) fn lock(&self) -> Result<FilesLock, BoatFilesError> {
        let file = self.lock_file()?;
        file.lock()
            .map_err(error("lock", &self.folder.join(LOCK_FILE)))?;
        Ok(FilesLock { _file: file })
    }

    /// The same without waiting; `None` where another process changes the files.
    pub(crate) fn try_lock(&self) -> Result<Option<FilesLock>, BoatFilesError> {
        let file = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(FilesLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => {
                Err(error("lock", &self.folder.join(LOCK_FILE))(source))
            }
        }
    }

    fn lock_file(&self) -> Result<File, BoatFilesError> {
        if !self.data.is_dir() {
            return Err(BoatFilesError::NoData(self.data.clone()));
        }
        let folder = &self.folder;
        fs::create_dir_all(folder).map_err(error("create", folder))?;
        let file = folder.join(LOCK_FILE);
        File::create(&file).map_err(error("create", &file))
    }

    /// Replaces the file of `boat`.
    pub(crate) fn write(&self, boat: &BoatId, bytes: &[u8]) -> Result<(), BoatFilesError> {
        let file = self.file_of(boat);
        write_atomically(&file, bytes).map_err(error("write", &file))
    }

    /// Removes the file of `boat`; `false` where there is none.
    pub(crate) fn remove(&self, boat: &BoatId) -> Result<bool, BoatFilesError> {
        let file = self.file_of(boat);
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(error("delete", &file)(source)),
        }
    }

    /// The content of the file of `boat`; `None` where there is none.
    pub(crate) fn read(&self, boat: &BoatId) -> Result<Option<Vec<u8>>, BoatFilesError> {
        let file = self.file_of(boat);
        let mut bytes = vec![];
        let read = File::open(&file).and_then(|f| f.take(MAX_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(missing) if missing.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(error("read", &file)(source)),
        }
    }

    /// The boats that have a file, by name.
    pub(crate) fn boats(&self) -> Result<Vec<BoatId>, BoatFilesError> {
        let files = self.files()?;
        Ok(files.iter().filter_map(|file| boat_of(file)).collect())
    }

    /// Identifies the state of the files.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint, BoatFilesError> {
        let mut versions = BTreeMap::new();
        for file in self.files()? {
            match fs::metadata(&file).and_then(|metadata| version(&metadata)) {
                Err(missing) if missing.kind() == ErrorKind::NotFound => {}
                found => {
                    let version = found.map_err(error("read", &file))?;
                    versions.insert(file, version);
                }
            }
        }
        Ok(Fingerprint(versions))
    }

    /// Path of the file of `boat`.
    pub(crate) fn file_of(&self, boat: &BoatId) -> PathBuf {
        self.folder.join(format!("{boat}.{EXTENSION}"))
    }

    /// The files of boats, by name.
    fn files(&self) -> Result<Vec<PathBuf>, BoatFilesError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(missing) if missing.kind() == ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(error("read", &self.folder))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        let paths: Result<Vec<PathBuf>, _> = paths.collect();
        let mut paths = paths.map_err(error("read", &self.folder))?;
        paths.retain(|path| boat_of(path).is_some());
        paths.sort();
        Ok(paths)
    }
}

/// The boat whose file this is; `None` for other files, e.g. one that is being written.
fn boat_of(file: &Path) -> Option<BoatId> {
    let name = file.file_name()?.to_str()?;
    let boat = name.strip_suffix(EXTENSION)?.strip_suffix('.')?;
    boat.parse().ok()
}

fn version(metadata: &fs::Metadata) -> io::Result<(SystemTime, u64, u64)> {
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Ok((metadata.modified()?, metadata.len(), inode))
}

/// A failure to `action` the file or folder at `path`.
fn error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BoatFilesError {
    let path = path.to_owned();
    move |source| BoatFilesError::Io {
        action,
        path,
        source,
    }
}
