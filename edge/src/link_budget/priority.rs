//! What goes first.

/// What a message is for. The order is that in which messages may use the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Status, presence and acknowledgements.
    Status,
    /// Which whales were seen.
    Identities,
    /// Sightings with all details.
    Sightings,
    /// Pictures of sightings.
    Pictures,
    /// Bundles from the station.
    Bundles,
    /// Crops in colour that shore has requested.
    Crops,
    /// Clips that shore has requested.
    Clips,
}

impl Priority {
    /// The bytes of an hour's `limit` that messages of this priority leave to those before it.
    pub(super) fn reserve(self, limit: u64) -> u64 {
        // Small links keep a fraction, large ones no more than is needed.
        let (eighths, most) = match self {
            Self::Status => (0, 0),
            Self::Identities => (1, 40_000),
            Self::Sightings => (2, 100_000),
            Self::Pictures => (3, 200_000),
            Self::Bundles => (4, 1_000_000),
            Self::Crops => (5, 2_000_000),
            Self::Clips => (6, 3_000_000),
        };
        (limit / 8).saturating_mul(eighths).min(most)
    }
}
