//! A camera of the pipeline.

use crate::capture::CameraState;
use crate::encounter::Encounters;
use crate::gate::Gate;
use crate::time::Timing;
use std::sync::Arc;

/// The state that the pipeline keeps for a camera.
pub struct PipelineCamera {
    pub(super) encounters: Encounters,
    pub(super) live: bool,
    /// The timing of its last frame.
    pub(super) timing: Timing,
    pub(super) gate: Option<Gate>,
    pub(super) state: Arc<CameraState>,
}

impl PipelineCamera {
    /// Groups its frames by `encounters`. The encounters of a `live` camera end after a gap even while
    /// it sends nothing.
    pub fn new(encounters: Encounters, live: bool) -> Self {
        Self {
            encounters,
            live,
            timing: Timing::default(),
            gate: None,
            state: Arc::default(),
        }
    }

    /// Passes only those frames to a detector that `gate`, if any, lets through.
    #[must_use]
    pub fn with_gate(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Counts broken frames in `state`.
    #[must_use]
    pub fn with_state(self, state: Arc<CameraState>) -> Self {
        Self { state, ..self }
    }
}
