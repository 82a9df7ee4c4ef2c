//! One appearance of a whale's fluke: it rises, stands and tilts, and sinks.

use super::canvas::blob;
use super::level::Level;
use super::sprite::{Setting, Sprite};
use super::surface::Sea;
use crate::fluke::difficulty::FIELD;
use crate::fluke::light::Light;
use crate::fluke::photograph::reach;
use crate::fluke::pose::{Hit, Pose, View};
use crate::fluke::skin::Skin;
use crate::noise::{Noise, mix, step};
use crate::seed::Draw;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::{Arc, OnceLock};

/// The height of water under which every drawn fluke is hidden.
const UNDER: f32 = 1.0;
/// Seconds within which the light changes to that of a photo.
pub(super) const DAWN: f64 = 1.0;
/// The upper side of a fluke is dark and plain.
const UPPER_SIDE: [f32; 3] = [26.0, 28.0, 32.0];

/// A whale and the appearance of its fluke.
#[derive(Clone, Debug)]
pub struct Whale {
    /// The whale's name.
    pub name: String,
    /// The picture of its fluke.
    pub appearance: Appearance,
}

/// The picture of a fluke.
#[derive(Clone, Debug)]
pub enum Appearance {
    /// A drawn skin.
    Drawn(Arc<Skin>),
    /// A cut-out of a photo.
    Photo(Arc<Sprite>),
}

/// A fluke in a frame.
#[derive(Clone, Debug, PartialEq)]
pub struct VisibleFluke {
    /// The name of the whale.
    pub whale: String,
    /// The fluke's box, in the frame's pixels.
    pub region: PixelBox,
    /// The fraction of the fluke above the water; 1 is all.
    pub visible: f32,
}

/// Position and size of a fluke.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// Column of its centre.
    pub x: f32,
    /// Row of the water at its foot, below the horizon.
    pub below: f32,
    /// Width from tip to tip, in pixels.
    pub width: f32,
}

/// One appearance of a whale's fluke.
#[derive(Debug)]
pub struct Surfacing {
    /// The whale that appears.
    pub whale: Whale,
    /// Start, in seconds of the video.
    pub start: f64,
    rises: f32,
    stands: f32,
    sinks: f32,
    place: Position,
    /// Horizontal speed in pixels per second.
    drift: f32,
    pose: Pose,
    leans: [f32; 2],
    turns: f32,
    light: Light,
    /// Whether the cut-out keeps its colours and is not mirrored.
    faithful: bool,
    /// Mirroring, scale and rotation of the cut-out.
    mirrored: bool,
    squeeze: f32,
    tilt: f32,
    foam: f32,
    spray: f32,
    noise: Noise,
    fitted: OnceLock<Sprite>,
}

impl Surfacing {
    /// Draws an appearance of a whale at a place, from `start` on for about `seconds`.
    pub fn draw(
        whale: Whale,
        place: Position,
        start: f64,
        seconds: f32,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let mut pose = Pose::draw(&FIELD, rng);
        pose.turn *= 0.8;
        pose.roll *= 0.6;
        let part = [
            rng.within(&(0.6..=1.2)),
            rng.within(&(0.8..=1.8)),
            rng.within(&(0.7..=1.3)),
        ];
        let whole: f32 = part.iter().sum();
        Self {
            whale,
            start,
            rises: seconds * part[0] / whole,
            stands: seconds * part[1] / whole,
            sinks: seconds * part[2] / whole,
            place,
            drift: rng.around_zero(0.12) * place.width,
            leans: [rng.within(&(0.4..=1.0)), rng.within(&(-0.5..=0.1))],
            turns: rng.around_zero(0.9),
            light: Light::draw(&FIELD, rng),
            faithful: false,
            mirrored: rng.chance(0.5),
            squeeze: rng.within(&(0.85..=1.12)),
            tilt: rng.around_zero(0.2),
            foam: rng.low_within(&(0.0..=1.0), 1.2),
            spray: rng.low_within(&(0.0..=1.0), 2.0),
            pose,
            noise: Noise(rng.random()),
            fitted: OnceLock::new(),
        }
    }

    /// Shows the cut-out so that the whale can be identified as from its photo: with the photo's
    /// own colours, to which the sea is adjusted (see [`Surfacing::daylight`]), without spray in
    /// front of it while it stands, and never mirrored, since a mirrored fluke is another whale's.
    #[must_use]
    pub fn as_photographed(self) -> Self {
        Self {
            faithful: matches!(self.whale.appearance, Appearance::Photo(_)),
            mirrored: false,
            ..self
        }
    }

    /// The offset of a picture's colours that gives the sea around this fluke its colours in the
    /// photo, and the weight of the offset at `time`: 1 while the fluke is visible, ramped over a
    /// second before and after. `None` outside of that time, and if the fluke is drawn or takes the
    /// sea's colours.
    pub fn daylight(
        &self,
        level: &Level,
        time: f64,
        picture: &RgbImage,
    ) -> Option<([f32; 3], f32)> {
        let near = (time - self.start).min(self.end() - time) + DAWN;
        let sprite = match &self.whale.appearance {
            Appearance::Photo(sprite) if self.faithful && near > 0.0 => sprite,
            _ => return None,
        };
        let at = self.at(level, time, picture);
        let (shift, _) = self
            .fitted(sprite)
            .match_to(picture, self.around(sprite, at));
        Some((shift.map(|s| -s), (near / DAWN).min(1.0) as f32))
    }

    /// Duration in seconds.
    pub fn seconds(&self) -> f32 {
        self.rises + self.stands + self.sinks
    }

    /// End, in seconds of the video.
    pub fn end(&self) -> f64 {
        self.start + f64::from(self.seconds())
    }

    /// A time at which it stands, in seconds of the video.
    pub fn best(&self) -> f64 {
        self.start + f64::from(self.rises + 0.4 * self.stands)
    }

    /// Paints it at `time`, in seconds of the video; returns the part above the water.
    pub fn paint(&self, level: &Level, time: f64, picture: &mut RgbImage) -> Option<VisibleFluke> {
        let since = (time - self.start) as f32;
        if since < 0.0 || since > self.seconds() {
            return None;
        }
        let up = step(0.0, self.rises, since);
        let down = step(self.rises + self.stands, self.seconds(), since);
        let out = up * (1.0 - down);
        let [x, water] = self.at(level, time, picture);
        let whole = since / self.seconds() - 0.5;
        let seen = match &self.whale.appearance {
            Appearance::Drawn(skin) => {
                let pose = Pose {
                    turn: self.pose.turn + self.turns * whole,
                    lean: self.pose.lean + self.leans[0] * (1.0 - up) + self.leans[1] * down,
                    roll: self.pose.roll + level.slope,
                    water: mix(UNDER, self.pose.water, out),
                    ..self.pose.clone()
                };
                let zoom = self.place.width / 2.0;
                let view = View::new(&pose, [x, water + pose.water * zoom], zoom);
                self.paint_drawn(skin, &view, picture)
            }
            Appearance::Photo(sprite) => {
                self.paint_photo(sprite, [x, water], out, whole, level, picture)
            }
        };
        self.paint_water([x, water], out, since, picture);
        let (region, share) = seen?;
        Some(VisibleFluke {
            whale: self.whale.name.clone(),
            region,
            visible: share,
        })
    }

    fn paint_drawn(
        &self,
        skin: &Skin,
        view: &View,
        picture: &mut RgbImage,
    ) -> Option<(PixelBox, f32)> {
        let facing = view.facing(self.light.sun());
        let (rows, columns) = reach(view, skin, picture.dimensions());
        let rays: u32 = if view.zoom > 90.0 { 1 } else { 2 };
        let mut bounds: Option<PixelBox> = None;
        let mut covered = 0.0;
        for y in rows {
            for x in columns.clone() {
                let (mut sum, mut cover) = ([0f32; 3], 0f32);
                let mut appearance = |hit: Hit| {
                    let waves = 0.03 * self.noise.at(hit.x * 3.0, 0.5);
                    if hit.y < view.water + waves {
                        return None;
                    }
                    let (colour, cover) = skin.at(hit.u, hit.v)?;
                    Some(if hit.underside {
                        (self.light.on_skin(colour, facing[hit.side]), cover)
                    } else {
                        (self.light.on_skin(UPPER_SIDE, -facing[hit.side]), cover)
                    })
                };
                for ray in 0..rays * rays {
                    let px = x as f32 + ((ray % rays) as f32 + 0.5) / rays as f32;
                    let py = y as f32 + ((ray / rays) as f32 + 0.5) / rays as f32;
                    if let Some((colour, part)) = view.cast(px, py, &mut appearance) {
                        sum = std::array::from_fn(|c| sum[c] + part * colour[c]);
                        cover += part;
                    }
                }
                let share = cover / (rays * rays) as f32;
                if share <= 0.0 {
                    continue;
                }
                super::canvas::blend(
                    &mut picture.get_pixel_mut(x, y).0,
                    sum.map(|s| s / cover),
                    share.min(1.0),
                );
                covered += share;
                if share >= 0.5 {
                    bounds = Some(PixelBox::with_pixel(bounds, x, y));
                }
            }
        }
        let share = covered / (skin.area() * view.zoom * view.zoom).max(1.0);
        bounds.map(|b| (b, share.min(1.0)))
    }

    fn paint_photo(
        &self,
        sprite: &Sprite,
        [x, water]: [f32; 2],
        out: f32,
        whole: f32,
        level: &Level,
        picture: &mut RgbImage,
    ) -> Option<(PixelBox, f32)> {
        let fitted = self.fitted(sprite);
        let high = fitted.core_height() * self.squeeze;
        // It rises out of the water and sinks back, and tilts meanwhile.
        let squeeze = self.squeeze * (1.0 - 0.25 * (self.turns * whole).abs());
        let foot = water + (1.0 - out) * high * 1.1;
        let (shift, gain) = if self.faithful {
            ([0.0; 3], 1.0)
        } else {
            fitted.match_to(picture, self.around(sprite, [x, water]))
        };
        let setting = Setting {
            foot: [x, foot],
            scale: [if self.mirrored { -1.0 } else { 1.0 }, squeeze],
            turn: self.tilt * (0.6 + whole) + level.slope,
            water: water + 0.04 * high,
            slope: level.slope,
            shift,
            gain,
            cover: step(0.0, 0.12, out),
        };
        fitted.set(&setting, picture)
    }

    fn fitted(&self, sprite: &Sprite) -> &Sprite {
        self.fitted
            .get_or_init(|| sprite.scaled(self.place.width / sprite.core_width().max(1.0)))
    }

    /// Left, top, right and bottom of its surroundings.
    fn around(&self, sprite: &Sprite, [x, water]: [f32; 2]) -> [f32; 4] {
        let high = self.fitted(sprite).core_height() * self.squeeze;
        let half = self.place.width * 0.7;
        [x - half, water - high * 1.3, x + half, water + high * 0.4]
    }

    /// The point where its foot meets the water.
    fn at(&self, level: &Level, time: f64, picture: &RgbImage) -> [f32; 2] {
        let since = (time - self.start) as f32;
        let x = self.place.x + self.drift * (since - self.seconds() / 2.0);
        let water = level.at(x, picture.width() as f32 / 2.0) + self.place.below;
        [x, water]
    }

    /// Foam at its foot, and drops that fall from it.
    fn paint_water(&self, [x, water]: [f32; 2], out: f32, since: f32, picture: &mut RgbImage) {
        let width = self.place.width;
        let white = [228.0, 231.0, 233.0];
        let strength = self.foam * (0.3 + 0.7 * (1.0 - out));
        for i in 0..10u32 {
            let off = self.noise.normal(i, 1) * (0.12 + 0.2 * self.foam);
            let size = width * (0.02 + 0.05 * self.noise.normal(i, 2).abs());
            let place = [
                x + off * width,
                water + 0.01 * width * self.noise.normal(i, 3),
            ];
            blob(
                picture,
                place,
                [size * 2.0, size * (0.4 + 0.8 * self.foam)],
                0.2,
                white,
                0.75 * strength,
            );
        }
        let always = if self.faithful { 0.0 } else { 0.4 };
        let drops = (self.spray * 40.0 * mix(always, 1.0, 1.0 - out)) as u32;
        for i in 0..drops {
            // Each falls for a while and starts again above.
            let fall = (since * 1.4 + self.noise.hash(i, 7) as f32 / u32::MAX as f32).fract();
            let off = self.noise.normal(i, 4) * 0.28;
            let top = 0.12 + 0.1 * self.noise.normal(i, 5).abs();
            let place = [
                x + off * width,
                water - width * out * top * (1.0 - fall * fall),
            ];
            let size = width * (0.004 + 0.012 * self.noise.normal(i, 6).abs());
            blob(
                picture,
                place,
                [size, size * (1.0 + 2.0 * self.spray)],
                0.3,
                white,
                0.55,
            );
        }
    }
}

/// Draws a position on a sea for a fluke of `width` pixels that starts at `time`: roughly where a
/// fluke four metres wide would be, and wholly within the picture if it fits.
pub fn place(sea: &Sea, width: f32, time: f64, rng: &mut ChaCha8Rng) -> Position {
    let (w, h) = (sea.size.0 as f32, sea.size.1 as f32);
    let horizon = sea.level(time).horizon;
    let natural = sea.below_for(width / 4.0) * rng.within(&(0.7..=1.5));
    let room = (width / 2.0 / w).min(0.48);
    let x = w * rng.within(&(room..=1.0 - room));
    let highest = (0.45 * width - horizon).max(3.0);
    let lowest = (h - horizon - 0.06 * width).max(highest + 1.0);
    let below = if horizon < 0.0 || rng.chance(0.4) {
        rng.within(&(highest..=lowest))
    } else {
        natural.clamp(highest, lowest)
    };
    Position { x, below, width }
}
