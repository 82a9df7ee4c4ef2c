//! Photos that are listed more than once.

use crate::{DatasetError, LabelledPhoto};
use flukewatch_common::jpeg;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// When two lines of a table, or two files of a folder, are the same photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SamePhoto {
    /// The same file or a copy of it, perhaps with other metadata, with the same box: counted once.
    #[default]
    Content,
    /// The same file with the same box; copies under other names stay, as a contest asks about
    /// each.
    File,
    /// The same file with the same box and name; what contradicts itself stays, to be audited.
    Label,
}

/// A photo that was listed before, and is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedPhoto {
    /// Its name.
    pub photo: String,
    /// Its line, in a table.
    pub line: Option<u64>,
    /// Name of the photo that stays.
    pub kept: String,
    /// Line of the photo that stays.
    pub kept_line: Option<u64>,
}

/// A photo and its line in a table.
pub(crate) struct Listed {
    pub(crate) line: Option<u64>,
    pub(crate) photo: LabelledPhoto,
}

/// Boxes that overlap by more are one fluke.
const SAME_BOX: f64 = 0.5;

/// Leaves out photos that were listed before. A photo with and without a name keeps the name.
///
/// # Errors
/// If a photo has two names.
pub(crate) fn once(
    source: &Path,
    listed: Vec<Listed>,
    rule: SamePhoto,
) -> Result<(Vec<LabelledPhoto>, Vec<RepeatedPhoto>), DatasetError> {
    let files = files(&listed, rule);
    let mut kept: Vec<Listed> = vec![];
    let mut by_file: HashMap<usize, Vec<usize>> = HashMap::new();
    let (mut repeated, mut contradictions) = (vec![], vec![]);
    for (row, file) in listed.into_iter().zip(files) {
        let same_file = by_file.entry(file).or_default();
        let same = same_file.iter().copied().find(|&at| {
            let labels = kept[at].photo.whale == row.photo.whale;
            is_same_box(&kept[at].photo, &row.photo) && (rule != SamePhoto::Label || labels)
        });
        let Some(at) = same else {
            same_file.push(kept.len());
            kept.push(row);
            continue;
        };
        let first = &mut kept[at];
        match (&first.photo.whale, &row.photo.whale) {
            (Some(a), Some(b)) if a != b => contradictions.push(contradiction(first, &row, a, b)),
            _ => {
                repeated.push(RepeatedPhoto {
                    photo: row.photo.name,
                    line: row.line,
                    kept: first.photo.name.clone(),
                    kept_line: first.line,
                });
                let photo = &mut first.photo;
                photo.whale = photo.whale.take().or(row.photo.whale);
                photo.date = photo.date.take().or(row.photo.date);
                photo.encounter = photo.encounter.take().or(row.photo.encounter);
            }
        }
    }
    match contradictions.first() {
        None => Ok((kept.into_iter().map(|k| k.photo).collect(), repeated)),
        Some((line, reason)) => {
            let more = match contradictions.len() - 1 {
                0 => String::new(),
                more => format!("; {more} more photos have two names"),
            };
            Err(DatasetError::TwoNames {
                path: match line {
                    Some(line) => format!("{}:{line}", source.display()),
                    None => source.display().to_string(),
                },
                reason: format!("{reason}{more}"),
            })
        }
    }
}

fn contradiction(first: &Listed, row: &Listed, a: &str, b: &str) -> (Option<u64>, String) {
    let place = |listed: &Listed| match listed.line {
        Some(line) => format!(" (line {line})"),
        None => String::new(),
    };
    let reason = if first.photo.name == row.photo.name {
        format!(
            "photo {} is named '{b}', but '{a}' in line {}",
            row.photo.name,
            first.line.unwrap_or(0)
        )
    } else {
        format!(
            "photo {}{} is named '{b}', but {}{}, the same picture, is named '{a}'",
            row.photo.name,
            place(row),
            first.photo.name,
            place(first)
        )
    };
    (row.line, reason)
}

fn is_same_box(a: &LabelledPhoto, b: &LabelledPhoto) -> bool {
    match (a.region, b.region) {
        (Some(a), Some(b)) => a.overlap(&b) >= SAME_BOX,
        // A photo without a box is its whole.
        _ => true,
    }
}

/// A number for the file of each photo, the same for copies if the rule is about content.
fn files(listed: &[Listed], rule: SamePhoto) -> Vec<usize> {
    let mut paths: HashMap<PathBuf, usize> = HashMap::new();
    let numbers: Vec<usize> = listed
        .iter()
        .map(|row| {
            let path = &row.photo.path;
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            let next = paths.len();
            *paths.entry(path).or_insert(next)
        })
        .collect();
    if rule != SamePhoto::Content {
        return numbers;
    }
    // Only pictures with as many bytes can be copies.
    let mut by_length: HashMap<u64, Vec<(usize, &PathBuf)>> = HashMap::new();
    for (path, number) in &paths {
        if let Some(length) = picture_length(path) {
            by_length.entry(length).or_default().push((*number, path));
        }
    }
    let mut original: Vec<usize> = (0..paths.len()).collect();
    for mut alike in by_length.into_values().filter(|files| files.len() > 1) {
        alike.sort();
        let mut contents = HashMap::new();
        for (number, path) in alike {
            if let Ok(file) = std::fs::read(path) {
                let hash = picture_hash(&file);
                original[number] = *contents.entry(hash).or_insert(number);
            }
        }
    }
    numbers.into_iter().map(|number| original[number]).collect()
}

/// The part of a file that has a JPEG's tables, unless its previews are large.
const HEADER: u64 = 1 << 17;

/// Bytes of a picture: of a JPEG from its first scan on, since programs change what stands before.
/// `None` for a file that is not a picture, which the command that needs it reports.
fn picture_length(path: &Path) -> Option<u64> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut start = vec![];
    file.take(HEADER).read_to_end(&mut start).ok()?;
    image::guess_format(&start).ok()?;
    let scan = jpeg::markers(&start).find(|m| m.code == jpeg::START_OF_SCAN);
    Some(length - scan.map_or(0, |m| m.start as u64))
}

/// The SHA-256 of a picture, given its file; of a JPEG without its metadata.
pub(crate) fn picture_hash(file: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut from = 0;
    let mut kept = true;
    for marker in jpeg::markers(file) {
        let start = marker.start.clamp(from, file.len());
        if kept {
            hash.update(&file[from..start]);
        }
        // Application segments, e.g. EXIF, and comments.
        kept = !matches!(marker.code, 0xe0..=0xef | 0xfe);
        from = start;
        if marker.code == jpeg::START_OF_SCAN {
            break;
        }
    }
    hash.update(&file[from..]);
    hash.finalize().into()
}
