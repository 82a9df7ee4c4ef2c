//! Free space on the disk.

use flukewatch_common::severity::Severity;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Free space below which the disk is reported, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    /// Free space below which there is a warning.
    pub low: u64,
    /// Free space below which the disk is critical.
    pub critical: u64,
}

/// Free and total space of the disk, rated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskHealth {
    /// Bytes available to the program.
    pub free_bytes: u64,
    /// Size of the file system in bytes.
    pub total_bytes: u64,
    /// How serious that is.
    pub severity: Severity,
}

impl fmt::Display for DiskHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = |bytes: u64| bytes / 1_000_000;
        write!(
            f,
            "{} MB free of {} MB",
            megabytes(self.free_bytes),
            megabytes(self.total_bytes)
        )
    }
}

/// Reads the disk that holds `folder`; `None` where that fails.
pub(super) fn read(folder: &Path, limits: DiskLimits) -> Option<DiskHealth> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(rate(
        stat.f_bavail.saturating_mul(stat.f_frsize),
        stat.f_blocks.saturating_mul(stat.f_frsize),
        limits,
    ))
}

fn rate(free_bytes: u64, total_bytes: u64, limits: DiskLimits) -> DiskHealth {
    let severity = if free_bytes < limits.critical {
        Severity::Critical
    } else if free_bytes < limits.low {
        Severity::Warning
    } else {
        Severity::Ok
    };
    DiskHealth {
        free_bytes,
        total_bytes,
        severity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_give_the_severity() {
        let limits = DiskLimits {
            low: 1_000_000_000,
            critical: 200_000_000,
        };
        let severity = |free| rate(free, 1 << 40, limits).severity;
        assert_eq!(severity(1_000_000_000), Severity::Ok);
        assert_eq!(severity(999_999_999), Severity::Warning);
        assert_eq!(severity(199_999_999), Severity::Critical);
        let text = rate(123_456_789, 1_000_000_000, limits).to_string();
        assert_eq!(text, "123 MB free of 1000 MB");
    }

    #[test]
    fn a_real_disk_can_be_read() {
        let limits = DiskLimits {
            low: 0,
            critical: 0,
        };
        let folder = tempfile::tempdir().unwrap();
        let disk = read(folder.path(), limits).unwrap();
        assert!(disk.total_bytes > 0 && disk.free_bytes <= disk.total_bytes);
        assert_eq!(disk.severity, Severity::Ok);
        assert_eq!(read(Path::new("/no/such/folder"), limits), None);
    }
}
