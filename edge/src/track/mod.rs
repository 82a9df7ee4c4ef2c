//! From boxes in frames to tracks: one for each fluke, as long as it is seen.
//!
//! A track's box moves as [`Motion`] expects it to, a constant-velocity Kalman filter over centre and size in time, not in frames, so that
//! rates may differ and frames be missing. The boxes of a frame go to the tracks that expect them, by gate, overlap and [optimal
//! assignment](assign). What no track expects begins one, which counts once it is seen several times in few frames; a track goes on while
//! spray hides its fluke, and ends after a gap.

mod assign;
mod axis;
mod motion;
mod tracker;

pub use motion::Motion;
pub use tracker::{MAX_TRACKS, TrackRules, Tracked, Tracker};

#[cfg(test)]
mod tests;
