//! Random numbers of the operating system, and ids.

use flukewatch_common::clock::Timestamp;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

/// The operating system provides no random numbers.
#[derive(Debug, thiserror::Error)]
#[error("the operating system provides no random numbers: {0}")]
pub struct NoRandomNumbers(String);

/// A generator seeded by the operating system, for keys.
///
/// # Errors
/// When the operating system provides no random numbers.
pub fn system_random() -> Result<StdRng, NoRandomNumbers> {
    StdRng::try_from_rng(&mut SysRng).map_err(|error| NoRandomNumbers(error.to_string()))
}

/// A new id that sorts by the time `now`: a UUIDv7.
pub fn new_id(random: &mut impl Rng, now: Timestamp) -> Uuid {
    let mut bytes = [0; 10];
    random.fill_bytes(&mut bytes);
    let millis = now.0.max(0).unsigned_abs();
    Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
}
