//! Small copies of photos, in the page itself.

use crate::dataset::LabelledPhoto;
use crate::page::{escape, fluke_address};
use std::collections::BTreeMap;

/// Copies that were made, so that each photo is read once.
#[derive(Default)]
pub struct Pictures(BTreeMap<String, Option<String>>);

impl Pictures {
    /// The fluke of a photo as an HTML image; its name where it cannot be read.
    pub fn html(&mut self, photo: &LabelledPhoto) -> String {
        let made = self
            .0
            .entry(photo.name.clone())
            .or_insert_with(|| fluke_address(photo));
        let name = escape(&photo.name);
        match made {
            Some(address) => format!("<img alt=\"{name}\" title=\"{name}\" src=\"{address}\">"),
            None => format!("<span>{name}</span>"),
        }
    }
}
