//! The way to shore: the [`Uploader`] sends messages from the outbox over an [`Uplink`], and
//! deletes what shore acknowledges.
//!
//! A broker's PUBACK is not an acknowledgement. Which messages are in flight is known in memory
//! only: after an error or a restart, everything that is not acknowledged is sent again.

mod identity;
mod link;
mod meter;
mod mqtt;
mod picture_progress;
mod requested_files;
mod shore_access;
mod status_reporter;
mod supervisor;
mod suspects;
mod twins;
mod uploader;

pub use identity::Identity;
pub use link::{LinkError, MAX_WINDOW, Uplink, UplinkEvent};
pub use mqtt::MqttUplink;
pub use shore_access::{AccessSettings, BrokerError, ShoreAccess};
pub use supervisor::supervise;
pub use uploader::{Uploader, UploaderParts, UploaderSettings};
