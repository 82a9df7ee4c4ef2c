//! Which messages of boats are believed, and how the station's are signed.

use crate::authority::Authority;
use crate::store::{RejectReason, Rejection};
use bytes::Bytes;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::BoatId;
use flukewatch_trust::{OpenError, Purpose, SEAL_BYTES, open, seal};
use std::sync::Arc;

/// Whether messages are signed.
#[derive(Clone, Debug)]
pub enum MessageTrust {
    /// They are not: everyone who reaches the broker is trusted.
    Unsigned,
    /// They are, by the boats to which the authority has given certificates, and by the station.
    Signed(Arc<Authority>),
}

impl MessageTrust {
    /// Whether messages must be signed.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Signed(_))
    }

    /// The content of a message of `boat`.
    pub(super) fn open(
        &self,
        boat: &BoatId,
        message: &Bytes,
        now: Timestamp,
    ) -> Result<Bytes, Rejection> {
        let Self::Signed(authority) = self else {
            return Ok(message.clone());
        };
        let Some(key) = authority.boat_key(boat, now) else {
            return Err(unauthenticated(format!(
                "boat {boat} has no valid certificate; run `flukewatch-shore provision {boat}`"
            )));
        };
        match open(&key, Purpose::BoatMessage, message) {
            Ok(_) => Ok(message.slice(SEAL_BYTES..)),
            Err(OpenError::Unsigned) => Err(unauthenticated(format!(
                "unsigned message; set uplink.identity on boat {boat}"
            ))),
            Err(OpenError::Invalid) => Err(unauthenticated(format!(
                "the signature is not that of boat {boat}"
            ))),
        }
    }

    /// The content of a message, whoever sent it: to find out what kind it is.
    pub(super) fn unverified<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Unsigned => message,
            Self::Signed(_) => message.get(SEAL_BYTES..).unwrap_or_default(),
        }
    }

    /// A message of the station as it is sent.
    pub(super) fn seal(&self, message: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Unsigned => message,
            Self::Signed(authority) => {
                seal(authority.station_key(), Purpose::StationMessage, &message)
            }
        }
    }
}

fn unauthenticated(detail: String) -> Rejection {
    Rejection {
        reason: RejectReason::Unauthenticated,
        detail,
    }
}
