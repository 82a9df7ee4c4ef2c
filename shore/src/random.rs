//! Random numbers of the operating system.

use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

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
