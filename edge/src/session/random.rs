//! Random numbers of the operating system.

use super::error::SessionError;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use uuid::{Builder, Uuid};

/// A generator seeded by the operating system.
pub(crate) fn random() -> Result<Box<StdRng>, SessionError> {
    let random = StdRng::try_from_rng(&mut SysRng).map_err(|e| SessionError::System {
        what: "provide random numbers",
        why: e.to_string(),
    })?;
    Ok(Box::new(random))
}

/// A random id.
pub(crate) fn random_id() -> Result<Uuid, SessionError> {
    let mut bytes = [0; 16];
    random()?.fill_bytes(&mut bytes);
    Ok(Builder::from_random_bytes(bytes).into_uuid())
}
