//! Random numbers of the operating system.

use super::error::SessionError;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};

/// A generator seeded by the operating system.
pub(super) fn random() -> Result<Box<StdRng>, SessionError> {
    let random = StdRng::try_from_rng(&mut SysRng).map_err(|e| SessionError::System {
        what: "provide random numbers",
        why: e.to_string(),
    })?;
    Ok(Box::new(random))
}
