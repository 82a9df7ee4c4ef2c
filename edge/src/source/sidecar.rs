//! The file beside a frame that says where flukes are in it.

use flukewatch_common::pixel_box::PixelBox;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::Path;

/// `000012.json` beside `000012.jpg`: `{"boxes":[{"x0":1,"y0":2,"x1":30,"y1":20}]}`; an empty list is open sea.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Sidecar {
    /// The flukes.
    pub boxes: Vec<PixelBox>,
}

impl Sidecar {
    /// The sidecar of `picture`; `None` where it has none.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn beside(picture: &Path) -> Result<Option<Self>, String> {
        let path = picture.with_extension("json");
        let named = |e: &dyn std::fmt::Display| format!("its boxes in {}: {e}", path.display());
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| named(&e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(named(&e)),
        }
    }
}
