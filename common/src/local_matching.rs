//! Local matching: compares two photos location by location, where their embeddings compare them as wholes.
//!
//! The model's last feature map, projected to a few numbers per location, gives the [`Descriptors`] of a
//! photo. [`similarity`] finds for each location of one photo the most similar one at about the same place of
//! the other. A search ranks whales by the cosine of their embeddings first; [`rescore`] then mixes the
//! similarity into the scores of the best candidates by a [`LocalScore`], and [`search_encounter`] does both
//! on a catalogue. A bundle for shore or a workstation may have a [fine grid](Layout::fine_grid) as well, of an earlier map with twice the
//! rows and columns, whose matches must agree on one affine map ([`agreement`], [`FineWeights`]). [`matching_regions`] says which locations agree, as an explanation for people.
//!
//! The descriptors of enrolled photos are in [`LocalPhotos`], a file beside the catalogue that is read for
//! candidates only.

mod affine;
mod descriptors;
mod encounter;
mod layout;
mod photos;
mod rescore;
mod score;
mod similarity;
#[cfg(test)]
mod tests;

pub use descriptors::{DescriptorError, Descriptors, ViewMap};
pub use encounter::{EmbeddedPhoto, LocalCatalogue, SearchError, search_encounter};
pub use layout::{InvalidLayout, Layout};
pub use photos::{LocalPhotos, LocalPhotosError};
pub use rescore::{CANDIDATE_PHOTOS, CandidatePhoto, GalleryPhoto, Rescored, rescore};
pub use score::{FineWeights, InvalidLocalScore, LocalScore};
pub use similarity::{Agreement, RegionMatch, agreement, matching_regions, similarity};
