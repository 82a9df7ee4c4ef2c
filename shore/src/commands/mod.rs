//! The subcommands.

pub(crate) mod certificates;
pub(crate) mod error;
pub(crate) mod list;
pub(crate) mod missing;
pub(crate) mod offer;
pub(crate) mod offers;
pub(crate) mod provision;
pub(crate) mod quarantine;
pub(crate) mod request;
pub(crate) mod requests;
pub(crate) mod revoke;
pub(crate) mod serve;
pub(crate) mod settings;
pub(crate) mod withdraw;
