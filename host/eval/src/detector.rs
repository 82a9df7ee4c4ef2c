//! Evaluation of a detector on flukes with known boxes and on hours of open sea.

pub mod alarms;
pub mod evaluation;
pub mod images;
pub mod metrics;
pub mod negatives;
pub mod open;
pub mod videos;
