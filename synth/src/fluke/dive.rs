//! How a fluke appears and disappears before a camera: it rises leaning back, stands and turns, and
//! sinks.

use super::difficulty::Difficulty;
use super::pose::{Pose, View};
use crate::noise::{mix, step};
use crate::seed::Draw;
use rand_chacha::ChaCha8Rng;

/// The height of water under which every fluke is hidden.
const UNDER: f32 = 1.0;

/// The motion of one fluke before the camera, in seconds from its start.
#[derive(Clone, Debug)]
pub struct Dive {
    rises: f32,
    stands: f32,
    sinks: f32,
    /// The pose at the highest point.
    pose: Pose,
    /// Lean back at the start, and forward at the end.
    leans: [f32; 2],
    /// Turn from start to end.
    turns: f32,
    centre: [f32; 2],
    drift: [f32; 2],
    zoom: f32,
}

impl Dive {
    /// Draws a dive for frames of this size; `roll` is the camera's.
    pub fn draw(
        difficulty: &Difficulty,
        size: (u32, u32),
        roll: f32,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let (width, height) = (size.0 as f32, size.1 as f32);
        let mut pose = Pose::draw(difficulty, rng);
        pose.roll = roll;
        // A fluke that is well out of the water at its highest point, and not too far to one side.
        pose.turn *= 0.7;
        pose.lean = pose.lean.clamp(-0.25, 0.6);
        let zoom = (width * rng.within(&(0.17..=0.36))).min(height * 0.6);
        Self {
            rises: rng.within(&(0.7..=1.5)),
            stands: rng.within(&(0.8..=2.2)),
            sinks: rng.within(&(0.7..=1.6)),
            leans: [rng.within(&(0.5..=1.0)), rng.within(&(-0.5..=0.1))],
            turns: rng.around_zero(0.9),
            centre: [
                width * rng.within(&(0.4..=0.6)) + rng.around_zero(0.08) * width,
                height * rng.within(&(0.42..=0.6)),
            ],
            drift: [
                rng.around_zero(0.04) * width,
                rng.around_zero(0.02) * height,
            ],
            zoom,
            pose,
        }
    }

    /// Duration in seconds.
    pub fn seconds(&self) -> f32 {
        self.rises + self.stands + self.sinks
    }

    /// The view of the fluke `time` seconds after the start.
    pub fn view(&self, time: f32) -> View {
        let up = step(0.0, self.rises, time);
        let down = step(self.rises + self.stands, self.seconds(), time);
        let whole = (time / self.seconds()).clamp(0.0, 1.0) - 0.5;
        let pose = Pose {
            turn: self.pose.turn + self.turns * whole,
            lean: self.pose.lean + self.leans[0] * (1.0 - up) + self.leans[1] * down,
            water: mix(UNDER, self.pose.water, up * (1.0 - down)),
            ..self.pose.clone()
        };
        // The camera keeps the sea still: as the fluke sinks in its own frame, its picture moves
        // down by the same amount.
        let sunk = (pose.water - self.pose.water) * self.zoom;
        let centre = [
            self.centre[0] + self.drift[0] * whole,
            self.centre[1] + self.drift[1] * whole + sunk,
        ];
        View::new(&pose, centre, self.zoom)
    }

    /// Amount of running water `time` seconds after the start: most while the fluke rises.
    pub fn runoff(&self, time: f32) -> f32 {
        mix(
            1.4,
            0.6,
            step(self.rises * 0.6, self.rises + self.stands, time),
        )
    }
}
