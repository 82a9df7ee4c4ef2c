//! A camera of the pipeline.

use crate::encounter::Encounters;
use crate::gate::Gate;
use crate::time::Timing;

/// The state that the pipeline keeps for a camera.
pub struct PipelineCamera {
    pub(super) encounters: Encounters,
    pub(super) live: bool,
    /// The timing of its last frame.
    pub(super) timing: Timing,
    pub(super) gate: Option<Gate>,
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
        }
    }

    /// Passes only those frames to a detector that `gate`, if any, lets through.
    #[must_use]
    pub fn with_gate(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }
}
