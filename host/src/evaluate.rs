//! `flukewatch evaluate`: how well embeddings tell whales apart, by several protocols.
//!
//! The protocols work on [`labelled::LabelledEmbeddings`], wherever these come from, and take memory in proportion to the photos.

pub mod beside;
pub mod bootstrap;
pub mod cluster;
pub mod command;
pub mod contest;
pub mod embeddings_file;
pub mod encounter;
pub mod figures;
pub mod labelled;
pub mod open_set;
pub mod reliability;
pub mod report;
pub mod retrieval;
pub mod search;
mod summary;
pub mod sweep;
pub mod time;

/// Why a protocol cannot be run on a table: what the table has not.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EvaluateError {
    /// No whale has two photos.
    #[error("no whale with two photos, so none can be found again")]
    NoPair,
    /// A column that a protocol lives on is missing or empty.
    #[error("no column '{column}', or nothing in it, and the protocol '{protocol}' needs one")]
    NoColumn {
        /// The protocol.
        protocol: &'static str,
        /// The column.
        column: &'static str,
    },
    /// Time without a gap.
    #[error("no whale photographed on two different days, so none can be found again later")]
    OneDayEach,
    /// Encounters without a second one.
    #[error("no whale met in two encounters, so none can be found again in another")]
    OneEncounterEach,
    /// Too few whales to enrol half of them.
    #[error(
        "too few whales for an open set: at least one with two photos must be enrolled while others are left out"
    )]
    NothingOpen,
}
