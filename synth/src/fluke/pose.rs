//! The pose of a fluke before the camera, and the mapping between its flat picture and the
//! photograph.
//!
//! The world has x to the right, y up and z towards the camera, in half spans of the fluke; the
//! camera looks along -z. The two lobes are planes that meet in the fluke's centre line, each
//! folded by its own angle and curled along its length. Every step has an exact inverse, so that
//! each pixel is mapped to a position on the skin.

use super::difficulty::Difficulty;
use crate::seed::Draw;
use rand_chacha::ChaCha8Rng;

/// The height of the pivot of yaw and pitch: where the stalk begins.
const PIVOT: f32 = -0.5;

/// The pose of a fluke. Angles are in radians.
#[derive(Clone, Debug)]
pub struct Pose {
    /// Yaw, about the vertical axis.
    pub turn: f32,
    /// Pitch, away from the camera.
    pub lean: f32,
    /// Roll of the whole scene in the picture.
    pub roll: f32,
    /// Fold of the left and the right lobe, towards the camera.
    pub folds: [f32; 2],
    /// Curl of the left and the right tip, upwards.
    pub curls: [f32; 2],
    /// Distance from the camera to the fluke, in half spans.
    pub distance: f32,
    /// Height of the water, in half spans.
    pub water: f32,
}

impl Pose {
    /// Draws a pose typical of catalogue photographs: most of the fluke is visible.
    pub fn draw(difficulty: &Difficulty, rng: &mut ChaCha8Rng) -> Self {
        let fold = rng.within(&difficulty.fold);
        let curl = rng.around_zero(difficulty.curl);
        let half = difficulty.fold_difference / 2.0;
        Self {
            turn: rng.around_zero(difficulty.turn),
            lean: rng.within(&difficulty.lean),
            roll: rng.around_zero(difficulty.roll),
            folds: [fold + rng.around_zero(half), fold + rng.around_zero(half)],
            curls: [curl + rng.around_zero(0.05), curl + rng.around_zero(0.05)],
            distance: rng.within(&difficulty.distance),
            water: rng.within(&difficulty.water),
        }
    }
}

/// Where a ray meets the fluke.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Horizontal position on the fluke.
    pub u: f32,
    /// Vertical position on the fluke.
    pub v: f32,
    /// Horizontal position in the world.
    pub x: f32,
    /// Vertical position in the world.
    pub y: f32,
    /// The lobe: 0 left, 1 right.
    pub side: usize,
    /// Whether the underside is visible.
    pub underside: bool,
}

/// The plane of a lobe.
#[derive(Clone, Copy, Debug)]
struct Lobe {
    /// Direction from the centre line outwards.
    out: [f32; 3],
    normal: [f32; 3],
    curl: f32,
    sign: f32,
}

/// The mapping of a camera in front of a fluke.
#[derive(Clone, Debug)]
pub struct View {
    lobes: [Lobe; 2],
    /// Rotation from world to fluke; the transpose is the inverse.
    rotation: [[f32; 3]; 3],
    /// Position of the camera relative to the fluke's pivot.
    eye: [f32; 3],
    roll: [f32; 2],
    distance: f32,
    /// The height of the water in the world.
    pub water: f32,
    /// The pixel of the world's origin (the notch).
    pub centre: [f32; 2],
    /// Pixels per half span at the fluke's distance.
    pub zoom: f32,
}

impl View {
    /// A view of a fluke in this pose with the notch near the pixel `centre` and `zoom` pixels per
    /// half span.
    pub fn new(pose: &Pose, centre: [f32; 2], zoom: f32) -> Self {
        let (sin_turn, cos_turn) = pose.turn.sin_cos();
        let (sin_lean, cos_lean) = pose.lean.sin_cos();
        // Rows: the fluke's axes in the world, lean first, then turn.
        let rotation = [
            [cos_turn, 0.0, -sin_turn],
            [-sin_lean * sin_turn, cos_lean, -sin_lean * cos_turn],
            [cos_lean * sin_turn, sin_lean, cos_lean * cos_turn],
        ];
        let lobe = |side: usize| {
            let (sin, cos) = pose.folds[side].sin_cos();
            let sign = if side == 0 { -1.0 } else { 1.0 };
            Lobe {
                out: [sign * cos, 0.0, sin],
                normal: [-sign * sin, 0.0, cos],
                curl: pose.curls[side],
                sign,
            }
        };
        Self {
            lobes: [lobe(0), lobe(1)],
            rotation,
            eye: forth(&rotation, [0.0, -PIVOT, pose.distance]),
            roll: [pose.roll.cos(), pose.roll.sin()],
            distance: pose.distance,
            water: pose.water,
            centre,
            zoom,
        }
    }

    /// The pixel of the point (`u`, `v`) of the fluke, and its height in the world.
    pub fn project(&self, u: f32, v: f32) -> ([f32; 2], f32) {
        let lobe = self.lobes[usize::from(u >= 0.0)];
        let r = u.abs();
        let fluke = [
            lobe.out[0] * r,
            v + lobe.curl * r * r - PIVOT,
            lobe.out[2] * r,
        ];
        let mut world = back(&self.rotation, fluke);
        world[1] += PIVOT;
        (self.pixel(world), world[1])
    }

    /// The pixel of a point in the world.
    pub fn pixel(&self, [x, y, z]: [f32; 3]) -> [f32; 2] {
        let scale = self.distance / (self.distance - z).max(0.1);
        let (x, y) = (x * scale, y * scale);
        let [cos, sin] = self.roll;
        [
            self.centre[0] + self.zoom * (x * cos - y * sin),
            self.centre[1] - self.zoom * (x * sin + y * cos),
        ]
    }

    /// A pixel's horizontal and vertical offset from the centre, in half spans at the fluke's
    /// distance.
    pub fn level(&self, px: f32, py: f32) -> [f32; 2] {
        let (x, y) = (
            (px - self.centre[0]) / self.zoom,
            (self.centre[1] - py) / self.zoom,
        );
        let [cos, sin] = self.roll;
        [x * cos + y * sin, y * cos - x * sin]
    }

    /// The first point at which the pixel's ray meets the infinite planes of the lobes and
    /// `accepts` says that there is fluke.
    pub fn cast<T>(
        &self,
        px: f32,
        py: f32,
        mut accepts: impl FnMut(Hit) -> Option<T>,
    ) -> Option<T> {
        let [x, y] = self.level(px, py);
        let eye = self.eye;
        let ray = forth(&self.rotation, [x, y, -self.distance]);
        let mut hits = [None; 2];
        for (side, lobe) in self.lobes.iter().enumerate() {
            let slope = dot(ray, lobe.normal);
            let t = -dot(eye, lobe.normal) / slope;
            if !(t > 0.0 && t.is_finite()) {
                continue;
            }
            let place: [f32; 3] = std::array::from_fn(|i| eye[i] + t * ray[i]);
            let r = dot(place, lobe.out);
            if r >= 0.0 {
                let v = place[1] + PIVOT - lobe.curl * r * r;
                let hit = Hit {
                    u: lobe.sign * r,
                    v,
                    x: x * t,
                    y: y * t,
                    side,
                    underside: slope < 0.0,
                };
                hits[side] = Some((t, hit));
            }
        }
        if let [Some((left, _)), Some((right, _))] = hits
            && right < left
        {
            hits.swap(0, 1);
        }
        hits.into_iter().flatten().find_map(|(_, hit)| accepts(hit))
    }

    /// Cosine between each lobe's normal and the direction `sun` (a unit vector): 1 facing it, 0 or
    /// less turned away.
    pub fn facing(&self, sun: [f32; 3]) -> [f32; 2] {
        self.lobes
            .map(|lobe| dot(back(&self.rotation, lobe.normal), sun))
    }
}

fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn forth(rotation: &[[f32; 3]; 3], v: [f32; 3]) -> [f32; 3] {
    rotation.map(|row| dot(row, v))
}

fn back(rotation: &[[f32; 3]; 3], v: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|i| rotation[0][i] * v[0] + rotation[1][i] * v[1] + rotation[2][i] * v[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluke::difficulty::FIELD;
    use crate::seed::{Purpose, generator};

    #[test]
    fn a_pixel_is_mapped_to_the_point_that_it_shows() {
        for photo in 0..50 {
            let pose = Pose::draw(&FIELD, &mut generator(1, Purpose::CataloguePhoto, 1, photo));
            let view = View::new(&pose, [200.0, 90.0], 150.0);
            for (u, v) in [
                (-0.8, 0.1),
                (-0.3, -0.2),
                (0.2, 0.0),
                (0.6, -0.1),
                (0.9, 0.2),
            ] {
                let ([px, py], height) = view.project(u, v);
                // The other lobe may occlude this point.
                let found = view.cast(px, py, |hit| {
                    ((hit.u - u).abs() < 1e-3
                        && (hit.v - v).abs() < 1e-3
                        && (hit.y - height).abs() < 1e-3)
                        .then_some(())
                });
                assert!(found.is_some(), "photo {photo}, place ({u}, {v})");
            }
        }
    }

    #[test]
    fn pitch_reduces_the_height() {
        let height = |lean| {
            let pose = Pose {
                turn: 0.0,
                lean,
                roll: 0.0,
                folds: [0.0; 2],
                curls: [0.0; 2],
                distance: 20.0,
                water: -0.5,
            };
            let view = View::new(&pose, [0.0; 2], 100.0);
            view.project(0.5, -0.4).0[1] - view.project(0.5, 0.0).0[1]
        };
        assert!((height(0.0) - 40.0).abs() < 0.5 && height(1.0) < 25.0);
    }
}
