//! The folder of a table's photos.

use crate::normalised;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Finds the files of photos. Names are compared in Unicode's composed form, since systems and
/// programs write accents differently, and a backslash separates folders as a slash does.
pub(crate) struct PhotoFolder {
    root: PathBuf,
    /// Files and folders of each folder, by their composed name.
    listings: HashMap<PathBuf, HashMap<String, OsString>>,
}

impl PhotoFolder {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            listings: HashMap::new(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file of this name.
    ///
    /// # Errors
    /// If there is none, with a hint or an empty text.
    pub(crate) fn find(&mut self, name: &str) -> Result<PathBuf, String> {
        let plain = self.root.join(name);
        if plain.is_file() {
            return Ok(plain);
        }
        if is_on_a_drive(name) {
            return Err(
                "it is a path on a Windows drive; write paths relative to the folder of the photos"
                    .into(),
            );
        }
        let name = name.replace('\\', "/");
        let mut at = if name.starts_with('/') {
            PathBuf::from("/")
        } else {
            self.root.clone()
        };
        for part in name.split('/').filter(|p| !p.is_empty() && *p != ".") {
            let next = at.join(part);
            if part == ".." || next.exists() {
                at = next;
                continue;
            }
            let Some(found) = self.listing(&at).get(&normalised(part)).cloned() else {
                return Err(self.hint(&at, part));
            };
            at = at.join(found);
        }
        if at.is_file() {
            Ok(at)
        } else {
            Err(String::new())
        }
    }

    fn listing(&mut self, folder: &Path) -> &HashMap<String, OsString> {
        self.listings.entry(folder.to_owned()).or_insert_with(|| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|e| e.file_name())
                .map(|name| (normalised(&name.to_string_lossy()), name))
                .collect()
        })
    }

    fn hint(&mut self, folder: &Path, part: &str) -> String {
        if !self.root.is_dir() {
            return "the folder does not exist; pass --photos DIR".into();
        }
        let lower = normalised(part).to_lowercase();
        let mut names = self.listing(folder).keys();
        match names.find(|n| n.to_lowercase() == lower) {
            Some(other) => format!("{other} differs in upper and lower case"),
            None => String::new(),
        }
    }
}

/// `C:\...`, `C:/...` or `\\server\...`.
fn is_on_a_drive(name: &str) -> bool {
    let bytes = name.as_bytes();
    let drive = matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    drive || name.starts_with("\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_are_found_in_either_form() {
        let dir = tempfile::tempdir().unwrap();
        // Composed and decomposed.
        fs::create_dir(dir.path().join("Ac\u{327}ores")).unwrap();
        fs::write(dir.path().join("Ac\u{327}ores/Caitl\u{ed}n.jpg"), b"").unwrap();
        let mut folder = PhotoFolder::new(dir.path().to_owned());
        for name in [
            "A\u{e7}ores/Caitli\u{301}n.jpg",
            "Ac\u{327}ores/Caitl\u{ed}n.jpg",
            "A\u{e7}ores\\Caitl\u{ed}n.jpg",
            ".\\A\u{e7}ores\\Caitl\u{ed}n.jpg",
        ] {
            assert!(folder.find(name).is_ok(), "{name}");
        }
        let hint = folder.find("A\u{e7}ores/caitl\u{ed}n.JPG").unwrap_err();
        assert!(hint.contains("upper and lower case"), "{hint}");
        assert_eq!(folder.find("other.jpg"), Err(String::new()));
        for name in ["C:\\fotos\\a.jpg", "d:/a.jpg", "\\\\nas\\fotos\\a.jpg"] {
            assert!(
                folder.find(name).unwrap_err().contains("Windows drive"),
                "{name}"
            );
        }
    }
}
