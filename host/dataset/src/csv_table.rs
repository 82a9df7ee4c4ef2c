//! Tables of photos.

use crate::{DatasetError, LabelledPhoto, NEW_WHALE};
use csv::StringRecord;
use flukewatch_common::pixel_box::PixelBox;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
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
            return Err(wrong("empty image name".into()));
        }
        let whale = record.get(columns.identity).unwrap_or_default();
        if whale.is_empty() {
            return Err(wrong(format!(
                "photo {name} has no identity; use {NEW_WHALE} for an unknown whale"
            )));
        }
        let region = columns.region(&record).map_err(wrong)?;
        let date = columns.date(&record).map_err(wrong)?;
        let encounter = columns.encounter(&record);
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
            date,
            encounter,
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

/// Positions of the columns.
struct Columns {
    image: usize,
    identity: usize,
    corners: Option<[usize; 4]>,
    date: Option<usize>,
    encounter: Option<usize>,
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
            date: at(&["date"]),
            encounter: at(&["encounter"]),
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
                .map_err(|_| format!("box side '{text}' is not a pixel number"))?;
        }
        let [x0, y0, x1, y1] = sides;
        if x0 >= x1 || y0 >= y1 {
            return Err(format!(
                "box ({x0}, {y0})-({x1}, {y1}) is empty; expected x0 < x1 and y0 < y1"
            ));
        }
        Ok(Some(PixelBox { x0, y0, x1, y1 }))
    }

    fn date(&self, record: &StringRecord) -> Result<Option<Date>, String> {
        match self.date.and_then(|i| record.get(i)) {
            None | Some("") => Ok(None),
            Some(text) => day(text).map(Some).ok_or_else(|| {
                format!(
                    "'{text}' is not a date; expected year-month-day, e.g. 2024-06-19, or nothing"
                )
            }),
        }
    }

    fn encounter(&self, record: &StringRecord) -> Option<String> {
        let name = self.encounter.and_then(|i| record.get(i))?;
        (!name.is_empty()).then(|| name.to_owned())
    }
}

/// The day of an ISO date or date-time as written: local with an offset, UTC with Z.
fn day(text: &str) -> Option<Date> {
    let instant = || {
        let instant: Timestamp = text.parse().ok()?;
        Some(TimeZone::UTC.to_datetime(instant).date())
    };
    text.parse().ok().or_else(instant)
}

#[cfg(test)]
mod tests {
    use super::day;
    use crate::{Dataset, DatasetError};
    use flukewatch_common::pixel_box::PixelBox;
    use jiff::civil::date;
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
    fn the_kaggle_format_is_read() {
        let (_dir, path) = table("\u{feff}Image,Id\na.jpg,w_1\nb.jpg,new_whale\n");
        let data = Dataset::open(&path, None).unwrap();
        assert_eq!(data.photos[0].whale.as_deref(), Some("w_1"));
        assert_eq!(
            (&data.photos[1].whale, data.photos[1].region),
            (&None, None)
        );
    }

    #[test]
    fn dates_and_encounters_are_read() {
        let (_dir, path) =
            table("image,identity,date,encounter\na.jpg,A,2024-06-19,E1\nb.jpg,A,,\n");
        let data = Dataset::open(&path, None).unwrap();
        let found = data.photos.iter().map(|p| (p.date, p.encounter.as_deref()));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [(Some(date(2024, 6, 19)), Some("E1")), (None, None)]
        );
    }

    #[test]
    fn a_date_may_have_a_time() {
        for text in [
            "2024-06-19",
            "2024-06-19T23:30:00",
            "2024-06-19 23:30",
            "2024-06-19T01:30+02:00",
            "2024-06-19T23:30Z",
        ] {
            assert_eq!(day(text), Some(date(2024, 6, 19)), "{text}");
        }
        for text in ["19.06.2024", "06/19/2024", "2024-02-30", "2024"] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn errors_name_their_line() {
        let columns = "image,identity[,x0,y0,x1,y1] or Image,Id";
        assert_eq!(
            error("image,width\na.jpg,3\n"),
            format!(
                "t.csv:1: no column 'identity' in the header 'image,width'; expected {columns}"
            )
        );
        assert_eq!(
            error("image,identity,x0,y0,x1\na.jpg,W,1,2,3\n"),
            format!(
                "t.csv:1: no column 'y1' in the header 'image,identity,x0,y0,x1'; expected {columns}"
            )
        );
        assert_eq!(
            error("image,identity\na.jpg,W\nc.jpg,W\n"),
            "t.csv:3: photo c.jpg not found in t"
        );
        assert_eq!(
            error("image,identity,x0,y0,x1,y1\na.jpg,W,5,2,3,9\n"),
            "t.csv:2: box (5, 2)-(3, 9) is empty; expected x0 < x1 and y0 < y1"
        );
        assert_eq!(
            error("image,identity,x0,y0,x1,y1\na.jpg,W,5,-2,9,9\n"),
            "t.csv:2: box side '-2' is not a pixel number"
        );
        assert_eq!(
            error("image,identity,date\na.jpg,A,2024-06-19\nb.jpg,A,19/06/2024\n"),
            "t.csv:3: '19/06/2024' is not a date; expected year-month-day, e.g. 2024-06-19, or nothing"
        );
        assert_eq!(error("image,identity\n"), "t.csv contains no photos");
    }

    #[test]
    fn a_missing_table_is_an_error() {
        let error = Dataset::open(&PathBuf::from("nowhere.csv"), None).unwrap_err();
        assert!(matches!(error, DatasetError::File { .. }));
    }
}
