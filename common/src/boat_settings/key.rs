//! The keys of a boat's configuration that can be set from shore, and their ranges.

use crate::link_class::LinkClass;

/// The lowest limit of bytes an hour: a connection with certificates and the status for an hour fit.
const MIN_BYTES_PER_HOUR: f64 = 10_000.0;
/// The highest one.
const MAX_BYTES_PER_HOUR: f64 = 1e15;
const MAX_DAYS: f64 = 3650.0;
const MAX_MEGABYTES: f64 = 1e6;

/// A key of a boat's configuration that can be set from shore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SettingKey {
    /// The lowest score of a detection; 0 for the bundle's own.
    DetectorThreshold,
    /// A single detection of this score confirms a track.
    ConfirmScore,
    /// Detections that are narrower than this fraction of the frame's width are ignored.
    MinWidthFraction,
    /// For how many days of operation recordings are kept.
    RecordingDays,
    /// Their maximum size in megabytes.
    RecordingMegabytes,
    /// For how many days of operation clips are kept.
    ClipDays,
    /// Their maximum size in megabytes.
    ClipMegabytes,
    /// For how many days of operation acknowledged sightings are kept.
    ArchiveDays,
    /// Their maximum size in megabytes.
    ArchiveMegabytes,
    /// The class of the link where nothing else chooses one.
    Link,
    /// Bytes an hour over links of a class; 0 for no limit.
    BytesPerHour(LinkClass),
}

impl SettingKey {
    /// All keys.
    pub const ALL: [Self; 15] = [
        Self::DetectorThreshold,
        Self::ConfirmScore,
        Self::MinWidthFraction,
        Self::RecordingDays,
        Self::RecordingMegabytes,
        Self::ClipDays,
        Self::ClipMegabytes,
        Self::ArchiveDays,
        Self::ArchiveMegabytes,
        Self::Link,
        Self::BytesPerHour(LinkClass::Harbour),
        Self::BytesPerHour(LinkClass::Lte),
        Self::BytesPerHour(LinkClass::Starlink),
        Self::BytesPerHour(LinkClass::Vsat),
        Self::BytesPerHour(LinkClass::Iridium),
    ];

    /// Its number in messages, counted from 1 in the order of [`SettingKey::ALL`].
    pub fn number(self) -> u8 {
        match self {
            Self::DetectorThreshold => 1,
            Self::ConfirmScore => 2,
            Self::MinWidthFraction => 3,
            Self::RecordingDays => 4,
            Self::RecordingMegabytes => 5,
            Self::ClipDays => 6,
            Self::ClipMegabytes => 7,
            Self::ArchiveDays => 8,
            Self::ArchiveMegabytes => 9,
            Self::Link => 10,
            Self::BytesPerHour(class) => 11 + class.index() as u8,
        }
    }

    /// The key with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.number() == number)
    }

    /// Section and key in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DetectorThreshold => "detector.threshold",
            Self::ConfirmScore => "track.confirm_score",
            Self::MinWidthFraction => "track.min_width_fraction",
            Self::RecordingDays => "recording.days",
            Self::RecordingMegabytes => "recording.max_megabytes",
            Self::ClipDays => "clip.days",
            Self::ClipMegabytes => "clip.max_megabytes",
            Self::ArchiveDays => "archive.days",
            Self::ArchiveMegabytes => "archive.max_megabytes",
            Self::Link => "uplink.link",
            Self::BytesPerHour(LinkClass::Harbour) => "uplink.bytes_per_hour.harbour",
            Self::BytesPerHour(LinkClass::Lte) => "uplink.bytes_per_hour.lte",
            Self::BytesPerHour(LinkClass::Starlink) => "uplink.bytes_per_hour.starlink",
            Self::BytesPerHour(LinkClass::Vsat) => "uplink.bytes_per_hour.vsat",
            Self::BytesPerHour(LinkClass::Iridium) => "uplink.bytes_per_hour.iridium",
        }
    }

    /// The key with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }

    /// What its value may be, in words.
    pub fn expected(self) -> String {
        match self.range() {
            None => {
                let classes = LinkClass::ALL.map(LinkClass::as_str);
                format!("one of {}", classes.join(", "))
            }
            Some((low, high)) if self.permits_zero() => format!("0, or {low} to {high}"),
            Some((low, high)) => format!("{low} to {high}"),
        }
    }

    /// The lowest and the highest number; `None` where it is not a number.
    pub(super) fn range(self) -> Option<(f64, f64)> {
        match self {
            Self::DetectorThreshold => Some((0.0, 1.0)),
            Self::ConfirmScore => Some((0.01, 1.0)),
            Self::MinWidthFraction => Some((0.0, 0.5)),
            Self::RecordingDays | Self::ClipDays | Self::ArchiveDays => Some((0.0, MAX_DAYS)),
            Self::RecordingMegabytes | Self::ClipMegabytes | Self::ArchiveMegabytes => {
                Some((0.0, MAX_MEGABYTES))
            }
            Self::Link => None,
            Self::BytesPerHour(_) => Some((MIN_BYTES_PER_HOUR, MAX_BYTES_PER_HOUR)),
        }
    }

    /// Whether 0 stands for no limit.
    pub(super) fn permits_zero(self) -> bool {
        matches!(self, Self::BytesPerHour(_))
    }

    pub(super) fn is_whole(self) -> bool {
        match self {
            Self::RecordingMegabytes
            | Self::ClipMegabytes
            | Self::ArchiveMegabytes
            | Self::BytesPerHour(_) => true,
            Self::DetectorThreshold
            | Self::ConfirmScore
            | Self::MinWidthFraction
            | Self::RecordingDays
            | Self::ClipDays
            | Self::ArchiveDays
            | Self::Link => false,
        }
    }
}
