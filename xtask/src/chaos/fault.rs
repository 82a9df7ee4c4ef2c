//! The faults.

use std::fmt;
use std::time::Duration;

/// A fault: what happens when, to which boat, for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// When it begins, from the start of the run.
    pub(super) at: Duration,
    /// When it ends, from its beginning. Zero for what happens at once.
    pub(super) lasts: Duration,
    /// The boat that it concerns, from 0; ignored by faults on shore.
    pub(super) boat: usize,
    /// What happens.
    pub(super) kind: FaultKind,
    /// A random number for what is chosen when it happens, e.g. the bit to corrupt.
    pub(super) salt: u64,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FaultKind {
    /// The boat's program is killed, and started again afterwards.
    KillBoat,
    /// The station's program is killed, and started again afterwards.
    KillShore,
    /// mosquitto is killed; the station starts it again.
    KillBroker,
    /// Connections are closed and not accepted.
    CutLink,
    /// Nothing passes; connections stay open.
    SilenceLink,
    /// Everything passes later.
    DelayLink,
    /// Few bytes pass per second.
    ThrottleLink,
    /// A bit of what passes is changed.
    CorruptStream,
    /// Bytes that have passed are sent a second time.
    ReplayStream,
    /// The disk of the boat's outbox is full.
    FillDisk,
    /// fsync fails in the boat's program.
    FailBoatSync,
    /// fsync fails in the station's program.
    FailShoreSync,
    /// The boat's GNSS receiver states another time.
    StepClock,
    /// The boat's certificate is revoked; a new one is aboard afterwards.
    RevokeCertificate,
}

impl FaultKind {
    /// All kinds with their share among the faults, and how long they last in milliseconds.
    pub(super) const SHARES: [(Self, usize, (u64, u64)); 14] = [
        (Self::KillBoat, 6, (0, 3000)),
        (Self::KillShore, 2, (0, 5000)),
        (Self::KillBroker, 2, (0, 0)),
        (Self::CutLink, 4, (300, 8000)),
        (Self::SilenceLink, 2, (2000, 12_000)),
        (Self::DelayLink, 3, (3000, 15_000)),
        (Self::ThrottleLink, 3, (3000, 12_000)),
        (Self::CorruptStream, 3, (0, 0)),
        (Self::ReplayStream, 2, (0, 0)),
        (Self::FillDisk, 2, (2000, 8000)),
        (Self::FailBoatSync, 2, (2000, 8000)),
        (Self::FailShoreSync, 1, (1000, 5000)),
        (Self::StepClock, 2, (4000, 20_000)),
        (Self::RevokeCertificate, 1, (2000, 8000)),
    ];

    /// Whether it concerns the station, not one boat.
    fn is_on_shore(self) -> bool {
        matches!(
            self,
            Self::KillShore | Self::KillBroker | Self::FailShoreSync
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillBoat => "boat killed",
            Self::KillShore => "station killed",
            Self::KillBroker => "mosquitto killed",
            Self::CutLink => "link cut",
            Self::SilenceLink => "link silent",
            Self::DelayLink => "link delayed",
            Self::ThrottleLink => "link throttled",
            Self::CorruptStream => "bytes corrupted",
            Self::ReplayStream => "bytes replayed",
            Self::FillDisk => "disk full",
            Self::FailBoatSync => "fsync failing on the boat",
            Self::FailShoreSync => "fsync failing on shore",
            Self::StepClock => "clock stepped",
            Self::RevokeCertificate => "certificate revoked",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.3} s  {}", self.at.as_secs_f64(), self.kind)?;
        if !self.kind.is_on_shore() {
            write!(f, ", boat {}", self.boat + 1)?;
        }
        if !self.lasts.is_zero() {
            write!(f, ", for {:.1} s", self.lasts.as_secs_f64())?;
        }
        Ok(())
    }
}
