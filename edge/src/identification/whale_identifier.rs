//! Identifies recorded encounters with a bundle, and recognises whales that resurface or that two cameras
//! see at once.

use super::identifier::{CropImage, EmbeddedCrops, Identifier, IdentifyError};
use super::identity::Identity;
use super::recent_encounters::RecentEncounters;
use super::surfacing::Surfacing;
use crate::recording::Recording;

/// Identifies recorded encounters.
pub trait Identify: Send {
    /// Identifies a recorded encounter.
    ///
    /// # Errors
    /// When it cannot be identified.
    fn identify(&mut self, recording: &Recording) -> Result<Identity, IdentifyError>;

    /// Remembers an encounter whose identity is stored, so that a later one can continue it.
    fn remember(&mut self, recording: &Recording, identity: &Identity);
}

/// Identifies with the model and the catalogue of a bundle.
pub struct WhaleIdentifier {
    identifier: Identifier,
    recent_encounters: RecentEncounters,
}

impl WhaleIdentifier {
    /// Lets a whale that resurfaces continue one of `recent_encounters`.
    pub fn new(identifier: Identifier, recent_encounters: RecentEncounters) -> Self {
        Self {
            identifier,
            recent_encounters,
        }
    }
}

impl Identify for WhaleIdentifier {
    fn identify(&mut self, recording: &Recording) -> Result<Identity, IdentifyError> {
        let images = images(recording)?;
        let (indices, images): (Vec<usize>, Vec<CropImage>) = images.into_iter().unzip();
        let EmbeddedCrops { crops, embedded } = self.identifier.embed(&images)?;
        let mut found = self.identifier.identify(&embedded)?;
        let earlier = self.recent_encounters.find_continued(
            &Surfacing::of(recording),
            &embedded,
            &found.decision,
            self.identifier.rule(),
            self.identifier.local_score(),
        );
        let mut earlier_crops = 0;
        if let Some(earlier) = earlier {
            // One decision for the whole encounter, from the crops of all parts.
            let all = [earlier.embedded.as_slice(), &embedded].concat();
            found = self.identifier.identify(&all)?;
            earlier_crops = earlier.embedded.len();
        }
        let continues = earlier.map(|earlier| earlier.encounter);
        let first = crops.first().and_then(|crop| indices.get(*crop));
        // The picture is the best recorded crop.
        let regions = match (first, images.first(), embedded.first()) {
            (Some(0), Some(image), Some(embedded)) => {
                let candidates = &found.candidates;
                self.identifier
                    .matching_regions(image, embedded, candidates)
            }
            _ => None,
        };
        Ok(Identity {
            decision: found.decision,
            candidates: found.candidates,
            probability: found.probability,
            embedding: found.embedding,
            regions,
            continues,
            earlier_crops: earlier_crops as u8,
            embedded,
            bundle: self.identifier.bundle().to_owned(),
            engine: self.identifier.engine().to_owned(),
        })
    }

    fn remember(&mut self, recording: &Recording, identity: &Identity) {
        self.recent_encounters.remember(
            identity.encounter(recording.sighting.id),
            Surfacing::of(recording),
            identity.embedded.clone(),
            identity.decision.clone(),
        );
    }
}

/// The crops that can be decoded, with their indices.
fn images(recording: &Recording) -> Result<Vec<(usize, CropImage)>, IdentifyError> {
    let mut images = vec![];
    let mut failed = None;
    for (index, crop) in recording.crops.iter().enumerate() {
        match crop.pixels() {
            Ok(pixels) => images.push((
                index,
                CropImage {
                    pixels,
                    region: crop.region,
                },
            )),
            Err(error) => {
                tracing::warn!(%error, "skipping crop that cannot be decoded");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if images.is_empty() => Err(error.into()),
        _ => Ok(images),
    }
}
