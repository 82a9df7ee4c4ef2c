//! Rendering a photograph: sea, fluke, water in front of it, light, lens and sensor.

use super::background::{Background, Colour};
use super::difficulty::Difficulty;
use super::light::{Lens, Light};
use super::pose::{Hit, Pose, View};
use super::skin::Skin;
use super::water::{WHITE_WATER, Water};
use crate::noise::mix;
use crate::seed::Draw;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Rays per pixel along each axis.
const RAYS: u32 = 2;

/// The upper side of a fluke is dark and plain.
const UPPER_SIDE: Colour = [26.0, 28.0, 32.0];

/// Everything around a fluke in a picture.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Sun, ambient light and exposure.
    pub light: Light,
    /// The sea behind the fluke.
    pub sea: Background,
    /// Water on and in front of the fluke.
    pub water: Water,
    /// Blur, noise and JPEG quality.
    pub lens: Lens,
}

impl Scene {
    /// Draws the surroundings for a picture of this size.
    pub fn draw(difficulty: &Difficulty, size: (u32, u32), rng: &mut ChaCha8Rng) -> Self {
        Self {
            size,
            light: Light::draw(difficulty, rng),
            sea: Background::draw(rng),
            water: Water::draw(difficulty, rng),
            lens: Lens::draw(difficulty, size.0, rng),
        }
    }
}

/// A picture and its truth.
#[derive(Clone, Debug)]
pub struct Photograph {
    /// The rendered pixels.
    pub picture: RgbImage,
    /// Tight box of the fluke above the water; right and bottom edges exclusive.
    pub fluke: Option<PixelBox>,
    /// Visible fraction of the fluke: its pixels, relative to those of the fluke seen face on and
    /// out of the water.
    pub visible: f32,
}

/// A photograph, and the JPEG quality of its camera.
#[derive(Clone, Debug)]
pub struct Shot {
    /// The picture and its truth.
    pub photograph: Photograph,
    /// JPEG quality, 1..=100.
    pub quality: u8,
}

/// Takes a photograph for a catalogue: the fluke fills a good part of the picture.
pub fn portrait(skin: &Skin, difficulty: &Difficulty, rng: &mut ChaCha8Rng) -> Shot {
    let pose = Pose::draw(difficulty, rng);
    // Bounds of the visible fluke, for a half span of one pixel.
    let unit = View::new(&pose, [0.0; 2], 1.0);
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    for &[u, v] in skin.edge() {
        let (place, height) = unit.project(u, v);
        if height > pose.water {
            low = [low[0].min(place[0]), low[1].min(place[1])];
            high = [high[0].max(place[0]), high[1].max(place[1])];
        }
    }
    let foot = unit.pixel([0.0, pose.water, 0.0])[1];
    high[1] = high[1].max(foot);
    let (broad, tall) = ((high[0] - low[0]).max(0.3), (high[1] - low[1]).max(0.1));

    let width = if rng.chance(0.8) {
        448
    } else {
        rng.random_range(280..448)
    };
    let fills = rng.within(&difficulty.filling);
    let zoom = width as f32 * fills / broad;
    let least = (tall * zoom / 0.94).max(width as f32 * 0.3);
    let height = (least * rng.within(&(1.0..=2.2)))
        .min(width as f32 * 0.85)
        .max(least)
        .round();
    let spare = [width as f32 - broad * zoom, height - tall * zoom];
    let centre = [
        spare[0] * rng.within(&(0.1..=0.9)) - low[0] * zoom,
        spare[1] * rng.within(&(0.15..=0.85)) - low[1] * zoom,
    ];
    let scene = Scene::draw(difficulty, (width, height as u32), rng);
    let photograph = take(&scene, &View::new(&pose, centre, zoom), Some(skin), rng);
    Shot {
        photograph,
        quality: scene.lens.quality,
    }
}

/// Takes a photograph of a scene, with a fluke or of the open sea.
pub fn take(scene: &Scene, view: &View, skin: Option<&Skin>, rng: &mut ChaCha8Rng) -> Photograph {
    let (width, height) = (scene.size.0 as usize, scene.size.1 as usize);
    let mut picture: Vec<Colour> = (0..width * height)
        .map(|i| {
            scene
                .sea
                .colour(view, (i % width) as f32 + 0.5, (i / width) as f32 + 0.5)
        })
        .collect();
    let (mut fluke, mut visible) = (None, 0.0);
    if let Some(skin) = skin {
        (fluke, visible) = place_fluke(scene, view, skin, &mut picture);
        if fluke.is_some() {
            scene.water.fall(skin, view, &mut picture, width, rng);
        }
        for (i, pixel) in picture.iter_mut().enumerate() {
            let foam = scene.sea.splash(
                view,
                scene.water.foam,
                (i % width) as f32 + 0.5,
                (i / width) as f32 + 0.5,
            );
            *pixel = pixel.map(|c| mix(c, 232.0, foam));
        }
    }
    for (i, pixel) in picture.iter_mut().enumerate() {
        let place = [
            2.0 * (i % width) as f32 / width as f32 - 1.0,
            2.0 * (i / width) as f32 / height as f32 - 1.0,
        ];
        *pixel = scene.light.develop(*pixel, place);
    }
    scene.lens.blur(&mut picture, width);
    let picture = RgbImage::from_fn(scene.size.0, scene.size.1, |x, y| {
        image::Rgb(
            scene
                .lens
                .expose(picture[y as usize * width + x as usize], x, y),
        )
    });
    Photograph {
        picture,
        fluke,
        visible,
    }
}

/// Paints the fluke over the sea; returns its box and its visible share.
fn place_fluke(
    scene: &Scene,
    view: &View,
    skin: &Skin,
    picture: &mut [Colour],
) -> (Option<PixelBox>, f32) {
    let (width, height) = scene.size;
    let facing = view.facing(scene.light.sun());
    let (rows, columns) = reach(view, skin, scene.size);
    let mut bounds: Option<PixelBox> = None;
    let mut covered = 0.0;
    for y in rows {
        for x in columns.clone() {
            let (mut sum, mut cover) = ([0.0; 3], 0.0);
            // Waves and running water hardly change within a pixel: they are computed for its first
            // ray.
            let (mut level, mut wet) = (None, None);
            let mut look = |hit: Hit| -> Option<(Colour, f32)> {
                let level = *level
                    .get_or_insert_with(|| scene.sea.level_at(view, scene.water.waves, hit.x));
                if hit.y < level {
                    return None;
                }
                let (colour, cover) = skin.at(hit.u, hit.v)?;
                if !hit.underside {
                    return Some((scene.light.on_skin(UPPER_SIDE, -facing[hit.side]), cover));
                }
                let wet = *wet.get_or_insert_with(|| scene.water.on_skin(hit.u, hit.v));
                let colour = colour.map(|c| mix(c, WHITE_WATER, wet));
                Some((scene.light.on_skin(colour, facing[hit.side]), cover))
            };
            for ray in 0..RAYS * RAYS {
                let px = x as f32 + ((ray % RAYS) as f32 + 0.5) / RAYS as f32;
                let py = y as f32 + ((ray / RAYS) as f32 + 0.5) / RAYS as f32;
                if let Some((colour, part)) = view.cast(px, py, &mut look) {
                    sum = std::array::from_fn(|c| sum[c] + part * colour[c]);
                    cover += part;
                }
            }
            let share = cover / (RAYS * RAYS) as f32;
            if share <= 0.0 {
                continue;
            }
            let pixel = &mut picture[(y * width + x) as usize];
            *pixel = std::array::from_fn(|c| mix(pixel[c], sum[c] / cover, share.min(1.0)));
            covered += share;
            if share >= 0.5 {
                bounds = Some(PixelBox::with_pixel(bounds, x, y));
            }
        }
    }
    (
        bounds.and_then(|b| b.within(width, height)),
        covered / (skin.area() * view.zoom * view.zoom),
    )
}

/// The rows and columns of the picture that may show the fluke.
pub(crate) fn reach(
    view: &View,
    skin: &Skin,
    (width, height): (u32, u32),
) -> (std::ops::Range<u32>, std::ops::Range<u32>) {
    let foot = |u: f32| [u, skin.foot()];
    let places = skin.edge().iter().copied().chain([foot(-0.3), foot(0.3)]);
    let (mut low, mut high) = ([f32::MAX; 2], [f32::MIN; 2]);
    for [u, v] in places {
        let (place, _) = view.project(u, v);
        low = [low[0].min(place[0]), low[1].min(place[1])];
        high = [high[0].max(place[0]), high[1].max(place[1])];
    }
    let range = |from: f32, to: f32, most: u32| {
        ((from - 4.0).clamp(0.0, most as f32) as u32)..((to + 5.0).clamp(0.0, most as f32) as u32)
    };
    (
        range(low[1], high[1], height),
        range(low[0], high[0], width),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fluke::difficulty::FIELD;
    use crate::fluke::individual::Individual;
    use crate::seed::{Purpose, generator};

    /// A sharp fluke in clear air, without water in front of it.
    fn clear() -> Difficulty {
        let none = 0.0..=0.0;
        Difficulty {
            streams: none.clone(),
            drops: none.clone(),
            foam: none.clone(),
            defocus: none.clone(),
            motion: none.clone(),
            grain: none.clone(),
            haze: none,
            exposure: 1.0..=1.0,
            ..FIELD.clone()
        }
    }

    #[test]
    fn the_box_is_tight_around_the_fluke() {
        for whale in 1..=6 {
            let rng = &mut generator(3, Purpose::CataloguePhoto, whale, 1);
            let skin = Skin::paint(&Individual::draw(3, whale));
            let (size, difficulty) = ((300, 200), clear());
            let pose = Pose {
                roll: 0.0,
                ..Pose::draw(&difficulty, rng)
            };
            let view = View::new(&pose, [150.0, 90.0], 110.0);
            let scene = Scene::draw(&difficulty, size, rng);
            let with = take(&scene, &view, Some(&skin), rng);
            let without = take(&scene, &view, None, rng);
            let changed =
                |x: u32, y: u32| with.picture.get_pixel(x, y) != without.picture.get_pixel(x, y);
            let places = || {
                (0..size.1)
                    .flat_map(|y| (0..size.0).map(move |x| (x, y)))
                    .filter(|&(x, y)| changed(x, y))
            };
            let fluke = with.fluke.unwrap();
            let bounds = [
                (fluke.x0, places().map(|p| p.0).min()),
                (fluke.y0, places().map(|p| p.1).min()),
                (fluke.x1, places().map(|p| p.0 + 1).max()),
                (fluke.y1, places().map(|p| p.1 + 1).max()),
            ];
            for (edge, change) in bounds {
                // Pixels that the fluke covers by less than half are outside of the box.
                assert!(
                    change.is_some_and(|c| c.abs_diff(edge) <= 3),
                    "whale {whale}: {bounds:?}"
                );
            }
            assert!(without.fluke.is_none() && without.visible == 0.0);
        }
    }

    #[test]
    fn water_hides_the_fluke() {
        let skin = Skin::paint(&Individual::draw(3, 1));
        let rng = &mut generator(3, Purpose::CataloguePhoto, 1, 1);
        let scene = Scene::draw(&clear(), (200, 120), rng);
        let mut pose = Pose {
            lean: 0.0,
            turn: 0.0,
            ..Pose::draw(&FIELD, rng)
        };
        let mut seen = |water| {
            pose.water = water;
            take(
                &scene,
                &View::new(&pose, [100.0, 60.0], 80.0),
                Some(&skin),
                rng,
            )
        };
        let (high, half, under) = (seen(-0.5), seen(0.0), seen(1.2));
        assert!(high.visible > 0.7 && high.visible < 1.4, "{}", high.visible);
        assert!(half.visible < high.visible / 1.5);
        assert!(under.fluke.is_none() && under.visible == 0.0);
    }
}
