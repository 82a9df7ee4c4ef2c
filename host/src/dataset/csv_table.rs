//! Tables of photos.

use super::{DatasetError, LabelledPhoto, NEW_WHALE};
use csv::StringRecord;
use flukewatch_common::pixel_box::PixelBox;
use std::path::{Path, PathBuf};

pub(super) fn read(path: &Path, photos: Option<&Path>) -> Result<Vec<LabelledPhoto>, DatasetError> {
    let folder = photos.map_or_else(|| path.with_extension(""), PathBuf::from);
    let file = |source| DatasetError::File {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read(path).map_err(file)?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text);
    let headers = reader.headers().map_err(|e| unreadable(path, &e))?.clone();
    let columns = Columns::find(path, &headers)?;
    let mut all = vec![];
    for record in reader.records() {
        let record = record.map_err(|e| unreadable(path, &e))?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |reason: String| DatasetError::Line {
            path: path.to_owned(),
            line,
            reason,
        };
        let name = record.get(columns.image).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(wrong("no image is named".into()));
        }
        let whale = record.get(columns.identity).unwrap_or_default();
        if whale.is_empty() {
            return Err(wrong(format!(
                "photo {name} has no identity; write {NEW_WHALE} for a whale without a name"
            )));
        }
        let region = columns.region(&record).map_err(wrong)?;
        let file = folder.join(&name);
        if !file.is_file() {
            return Err(DatasetError::NoPhoto {
                path: path.to_owned(),
                line,
                photo: name,
                folder,
            });
        }
        let whale = (whale != NEW_WHALE).then(|| whale.to_owned());
        all.push(LabelledPhoto {
            path: file,
            name,
            whale,
            region,
        });
    }
    Ok(all)
}

fn unreadable(path: &Path, error: &csv::Error) -> DatasetError {
    let line = error.position().map_or(0, csv::Position::line);
    DatasetError::Line {
        path: path.to_owned(),
        line,
        reason: error.to_string(),
    }
}

/// Where in a line what stands.
struct Columns {
    image: usize,
    identity: usize,
    corners: Option<[usize; 4]>,
}

impl Columns {
    fn find(path: &Path, headers: &StringRecord) -> Result<Self, DatasetError> {
        let at = |names: &[&str]| {
            headers
                .iter()
                .position(|h| names.iter().any(|n| h.eq_ignore_ascii_case(n)))
        };
        let need = |column: &'static str, names: &[&str]| {
            at(names).ok_or_else(|| DatasetError::Column {
                path: path.to_owned(),
                column,
                found: headers.iter().collect::<Vec<_>>().join(","),
            })
        };
        let image = need("image", &["image"])?;
        let identity = need("identity", &["identity", "id"])?;
        let corners = if at(&["x0"]).is_some() {
            Some([
                need("x0", &["x0"])?,
                need("y0", &["y0"])?,
                need("x1", &["x1"])?,
                need("y1", &["y1"])?,
            ])
        } else {
            None
        };
        Ok(Self {
            image,
            identity,
            corners,
        })
    }

    fn region(&self, record: &StringRecord) -> Result<Option<PixelBox>, String> {
        let Some(corners) = self.corners else {
            return Ok(None);
        };
        let text = corners.map(|i| record.get(i).unwrap_or_default());
        if text.iter().all(|t| t.is_empty()) {
            return Ok(None);
        }
        let mut sides = [0u32; 4];
        for (side, text) in sides.iter_mut().zip(text) {
            *side = text
                .parse()
                .map_err(|_| format!("'{text}' is no pixel number of a box"))?;
        }
        let [x0, y0, x1, y1] = sides;
        if x0 >= x1 || y0 >= y1 {
            return Err(format!(
                "the box ({x0}, {y0})-({x1}, {y1}) has no area: x0 < x1 and y0 < y1 are needed"
            ));
        }
        Ok(Some(PixelBox { x0, y0, x1, y1 }))
    }
}

#[cfg(test)]
mod tests {
    use crate::dataset::{Dataset, DatasetError};
    use flukewatch_common::pixel_box::PixelBox;
    use std::path::PathBuf;

    fn table(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("t")).unwrap();
        for photo in ["a.jpg", "b.jpg"] {
            std::fs::write(dir.path().join("t").join(photo), b"x").unwrap();
        }
        let path = dir.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn error(text: &str) -> String {
        let (dir, path) = table(text);
        let message = Dataset::open(&path, None).unwrap_err().to_string();
        message.replace(&format!("{}/", dir.path().display()), "")
    }

    #[test]
    fn boxes_are_read() {
        let (_dir, path) =
            table("image,identity,width,height,x0,y0,x1,y1\na.jpg,HW1,448,299,3,50,443,210\n");
        let data = Dataset::open(&path, None).unwrap();
        assert_eq!(data.photos[0].whale.as_deref(), Some("HW1"));
        assert_eq!(
            data.photos[0].region,
            Some(PixelBox {
                x0: 3,
                y0: 50,
                x1: 443,
                y1: 210
            })
        );
    }

    #[test]
    fn the_kaggle_form_is_read() {
        let (_dir, path) = table("\u{feff}Image,Id\na.jpg,w_1\nb.jpg,new_whale\n");
        let data = Dataset::open(&path, None).unwrap();
        assert_eq!(data.photos[0].whale.as_deref(), Some("w_1"));
        assert_eq!(
            (&data.photos[1].whale, data.photos[1].region),
            (&None, None)
        );
    }

    #[test]
    fn faults_are_named_with_their_line() {
        let columns = "image,identity[,x0,y0,x1,y1] or Image,Id";
        assert_eq!(
            error("image,width\na.jpg,3\n"),
            format!(
                "t.csv: no column 'identity' in the first line (image,width); expected {columns}"
            )
        );
        assert_eq!(
            error("image,identity,x0,y0,x1\na.jpg,W,1,2,3\n"),
            format!(
                "t.csv: no column 'y1' in the first line (image,identity,x0,y0,x1); expected {columns}"
            )
        );
        assert_eq!(
            error("image,identity\na.jpg,W\nc.jpg,W\n"),
            "t.csv, line 3: the photo c.jpg is not there (photos are looked for in t)"
        );
        assert_eq!(
            error("image,identity,x0,y0,x1,y1\na.jpg,W,5,2,3,9\n"),
            "t.csv, line 2: the box (5, 2)-(3, 9) has no area: x0 < x1 and y0 < y1 are needed"
        );
        assert_eq!(
            error("image,identity,x0,y0,x1,y1\na.jpg,W,5,-2,9,9\n"),
            "t.csv, line 2: '-2' is no pixel number of a box"
        );
        assert_eq!(error("image,identity\n"), "t.csv holds no photo");
    }

    #[test]
    fn a_table_that_is_not_there_is_named() {
        let error = Dataset::open(&PathBuf::from("nowhere.csv"), None).unwrap_err();
        assert!(matches!(error, DatasetError::File { .. }));
    }
}
