//! Judging a detector: on flukes whose places are known, and on hours of open sea.

pub mod alarms;
pub mod command;
pub mod figures;
pub mod films;
pub mod stills;
