//! Reads what strace wrote of a program: the changes that it made to a folder, in order.

use super::disk::Change;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The system calls that change files. Those that [`Reader::call`] does not know fail the test, so that a new way of writing is
/// not overlooked.
pub(super) const CALLS: &str = "trace=openat,open,creat,write,writev,pwrite64,pwritev,pwritev2,lseek,ftruncate,truncate,fallocate,\
fsync,fdatasync,sync_file_range,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,dup,dup2,dup3,copy_file_range,sendfile,link,linkat";

/// One step of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Change(Change),
    /// A line that it wrote to its file of marks.
    Mark(String),
}

/// Reads the output of `strace -y -xx`. Paths of changes are relative to `folder`.
pub(super) fn read(trace: &str, folder: &Path, marks: &Path) -> Vec<Step> {
    let mut reader = Reader {
        folder,
        marks,
        positions: BTreeMap::new(),
        steps: vec![],
    };
    trace.lines().for_each(|line| reader.line(line));
    reader.steps
}

struct Reader<'a> {
    folder: &'a Path,
    marks: &'a Path,
    /// The position of each open file, by its descriptor.
    positions: BTreeMap<i64, usize>,
    steps: Vec<Step>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) {
        // Without -f a line has no process id.
        let line = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim();
        if line.starts_with("+++") || line.starts_with("---") {
            return;
        }
        let (call, result) = line.rsplit_once(" = ").expect("a call and its result");
        let (name, arguments) = call.split_once('(').expect("a call with arguments");
        let arguments = arguments.trim_end().strip_suffix(')');
        let arguments: Vec<&str> = arguments.expect("the end of a call").split(", ").collect();
        let number = result.split(['<', ' ']).next().unwrap_or_default();
        let result: i64 = number
            .parse()
            .unwrap_or_else(|_| panic!("result of {line}"));
        if result >= 0 {
            self.call(name, &arguments, result);
        }
    }

    fn call(&mut self, name: &str, arguments: &[&str], result: i64) {
        match name {
            "openat" => self.open(arguments, result),
            "write" => {
                let position = self.positions.entry(descriptor(arguments[0])).or_default();
                let offset = *position;
                *position += usize::try_from(result).unwrap();
                self.write(arguments, offset, result);
            }
            "pwrite64" => self.write(arguments, arguments[3].parse().unwrap(), result),
            "lseek" => {
                let position = usize::try_from(result).unwrap();
                self.positions.insert(descriptor(arguments[0]), position);
            }
            "ftruncate" => {
                let len = arguments[1].parse().unwrap();
                self.change(&opened(arguments[0]), |path| Change::Resize { path, len });
            }
            "fsync" | "fdatasync" => self.change(&opened(arguments[0]), Change::Sync),
            "unlink" => self.change(&quoted(arguments[0]), Change::Remove),
            "unlinkat" => self.change(&quoted(arguments[1]), Change::Remove),
            "mkdir" => self.change(&quoted(arguments[0]), Change::CreateFolder),
            "mkdirat" => self.change(&quoted(arguments[1]), Change::CreateFolder),
            "rename" => self.rename(&quoted(arguments[0]), &quoted(arguments[1])),
            "renameat" | "renameat2" => self.rename(&quoted(arguments[1]), &quoted(arguments[3])),
            _ => {
                let touched = arguments.iter().any(|a| {
                    a.contains('<') && self.inside(&opened(a)).is_some()
                        || a.starts_with('"') && self.inside(&quoted(a)).is_some()
                });
                assert!(
                    !touched,
                    "{name} changes a file in a way this test does not know"
                );
            }
        }
    }

    fn open(&mut self, arguments: &[&str], descriptor: i64) {
        self.positions.insert(descriptor, 0);
        let path = quoted(arguments[1]);
        let flags: Vec<&str> = arguments[2].split('|').collect();
        if flags.contains(&"O_CREAT") {
            self.change(&path, Change::CreateFile);
        }
        if flags.contains(&"O_TRUNC") {
            self.change(&path, |path| Change::Resize { path, len: 0 });
        }
        assert!(
            self.inside(&path).is_none() || !flags.contains(&"O_APPEND"),
            "appends have other positions"
        );
    }

    fn write(&mut self, arguments: &[&str], offset: usize, written: i64) {
        let path = opened(arguments[0]);
        if path != self.marks && self.inside(&path).is_none() {
            return;
        }
        let mut bytes = unescaped(arguments[1]);
        bytes.truncate(usize::try_from(written).unwrap());
        if path == self.marks {
            let line = String::from_utf8(bytes).unwrap();
            self.steps.push(Step::Mark(line.trim_end().to_owned()));
        } else {
            self.change(&path, |path| Change::Write {
                path,
                offset,
                bytes,
            });
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        match (self.inside(from), self.inside(to)) {
            (Some(from), Some(to)) => self.steps.push(Step::Change(Change::Rename { from, to })),
            (None, None) => {}
            _ => panic!("{} leaves the folder or enters it", from.display()),
        }
    }

    fn change(&mut self, path: &Path, change: impl FnOnce(PathBuf) -> Change) {
        if let Some(path) = self.inside(path) {
            self.steps.push(Step::Change(change(path)));
        }
    }

    /// The path relative to the folder; `None` where it is outside. SQLite's shared memory is made again by whoever opens the
    /// database after a power cut.
    fn inside(&self, path: &Path) -> Option<PathBuf> {
        let relative = path.strip_prefix(self.folder).ok()?;
        let is_shared_memory = relative.to_string_lossy().ends_with("-shm");
        (!is_shared_memory).then(|| relative.to_owned())
    }
}

/// The descriptor in `5<path>`.
fn descriptor(argument: &str) -> i64 {
    let number = argument.split('<').next().unwrap_or_default();
    number.parse().unwrap_or(-1)
}

/// The path in `5<path>`.
fn opened(argument: &str) -> PathBuf {
    let path = argument.split_once('<').map_or("", |(_, rest)| rest);
    let path = path.split('>').next().unwrap_or_default();
    PathBuf::from(OsString::from_vec(unescaped(path)))
}

fn quoted(argument: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescaped(argument)))
}

/// The bytes of `\x41\x42`, with or without quotation marks.
fn unescaped(text: &str) -> Vec<u8> {
    assert!(!text.ends_with("..."), "strace cut a string");
    let text = text.trim_matches('"');
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
    let bytes = text.as_bytes().chunks_exact(4);
    bytes
        .map(|escaped| digit(escaped[2]) << 4 | digit(escaped[3]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn hex(text: &str) -> String {
        text.bytes().fold(String::new(), |mut hex, byte| {
            write!(hex, "\\x{byte:02x}").unwrap();
            hex
        })
    }

    #[test]
    fn the_lines_of_strace_become_steps() {
        let (db, part, done) = (hex("/o/db"), hex("/o/a.part"), hex("/o/a"));
        let (shm, other, marks) = (hex("/o/db-shm"), hex("/elsewhere"), hex("/marks"));
        let data = hex("data");
        let mark = hex("accepted 1\n");
        let trace = format!(
            "1 openat(AT_FDCWD<{other}>, \"{db}\", O_RDWR|O_CREAT, 0644) = 3<{db}>\n\
             1 pwrite64(3<{db}>, \"{data}\", 4, 4096) = 4\n\
             1 openat(AT_FDCWD<{other}>, \"{part}\", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 4<{part}>\n\
             1 write(4<{part}>, \"{data}\", 4) = 4\n\
             1 write(4<{part}>, \"{data}\", 4) = 2\n\
             1 fsync(4<{part}>) = 0\n\
             1 pwrite64(5<{shm}>, \"{data}\", 4, 0) = 4\n\
             1 write(6<{other}>, \"{data}\", 4) = 4\n\
             1 unlink(\"{done}\") = -1 ENOENT (No such file or directory)\n\
             1 rename(\"{part}\", \"{done}\") = 0\n\
             1 write(7<{marks}>, \"{mark}\", 11) = 11\n\
             1 +++ exited with 0 +++"
        );
        let change = Step::Change;
        let write = |path: &str, offset, bytes: &[u8]| {
            change(Change::Write {
                path: path.into(),
                offset,
                bytes: bytes.to_vec(),
            })
        };
        assert_eq!(
            read(&trace, Path::new("/o"), Path::new("/marks")),
            [
                change(Change::CreateFile("db".into())),
                write("db", 4096, b"data"),
                change(Change::CreateFile("a.part".into())),
                change(Change::Resize {
                    path: "a.part".into(),
                    len: 0
                }),
                write("a.part", 0, b"data"),
                write("a.part", 4, b"da"),
                change(Change::Sync("a.part".into())),
                change(Change::Rename {
                    from: "a.part".into(),
                    to: "a".into()
                }),
                Step::Mark("accepted 1".into()),
            ]
        );
    }
}
