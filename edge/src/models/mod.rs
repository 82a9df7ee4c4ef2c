//! Opens what a bundle holds: the embedding network and the detector, each on its engine.
//!
//! [`Models::open`] is what a session starts with; `check` and `selftest` use the parts.

mod detector;
mod engine_log;
mod open;

pub use detector::{describe_detector, open_detector};
pub use engine_log::engine_log;
pub use open::{Models, ModelsError, OpenedDetector, PerceptionNeeds, open_identifier};
