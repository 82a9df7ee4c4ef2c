//! The file beside an image that holds the boxes of its flukes.

use crate::pixel_box::PixelBox;
use crate::text::{self, NotText};
use serde::{Deserialize, Deserializer, Serialize};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// `000012.json` beside `000012.jpg`: `{"boxes":[{"x0":1,"y0":2,"x1":30,"y1":20}]}`; an empty list is
/// open sea. Other keys beside `boxes` are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sidecar {
    /// Boxes of the flukes, in pixels of the image. Corners between two pixels, as detectors write them,
    /// are rounded so that the box covers every pixel that it touches.
    #[serde(deserialize_with = "boxes")]
    pub boxes: Vec<PixelBox>,
}

/// What is wrong with a sidecar.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// It cannot be read.
    #[error("sidecar {}: {source}", .path.display())]
    File {
        /// The sidecar.
        path: PathBuf,
        /// What the system reports.
        source: std::io::Error,
    },
    /// It is not text.
    #[error("sidecar {}: {source}", .path.display())]
    Text {
        /// The sidecar.
        path: PathBuf,
        /// Where.
        source: NotText,
    },
    /// It is not JSON with boxes.
    #[error("sidecar {}:{}: {source}; expected {{\"boxes\":[{{\"x0\":1,\"y0\":2,\"x1\":30,\"y1\":20}}]}}", .path.display(), .source.line())]
    Json {
        /// The sidecar.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl Sidecar {
    /// The sidecar of `image`, with the extension `json` or `JSON`; `None` where it has none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn beside(image: &Path) -> Result<Option<Self>, SidecarError> {
        for extension in ["json", "JSON"] {
            let path = image.with_extension(extension);
            match std::fs::read(&path) {
                Ok(bytes) => return Self::parse(&bytes, &path).map(Some),
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(source) => return Err(SidecarError::File { path, source }),
            }
        }
        Ok(None)
    }

    /// The sidecar with this content; `path` is for errors.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, SidecarError> {
        let text = text::decode(bytes).map_err(|source| SidecarError::Text {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| SidecarError::Json {
            path: path.to_owned(),
            source,
        })
    }
}

/// A box with corners anywhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corners {
    x0: f64,
    y0: f64,
    x1: f64,
    y1: f64,
}

fn boxes<'de, D: Deserializer<'de>>(json: D) -> Result<Vec<PixelBox>, D::Error> {
    let boxes = Vec::<Corners>::deserialize(json)?;
    boxes.iter().map(pixels).collect()
}

fn pixels<E: serde::de::Error>(corners: &Corners) -> Result<PixelBox, E> {
    let Corners { x0, y0, x1, y1 } = *corners;
    PixelBox::covering([x0, y0, x1, y1]).ok_or_else(|| {
        E::custom(format!(
            "box ({x0}, {y0})-({x1}, {y1}) is impossible; expected 0 <= x0 < x1 and 0 <= y0 < y1, in pixels"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Sidecar, SidecarError> {
        Sidecar::parse(text, Path::new("7.json"))
    }

    #[test]
    fn boxes_are_read_as_people_and_detectors_write_them() {
        let expected = PixelBox {
            x0: 10,
            y0: 40,
            x1: 630,
            y1: 260,
        };
        for text in [
            r#"{"boxes":[{"x0":10,"y0":40,"x1":630,"y1":260}]}"#,
            r#"{"boxes":[{"x0":10.0,"y0":40.0,"x1":630.0,"y1":260.0}]}"#,
            r#"{"boxes":[{"x0":1.07e1,"y0":40.2,"x1":629.1,"y1":259.5}],"note":"x"}"#,
            "\u{feff}{\"boxes\":[{\"x0\":10,\"y0\":40,\"x1\":630,\"y1\":260}]}\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().boxes, [expected], "{text}");
        }
        assert_eq!(parse(br#"{"boxes":[]}"#).unwrap(), Sidecar::default());
    }

    #[test]
    fn what_is_written_is_read_again() {
        let sidecar = Sidecar {
            boxes: vec![PixelBox::whole(3, 4)],
        };
        let text = serde_json::to_vec(&sidecar).unwrap();
        assert_eq!(parse(&text).unwrap(), sidecar);
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, line) in [
            ("{\"boxes\":[{\"x0\":-1,\"y0\":0,\"x1\":2,\"y1\":2}]}", 1),
            ("{\"boxes\":\n[{\"x0\":3,\"y0\":0,\"x1\":2,\"y1\":2}]}", 2),
            (
                "{\"boxes\":[\n{\"x0\":3,\"y0\":0,\"x1\":\"2\",\"y1\":2}]}",
                2,
            ),
            ("{\n\n\"boxs\":[]}", 3),
            ("{\"boxes\":[{\"x0\":0,\"y0\":0,\"x1\":1e300,\"y1\":2}]}", 1),
            ("", 1),
        ] {
            let error = parse(text.as_bytes()).unwrap_err().to_string();
            let place = format!("sidecar 7.json:{line}: ");
            assert!(
                error.starts_with(&place) || text.is_empty(),
                "{text}: {error}"
            );
        }
        assert!(matches!(parse(b"{\xff"), Err(SidecarError::Text { .. })));
    }
}
