//! Why a protocol cannot be run on a table.

/// What the table lacks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProtocolError {
    /// Retrieval without a second photo to retrieve.
    #[error("no whale has two photos of different encounters")]
    SinglePhotos,
    /// A column that a protocol needs is missing or empty.
    #[error("protocol '{protocol}' needs column {column}, which is missing or empty")]
    MissingColumn {
        /// Name of the protocol.
        protocol: &'static str,
        /// Name of the column in quotes, with alternatives.
        column: &'static str,
    },
    /// Retrieval forward in time without a later day.
    #[error("no whale was photographed on two different days")]
    SingleDays,
    /// Retrieval across encounters without a second encounter.
    #[error("no whale was met in two encounters")]
    SingleEncounters,
    /// Too few whales for an open set.
    #[error(
        "too few whales for an open set: one with two photos must be enrolled while others are left out"
    )]
    TooFewWhales,
}
