//! HTML reports: single files without scripts that need no network.

pub mod audit;
mod data_url;
pub mod evaluation;
mod format;
mod plot;
mod table;
