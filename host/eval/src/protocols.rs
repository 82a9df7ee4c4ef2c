//! Evaluation protocols. All work on [`crate::gallery::labelled::LabelledEmbeddings`], wherever
//! these come from, and take memory in proportion to the number of photos.

mod clusters;
pub mod encounter;
pub mod error;
pub mod leave_one_out;
pub mod open_set;
pub mod retrieval;
pub mod time;
