//! The label of a photo.

use flukewatch_common::catalogue::Enrolled;
use flukewatch_dataset::{CaptureDate, DatasetError, LabelledPhoto, WrittenDate};

/// The label of a photo.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PhotoLabel {
    /// Name in the table.
    pub name: String,
    /// Name of the whale; `None` if unknown.
    pub whale: Option<String>,
    /// Date of capture, if known.
    pub date: Option<CaptureDate>,
    /// Name of the encounter, if known.
    pub encounter: Option<String>,
    /// Name of the first photo of its group of near-duplicates, if it is in one.
    pub near_duplicate_of: Option<String>,
}

impl PhotoLabel {
    /// The label; the date is read only if it identifies the encounter: if the photo has no name of
    /// one.
    ///
    /// # Errors
    /// If the date is needed and cannot be read.
    pub fn of(photo: &LabelledPhoto) -> Result<Self, DatasetError> {
        if photo.encounter.is_none() {
            return Self::dated(photo);
        }
        Ok(Self {
            name: photo.name.clone(),
            whale: photo.whale.clone(),
            encounter: photo.encounter.clone(),
            ..Self::default()
        })
    }

    /// The label of an enrolled photo.
    pub fn of_entry(entry: &Enrolled) -> Self {
        Self {
            name: entry.photo.clone(),
            whale: Some(entry.whale.clone()),
            // Enrolment writes dates as they are read; any other text is an unknown date.
            date: entry.date.as_deref().and_then(|text| text.parse().ok()),
            encounter: entry.encounter.clone(),
            near_duplicate_of: entry.near_duplicate_of.clone(),
        }
    }

    /// The label with its date in any case.
    ///
    /// # Errors
    /// If the date cannot be read.
    pub fn dated(photo: &LabelledPhoto) -> Result<Self, DatasetError> {
        let date = photo.date.as_ref().map(WrittenDate::read).transpose()?;
        Ok(Self {
            name: photo.name.clone(),
            whale: photo.whale.clone(),
            date: date.flatten(),
            encounter: photo.encounter.clone(),
            near_duplicate_of: None,
        })
    }
}
