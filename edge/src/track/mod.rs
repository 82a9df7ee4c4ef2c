//! Multi-object tracking: one track per fluke while it is visible, similar to SORT and ByteTrack.
//!
//! Each track predicts its box with a constant-velocity Kalman filter over centre and size ([`Motion`]),
//! in time rather than in frames, so that frame rates may vary and frames may be missing. The
//! detections of a frame are assigned to tracks by gate, overlap and [optimal assignment](assign). An
//! unassigned detection starts a track, which is confirmed once it is seen several times in few frames.
//! A track survives while spray hides its fluke, and ends after a gap.

mod assign;
mod axis;
mod motion;
mod tracker;

pub use assign::MAX_TRACKS;
pub use motion::Motion;
pub use tracker::{Track, TrackRules, Tracker};

#[cfg(test)]
mod tests;
