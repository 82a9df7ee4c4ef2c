//! A disk that remembers which changes were synced, and what it may hold after a power cut.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a disk writes at once.
const SECTOR: usize = 512;

/// One change of a disk. Paths are relative to the folder that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    CreateFile(PathBuf),
    CreateFolder(PathBuf),
    Write {
        path: PathBuf,
        offset: usize,
        bytes: Vec<u8>,
    },
    Resize {
        path: PathBuf,
        len: usize,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove(PathBuf),
    /// Of a file: its content. Of a folder: the names in it.
    Sync(PathBuf),
}

/// Which of the changes that were not synced are on the disk after a power cut.
#[derive(Clone, Copy, Debug)]
pub(super) enum Survivors {
    /// All, as after a crash of the program alone.
    All,
    /// None: a disk that keeps everything in memory until it is synced.
    None,
    /// Each with a chance of one half, and writes in part: a disk that reorders them.
    Some { seed: u64 },
}

#[derive(Clone, Debug)]
enum Edit {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// The edits since.
    edits: Vec<Edit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    /// Its index in [`Disk::contents`].
    File(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

type Names = BTreeMap<PathBuf, Node>;

/// Follows POSIX to the letter: a sync of a file does not keep its name, only a sync of its folder does.
#[derive(Debug, Default)]
pub(super) struct Disk {
    contents: Vec<Content>,
    names: Names,
    synced: Names,
    /// The changes of names since.
    changes: Vec<NameChange>,
}

impl Disk {
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateFile(path) => {
                if !self.names.contains_key(path) {
                    self.contents.push(Content::default());
                    let node = Node::File(self.contents.len() - 1);
                    self.rename(NameChange::Add(path.clone(), node));
                }
            }
            // The watched folder itself is there.
            Change::CreateFolder(path) if path.as_os_str().is_empty() => {}
            Change::CreateFolder(path) => {
                self.rename(NameChange::Add(path.clone(), Node::Folder));
            }
            Change::Rename { from, to } => {
                self.rename(NameChange::Rename(from.clone(), to.clone()));
            }
            Change::Remove(path) => self.rename(NameChange::Remove(path.clone())),
            Change::Write {
                path,
                offset,
                bytes,
            } => self.edit(
                path,
                Edit::Write {
                    offset: *offset,
                    bytes: bytes.clone(),
                },
            ),
            Change::Resize { path, len } => self.edit(path, Edit::Resize(*len)),
            Change::Sync(path) => self.sync(path),
        }
    }

    fn rename(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn edit(&mut self, path: &Path, edit: Edit) {
        if let Some(Node::File(index)) = self.names.get(path) {
            let content = &mut self.contents[*index];
            edit.apply(&mut content.now);
            content.edits.push(edit);
        }
    }

    fn sync(&mut self, path: &Path) {
        if let Some(Node::File(index)) = self.names.get(path) {
            let content = &mut self.contents[*index];
            content.synced.clone_from(&content.now);
            content.edits.clear();
            return;
        }
        let changes = std::mem::take(&mut self.changes).into_iter();
        let (synced, kept): (Vec<_>, Vec<_>) = changes.partition(|change| change.touches(path));
        self.changes = kept;
        synced.iter().for_each(|c| c.apply(&mut self.synced));
    }

    /// The files after a power cut, by path; folders without content.
    pub(super) fn after_power_cut(
        &self,
        survivors: Survivors,
    ) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut rng = match survivors {
            Survivors::Some { seed } => StdRng::seed_from_u64(seed),
            Survivors::All | Survivors::None => StdRng::seed_from_u64(0),
        };
        let survives = |rng: &mut StdRng| match survivors {
            Survivors::All => true,
            Survivors::None => false,
            Survivors::Some { .. } => rng.random_bool(0.5),
        };
        let mut names = self.synced.clone();
        for change in &self.changes {
            if survives(&mut rng) {
                change.apply(&mut names);
            }
        }
        let mut files = BTreeMap::new();
        for (path, node) in &names {
            let Node::File(index) = node else {
                files.insert(path.clone(), None);
                continue;
            };
            let content = &self.contents[*index];
            let mut bytes = content.synced.clone();
            for edit in &content.edits {
                if !survives(&mut rng) {
                    continue;
                }
                let torn = matches!(survivors, Survivors::Some { .. }) && rng.random_bool(0.25);
                if torn {
                    edit.torn(&mut rng).apply(&mut bytes);
                } else {
                    edit.apply(&mut bytes);
                }
            }
            files.insert(path.clone(), Some(bytes));
        }
        // A file is lost with the name of its folder.
        let folders: Vec<PathBuf> = files
            .iter()
            .filter(|(_, content)| content.is_none())
            .map(|(path, _)| path.clone())
            .collect();
        files.retain(|path, _| {
            path.parent()
                .is_none_or(|p| p.as_os_str().is_empty() || folders.iter().any(|f| f == p))
        });
        files
    }
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Add(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }

    /// Whether it changes the names in `folder`.
    fn touches(&self, folder: &Path) -> bool {
        let is_in = |path: &Path| path.parent() == Some(folder);
        match self {
            Self::Add(path, _) | Self::Remove(path) => is_in(path),
            Self::Rename(from, to) => is_in(from) || is_in(to),
        }
    }
}

impl Edit {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Resize(len) => content.resize(*len, 0),
        }
    }

    /// Only the first sectors of a write.
    fn torn(&self, rng: &mut StdRng) -> Self {
        match self {
            Self::Write { offset, bytes } => {
                let sectors = bytes.len().div_ceil(SECTOR);
                let kept = rng.random_range(0..sectors.max(1)) * SECTOR;
                Self::Write {
                    offset: *offset,
                    bytes: bytes[..kept.min(bytes.len())].to_vec(),
                }
            }
            Self::Resize(len) => Self::Resize(*len),
        }
    }
}

/// Writes `files` into `folder`, which is emptied before.
pub(super) fn restore(folder: &Path, files: &BTreeMap<PathBuf, Option<Vec<u8>>>) {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    // A folder sorts before what is in it.
    for (path, content) in files {
        let path = folder.join(path);
        match content {
            None => fs::create_dir(path).unwrap(),
            Some(bytes) => fs::write(path, bytes).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &str, offset: usize, bytes: &[u8]) -> Change {
        Change::Write {
            path: path.into(),
            offset,
            bytes: bytes.to_vec(),
        }
    }

    fn disk(changes: &[Change]) -> Disk {
        let mut disk = Disk::default();
        changes.iter().for_each(|c| disk.apply(c));
        disk
    }

    fn text(disk: &Disk, survivors: Survivors) -> Vec<(String, String)> {
        let files = disk.after_power_cut(survivors);
        files
            .into_iter()
            .filter_map(|(path, content)| Some((path, content?)))
            .map(|(path, bytes)| {
                let path = path.to_string_lossy().into_owned();
                (path, String::from_utf8(bytes).unwrap())
            })
            .collect()
    }

    fn file(path: &str, content: &str) -> Vec<(String, String)> {
        vec![(path.into(), content.into())]
    }

    #[test]
    fn a_file_needs_its_content_and_its_name_synced() {
        let mut changes = vec![
            Change::CreateFile("a".into()),
            write("a", 0, b"one"),
            Change::Sync("a".into()),
        ];
        assert_eq!(text(&disk(&changes), Survivors::None), []);
        assert_eq!(text(&disk(&changes), Survivors::All), file("a", "one"));
        changes.push(Change::Sync("".into()));
        assert_eq!(text(&disk(&changes), Survivors::None), file("a", "one"));
        changes.push(write("a", 3, b"two"));
        assert_eq!(text(&disk(&changes), Survivors::None), file("a", "one"));
        assert_eq!(text(&disk(&changes), Survivors::All), file("a", "onetwo"));
    }

    #[test]
    fn a_name_without_content_is_an_empty_file() {
        let changes = [
            Change::CreateFile("a".into()),
            write("a", 0, b"one"),
            Change::Sync("".into()),
        ];
        assert_eq!(text(&disk(&changes), Survivors::None), file("a", ""));
    }

    #[test]
    fn a_rename_is_atomic_and_lasts_once_its_folder_is_synced() {
        let mut changes = vec![
            Change::CreateFolder("f".into()),
            Change::Sync("".into()),
            Change::CreateFile("f/a.part".into()),
            write("f/a.part", 0, b"one"),
            Change::Sync("f/a.part".into()),
            Change::Sync("f".into()),
            Change::Rename {
                from: "f/a.part".into(),
                to: "f/a".into(),
            },
        ];
        let before = file("f/a.part", "one");
        let after = file("f/a", "one");
        assert_eq!(text(&disk(&changes), Survivors::None), before);
        assert_eq!(text(&disk(&changes), Survivors::All), after);
        changes.push(Change::Sync("f".into()));
        assert_eq!(text(&disk(&changes), Survivors::None), after);
    }

    #[test]
    fn survivors_differ_by_seed_and_a_write_can_be_torn() {
        let mut changes = vec![Change::CreateFile("a".into()), Change::Sync("".into())];
        changes.push(write("a", 0, &[b'x'; 2 * SECTOR]));
        let disk = disk(&changes);
        let mut lengths: Vec<usize> = (0..64)
            .map(|seed| text(&disk, Survivors::Some { seed })[0].1.len())
            .collect();
        lengths.sort_unstable();
        lengths.dedup();
        assert_eq!(lengths, [0, SECTOR, 2 * SECTOR]);
    }
}
