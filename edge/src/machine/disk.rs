//! Room on the disk.

use super::Level;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// From when on there is too little room, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    /// A warning.
    pub low: u64,
    /// A fault.
    pub critical: u64,
}

/// What the disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskHealth {
    /// Bytes that the boat's program may still use.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Whether that is too little.
    pub level: Level,
}

impl fmt::Display for DiskHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes / 1_000_000;
        write!(
            f,
            "{} of {} MB free",
            megabytes(self.free_bytes),
            megabytes(self.total_bytes)
        )
    }
}

/// The disk that holds `folder`; `None` where it does not say.
pub(super) fn read(folder: &Path, limits: DiskLimits) -> Option<DiskHealth> {
    let said = rustix::fs::statvfs(folder).ok()?;
    Some(judged(
        said.f_bavail.saturating_mul(said.f_frsize),
        said.f_blocks.saturating_mul(said.f_frsize),
        limits,
    ))
}

fn judged(free_bytes: u64, total_bytes: u64, limits: DiskLimits) -> DiskHealth {
    let level = if free_bytes < limits.critical {
        Level::Fault
    } else if free_bytes < limits.low {
        Level::Warning
    } else {
        Level::Good
    };
    DiskHealth {
        free_bytes,
        total_bytes,
        level,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told_by_its_limits() {
        let limits = DiskLimits {
            low: 1_000_000_000,
            critical: 200_000_000,
        };
        let level = |free| judged(free, 1 << 40, limits).level;
        assert_eq!(level(1_000_000_000), Level::Good);
        assert_eq!(level(999_999_999), Level::Warning);
        assert_eq!(level(199_999_999), Level::Fault);
        let said = judged(123_456_789, 1_000_000_000, limits).to_string();
        assert_eq!(said, "123 of 1000 MB free");
    }

    #[test]
    fn a_real_disk_says_how_large_it_is() {
        let limits = DiskLimits {
            low: 0,
            critical: 0,
        };
        let folder = tempfile::tempdir().unwrap();
        let disk = read(folder.path(), limits).unwrap();
        assert!(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes);
        assert_eq!(disk.level, Level::Good);
        assert_eq!(read(Path::new("/no/such/folder"), limits), None);
    }
}
