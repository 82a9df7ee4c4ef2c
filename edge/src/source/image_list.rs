//! A text file that lists images.

use super::frame_source::SourceError;
use flukewatch_common::text;
use std::path::{Path, PathBuf};

/// The images that a text file lists, one path per line, relative to its folder. Empty lines and lines that start with
/// `#` are ignored. Lists from Windows are read too: with a byte order mark, backslashes between folders, and quotes
/// around paths.
///
/// # Errors
/// If the list cannot be read, or names a file that does not exist.
pub(super) fn read(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let bytes = std::fs::read(path).map_err(|source| SourceError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let wrong = |line: usize, reason: String| SourceError::List {
        path: path.to_owned(),
        line,
        reason,
    };
    let text = text::decode(&bytes)
        .map_err(|e| wrong(e.line, "not UTF-8 text; save the list as UTF-8".into()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut images = vec![];
    for (number, line) in (1..).zip(lines(&text)) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let image = spellings(line)
            .into_iter()
            .map(|spelling| folder.join(spelling))
            .find(|image| image.is_file());
        images.push(image.ok_or_else(|| {
            let folder = folder.display();
            wrong(number, format!("image '{line}' not found in '{folder}'"))
        })?);
    }
    Ok(images)
}

/// Lines that end with a line feed, a carriage return or both.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split(if text.contains('\n') { '\n' } else { '\r' })
}

/// How a path may be meant: first as it is written.
fn spellings(line: &str) -> Vec<String> {
    let unquoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| line.strip_prefix(quote)?.strip_suffix(quote));
    [Some(line), unquoted]
        .into_iter()
        .flatten()
        .flat_map(|path| [path.to_owned(), path.replace('\\', "/")])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(list: &[u8]) -> Result<Vec<String>, SourceError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("fotos")).unwrap();
        for name in ["fotos/0 baleia.jpg", "fotos/1 baleia.jpg", "a\\b.jpg"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        std::fs::write(folder.path().join("list.txt"), list).unwrap();
        let images = read(&folder.path().join("list.txt"))?;
        let name = |image: &PathBuf| {
            let name = image.strip_prefix(folder.path()).unwrap();
            name.to_str().unwrap().to_owned()
        };
        Ok(images.iter().map(name).collect())
    }

    #[test]
    fn lists_of_every_editor_are_read() {
        let both = "fotos/0 baleia.jpg\nfotos/1 baleia.jpg\n";
        let utf16: Vec<u8> = both.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for list in [
            both.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", both.as_bytes()].concat(),
            [b"\xff\xfe", &utf16[..]].concat(),
            both.replace('\n', "\r\n").into_bytes(),
            both.replace('\n', "\r").into_bytes(),
            both.replace('/', "\\").into_bytes(),
            both.replace('/', ".\\")
                .replace("fotos", ".\\fotos\\")
                .into_bytes(),
            b"\"fotos\\0 baleia.jpg\"\r\n# mine\r\n\r\n'fotos/1 baleia.jpg'".to_vec(),
        ] {
            let text = String::from_utf8_lossy(&list).into_owned();
            assert_eq!(
                images(&list)
                    .unwrap()
                    .iter()
                    .map(|i| i.replace("./", ""))
                    .collect::<Vec<_>>(),
                ["fotos/0 baleia.jpg", "fotos/1 baleia.jpg"],
                "{text:?}"
            );
        }
        assert_eq!(images(b"a\\b.jpg").unwrap(), ["a\\b.jpg"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        for (list, at) in [
            (&b"fotos/0 baleia.jpg\r\nfotos/2 baleia.jpg"[..], 2),
            (b"# mine\n\nC:\\fotos\\0 baleia.jpg\n", 3),
            (b"fotos\n", 1),
            (b"fotos/0 baleia.jpg\nfotos/\xe9.jpg\n", 2),
        ] {
            let error = images(list).unwrap_err();
            assert!(
                matches!(&error, SourceError::List { line, .. } if *line == at),
                "{error}"
            );
        }
    }
}
