//! A camera and its encounters.

use crate::capture::CameraState;
use crate::clip::ClipTap;
use crate::detection_filter::DetectionFilter;
use crate::encounter::Encounters;
use crate::gate::Gate;
use crate::picture::PictureMonitor;
use crate::time::Timing;
use std::sync::Arc;

/// What perception keeps for a camera.
pub struct PerceptionCamera {
    pub(super) encounters: Encounters,
    pub(crate) live: bool,
    /// The timing of its last frame.
    pub(super) timing: Timing,
    pub(super) gate: Option<Gate>,
    pub(super) clip: Option<ClipTap>,
    pub(super) picture: Option<PictureMonitor>,
    pub(super) filter: Arc<DetectionFilter>,
    pub(super) state: Arc<CameraState>,
}

impl PerceptionCamera {
    /// Groups its frames by `encounters`. The encounters of a `live` camera end after a gap even while
    /// it sends nothing.
    pub fn new(encounters: Encounters, live: bool) -> Self {
        Self {
            encounters,
            live,
            timing: Timing::default(),
            gate: None,
            clip: None,
            picture: None,
            filter: Arc::default(),
            state: Arc::default(),
        }
    }

    /// Passes only those frames to a detector that `gate`, if any, lets through.
    #[must_use]
    pub fn with_gate(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Sends its frames to `clip`, if any, while a fluke is in view.
    #[must_use]
    pub fn with_clip(self, clip: Option<ClipTap>) -> Self {
        Self { clip, ..self }
    }

    /// Watches its pictures with `picture`, if any.
    #[must_use]
    pub fn with_picture(self, picture: Option<PictureMonitor>) -> Self {
        Self { picture, ..self }
    }

    /// Drops those of its detections that `filter` does not pass.
    #[must_use]
    pub fn with_filter(self, filter: DetectionFilter) -> Self {
        Self {
            filter: Arc::new(filter),
            ..self
        }
    }

    /// Counts broken frames in `state`.
    #[must_use]
    pub fn with_state(self, state: Arc<CameraState>) -> Self {
        Self { state, ..self }
    }
}
