//! Labelled embeddings and the search among them.

pub mod labelled;
pub mod search;
