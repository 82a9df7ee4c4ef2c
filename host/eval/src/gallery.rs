//! Labelled embeddings and the search among them.
//!
//! A query is scored only through a [`view::GalleryView`]: without itself, the photos of its own
//! encounter and its near-duplicates, which show the same fluke in the same light and would be
//! found again by any model.

mod candidates;
pub mod encounters;
pub mod label;
pub mod labelled;
pub mod local;
pub mod matching;
mod relations;
pub mod search;
pub mod view;
