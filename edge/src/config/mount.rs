//! `mount` of a `[camera]`

use super::checks::Checks;
use crate::mount::{Horizon, Mount};
use serde::Deserialize;

/// How a camera is mounted, `mount` in its section. Empty: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MountSection {
    /// The bearing of the optical axis, clockwise from the bow.
    pub bearing_degrees: Option<f64>,
    /// The horizontal field of view.
    pub field_of_view_degrees: Option<f64>,
    /// The camera's height above the water.
    pub height_metres: Option<f64>,
    /// The row of the horizon in calm water, as a fraction of the frame's height from its top.
    pub horizon_row_fraction: Option<f64>,
}

impl MountSection {
    /// The mount; `None` where it is unknown.
    pub fn mount(&self) -> Option<Mount> {
        let horizon = self.height_metres.zip(self.horizon_row_fraction);
        self.field_of_view_degrees.map(|field_of_view| Mount {
            field_of_view,
            bearing: self.bearing_degrees,
            horizon: horizon.map(|(height, row_fraction)| Horizon {
                height,
                row_fraction,
            }),
        })
    }

    /// Checks the keys of the camera section of `checks`.
    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        let bearing = ("mount.bearing_degrees", self.bearing_degrees);
        let field_of_view = ("mount.field_of_view_degrees", self.field_of_view_degrees);
        let height = ("mount.height_metres", self.height_metres);
        let horizon = ("mount.horizon_row_fraction", self.horizon_row_fraction);
        for ((key, value), low, high) in [
            (bearing, 0.0, 360.0),
            // Wider lenses do not follow the pinhole model.
            (field_of_view, 1.0, 150.0),
            (height, 0.5, 100.0),
            (horizon, 0.0, 1.0),
        ] {
            if let Some(value) = value {
                checks.range(key, value, low, high);
            }
        }
        for ((key, value), needed) in [
            (bearing, field_of_view),
            (height, field_of_view),
            (height, horizon),
            (horizon, height),
        ] {
            if value.is_some() && needed.1.is_none() {
                checks.fault(key, format!("needs '{}'", needed.0));
            }
        }
        let is_used = bearing.1.is_some() || height.1.is_some() || horizon.1.is_some();
        if field_of_view.1.is_some() && !is_used {
            let problem = format!("needs '{}' or '{}'", bearing.0, height.0);
            checks.fault(field_of_view.0, problem);
        }
    }
}
