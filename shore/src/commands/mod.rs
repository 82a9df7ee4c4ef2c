//! The subcommands.

pub(crate) mod error;
pub(crate) mod list;
pub(crate) mod missing;
pub(crate) mod serve;
