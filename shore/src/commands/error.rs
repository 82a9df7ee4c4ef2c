//! Errors of the subcommands.

use flukewatch_common::boat_settings::InvalidSetting;
use flukewatch_common::broker_url::{BadBrokerUrl, LoginError};
use flukewatch_common::file_transfer::MAX_REQUESTED_FILES;
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::authority::AuthorityError;
use flukewatch_shore::boat_settings::SettingsError;
use flukewatch_shore::broker::BrokerError;
use flukewatch_shore::bundles::BundlesError;
use flukewatch_shore::random::NoRandomNumbers;
use flukewatch_shore::station::StationError;
use flukewatch_shore::store::{MAX_OPEN_BYTES, StoreError};
use std::io;
use std::process::ExitCode;
use uuid::Uuid;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Station(#[from] StationError),
    #[error("--broker: {0}")]
    Broker(#[from] BadBrokerUrl),
    #[error("internal error: a station without a broker")]
    NoBroker,
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Bundles(#[from] BundlesError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    #[error(
        "no boat is named with --boat, and with --all none has a valid certificate: name a boat, or run 'flukewatch-shore provision BOAT'"
    )]
    NoBoats,
    #[error("sighting {0} is not in quarantine; 'flukewatch-shore quarantine' lists what is")]
    NotInQuarantine(Uuid),
    #[error(
        "boat {boat} has not reported a sighting {sighting}; 'flukewatch-shore list' shows those that it has"
    )]
    UnknownSighting { boat: BoatId, sighting: Uuid },
    #[error(
        "boat {0} has {MAX_REQUESTED_FILES} open requests; cancel one, or wait until one is complete: 'flukewatch-shore requests' lists them"
    )]
    TooManyRequests(BoatId),
    #[error(
        "the open requests of boat {boat} may bring {bytes} bytes, and at most {MAX_OPEN_BYTES} are permitted; cancel one, or set a \
         smaller --max-megabytes"
    )]
    TooManyRequestedBytes { boat: BoatId, bytes: u64 },
    #[error("request {0} is not open; 'flukewatch-shore requests' lists all")]
    NotRequested(Uuid),
    #[error(transparent)]
    Random(#[from] NoRandomNumbers),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("I/O error: {0}")]
    Io(#[from] io::Error),
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl CommandError {
    /// 2 for wrong usage, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Broker(_) | Self::Station(StationError::Broker(BrokerError::NotLoopback(_))) => {
                ExitCode::from(2)
            }
            _ => ExitCode::FAILURE,
        }
    }
}
