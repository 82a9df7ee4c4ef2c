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
    write_through(path, content, |temporary| File::create(temporary))
}

/// The same for a file that may hold passwords: only its owner can read it, at any time.
///
/// # Errors
/// Any error of the file system; the temporary file is then removed.
pub fn write_private_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    write_through(path, content, |temporary| {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(temporary)
    })
}

fn write_through(
    path: &Path,
    content: &[u8],
    create: impl FnOnce(&Path) -> io::Result<File>,
) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    temporary.push(format!(".{}-{number}.new", std::process::id()));
    let temporary = Path::new(&temporary);
    let written = create(temporary)
        .and_then(|file| write_synced(file, content))
        .and_then(|()| fs::rename(temporary, path));
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

fn write_synced(mut file: File, content: &[u8]) -> io::Result<()> {
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

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        fs::write(&path, "readable").unwrap();
        write_private_atomically(&path, b"secret").unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(
            (mode & 0o777, fs::read(&path).unwrap()),
            (0o600, b"secret".to_vec())
        );
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
