//! Atomic writes: a file is complete or absent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Tells temporary files of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Writes a temporary file beside `path`, syncs it, then renames it to `path`: after a crash `path` has either the
/// old content or the new, and of several writers the last one wins.
///
/// # Errors
/// Any error of the file system; the temporary file is then removed.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}-{number}.new", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = write_synced(temporary, content).and_then(|()| fs::rename(temporary, path));
    if let Err(e) = written {
        // The first error is the one to report.
        let _ = fs::remove_file(temporary);
        return Err(e);
    }
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_writers_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        std::thread::scope(|scope| {
            for writer in 0..8u8 {
                let path = &path;
                scope.spawn(move || write_atomically(path, &[writer; 4096]).unwrap());
            }
        });
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len(), 4096);
        assert!(content.iter().all(|b| *b == content[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        fs::create_dir(&path).unwrap();
        assert!(write_atomically(&path, b"content").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
