//! Encounters: what one fluke shows from its rise to its dive, with the best few crops.
//!
//! Each track of a camera is a separate encounter, so that two whales side by side are two. Memory is
//! bounded by the numbers of tracks, crops and boxes.

mod best_crops;
mod boxes;
mod encounters;
mod open_encounter;

pub use best_crops::Crop;
pub use encounters::{Encounters, FlukeBoxes, Grouping, ObservedFrame};
pub use open_encounter::Encounter;

#[cfg(test)]
mod tests;
