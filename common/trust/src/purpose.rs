//! What a signature is for.

/// What a signature is for. It is signed with the content, so that what was signed for one purpose
/// cannot be presented for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A message of a boat to the station: sighting, picture, presence, status.
    BoatMessage,
    /// A message of the station to a boat: acknowledgement, command.
    StationMessage,
    /// A bundle's manifest.
    Bundle,
}

impl Purpose {
    /// What precedes the content in the signed bytes. None is the beginning of another.
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::BoatMessage => b"flukewatch boat message\0",
            Self::StationMessage => b"flukewatch station message\0",
            Self::Bundle => b"flukewatch bundle\0",
        }
    }

    /// The bytes that are signed.
    pub(crate) fn signed_bytes(self, content: &[u8]) -> Vec<u8> {
        [self.prefix(), content].concat()
    }
}
