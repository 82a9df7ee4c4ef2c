//! Figures over queries, with confidence intervals.

pub mod bootstrap;
pub mod curve;
pub mod map_at_5;
pub mod photo_recall;
pub mod rank;
pub mod reliability;
