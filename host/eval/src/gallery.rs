//! Labelled embeddings and the search among them.

mod candidates;
pub mod labelled;
pub mod local;
pub mod matching;
pub mod search;
