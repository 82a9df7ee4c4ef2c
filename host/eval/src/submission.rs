//! Submissions to the humpback contests.

pub mod answers;
pub mod file;
