//! Errors of the station's start.

use crate::authority::AuthorityError;
use crate::broker::BrokerError;
use crate::catalogue_photos::CataloguePhotosError;
use crate::mosquitto::MosquittoError;
use crate::random::NoRandomNumbers;
use crate::store::StoreError;
use flukewatch_common::bundle::BundleError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a station cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StationError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bundle cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The catalogue's photos cannot be read.
    #[error(transparent)]
    Photos(#[from] CataloguePhotosError),
    /// The embedded broker cannot start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The authority cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// mosquitto cannot start.
    #[error(transparent)]
    Mosquitto(#[from] MosquittoError),
    /// The operating system has no random numbers for keys.
    #[error(transparent)]
    Random(#[from] NoRandomNumbers),
    /// The station's client id cannot be read or written.
    #[error("cannot use {}: {source}", .file.display())]
    ClientId {
        /// Path of the file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A task of the start failed.
    #[error("start task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The HTTP server cannot start.
    #[error("cannot listen for HTTP on {address}: {source}; choose another address with --http")]
    Http {
        /// The address to listen on.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
}
