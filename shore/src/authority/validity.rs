//! From when and until when certificates are valid.

use super::error::AuthorityError;
use flukewatch_common::clock::Timestamp;
use time::OffsetDateTime;

/// The name in the station's own certificate. A boat cannot have it.
pub const STATION_NAME: &str = "station";

/// How long a boat's certificate is valid, in days, unless stated otherwise.
pub const BOAT_DAYS: u32 = 3 * 365;

/// How long the certificates of authority, station and broker are valid. They have one life: their keys
/// lie in one folder, so that a shorter one of station and broker would protect nothing.
const AUTHORITY_DAYS: u32 = 20 * 365 + 5;

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// 2026-01-01. A clock before it was never set.
const EARLIEST_CLOCK: Timestamp = Timestamp(1_767_225_600_000);

/// The time in which a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

impl Validity {
    /// Of authority, station and broker. From 1970 on: a boat whose clock was reset verifies the broker's
    /// certificate by that clock, and must connect all the same.
    ///
    /// # Errors
    /// When the clock was never set.
    pub(super) fn of_authority(now: Timestamp) -> Result<Self, AuthorityError> {
        if now < EARLIEST_CLOCK {
            return Err(AuthorityError::Clock(now));
        }
        Ok(Self {
            from: Timestamp(0),
            until: days_after(now, AUTHORITY_DAYS),
        })
    }

    /// Of a boat, which the broker verifies by the station's clock. From yesterday on, in case that clock is
    /// set back a little.
    ///
    /// # Errors
    /// When the clock was never set, or the authority's certificate expires earlier.
    pub(super) fn of_boat(
        now: Timestamp,
        days: u32,
        authority_expires: Timestamp,
    ) -> Result<Self, AuthorityError> {
        if now < EARLIEST_CLOCK {
            return Err(AuthorityError::Clock(now));
        }
        let until = days_after(now, days);
        if until > authority_expires {
            return Err(AuthorityError::OutlastsAuthority {
                days,
                expires: authority_expires,
            });
        }
        Ok(Self {
            from: now.plus_millis(-MILLIS_PER_DAY),
            until,
        })
    }
}

/// In whole seconds, as certificates have them.
fn days_after(now: Timestamp, days: u32) -> Timestamp {
    let later = now.plus_millis(i64::from(days).saturating_mul(MILLIS_PER_DAY));
    Timestamp(later.0 - later.0.rem_euclid(1000))
}

/// The time as certificates have it.
///
/// # Errors
/// When it is out of range.
pub(super) fn date_time(time: Timestamp) -> Result<OffsetDateTime, AuthorityError> {
    OffsetDateTime::from_unix_timestamp(time.0.div_euclid(1000))
        .map_err(|_| AuthorityError::Clock(time))
}
