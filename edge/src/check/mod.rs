//! Checks whether a boat will work, before it leaves the harbour.

mod bundle;
mod inputs;
mod outcome;
mod run;

pub use bundle::check_bundle;
pub use outcome::CheckResult;
pub use run::check_config;

#[cfg(test)]
mod tests;
