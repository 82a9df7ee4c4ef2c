//! The file beside an image that holds the boxes of its flukes.

use flukewatch_common::pixel_box::PixelBox;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::Path;

/// `000012.json` beside `000012.jpg`: `{"boxes":[{"x0":1,"y0":2,"x1":30,"y1":20}]}`; an empty list is
/// open sea.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sidecar {
    /// Boxes of the flukes, in pixels of the image.
    pub boxes: Vec<PixelBox>,
}

impl Sidecar {
    /// The sidecar of `image`; `None` where it has none.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn beside(image: &Path) -> Result<Option<Self>, String> {
        let path = image.with_extension("json");
        let named = |e: &dyn std::fmt::Display| format!("sidecar {}: {e}", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| named(&e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(named(&e)),
        }
    }
}
