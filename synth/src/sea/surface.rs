//! A sea with its light and weather, painted for any point in time.

use super::level::Level;
use super::ripples::{self, Ripples};
use super::still::Still;
use crate::noise::{Noise, mix, step};
use crate::seed::{Draw, Purpose, generator};
use image::RgbImage;
use rand::RngExt;

/// Shades of water from trough to glint.
const SHADES: usize = 208;

/// One sea, seen by one camera on one boat.
#[derive(Clone, Debug)]
pub struct Sea {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Sea state, from 0 (flat) to 1 (gale).
    pub roughness: f32,
    tile: usize,
    /// Row of the horizon, in picture heights from the top; negative if above the picture.
    horizon: f32,
    /// Height of the camera above the water, in metres.
    eye: f32,
    /// Pixels per radian, in picture widths.
    focal: f32,
    /// Side of a wave tile, in metres.
    length: f32,
    /// Direction of the wind, a unit vector.
    wind: [f32; 2],
    /// Speed in metres per second.
    speed: f32,
    contrast: f32,
    whitecaps: f32,
    sun: Option<Sun>,
    palette: Vec<[u8; 3]>,
    sky: [[f32; 3]; 2],
    clouds: f32,
    land: Option<Noise>,
    sway: Sway,
    grain: f32,
    offset: [f32; 2],
    /// Spatial frequencies of the second and the third field of waves relative to the first.
    finer: [f32; 2],
    /// A photo of a real sea, which is painted instead of a drawn one.
    still: Option<Still>,
}

/// Glitter under the sun.
#[derive(Clone, Copy, Debug)]
struct Sun {
    /// Centre, in picture widths from the left.
    at: f32,
    /// Breadth, in picture widths.
    breadth: f32,
    strength: f32,
}

/// Roll and heave of the boat.
#[derive(Clone, Copy, Debug)]
struct Sway {
    /// Amplitude in radians.
    roll: f32,
    lean: f32,
    /// Amplitude in picture heights.
    heave: f32,
    /// Periods in seconds.
    periods: [f32; 2],
    phases: [f32; 2],
}

const WATERS: [[f32; 3]; 6] = [
    [38.0, 58.0, 82.0],
    [62.0, 74.0, 84.0],
    [44.0, 76.0, 80.0],
    [20.0, 52.0, 98.0],
    [86.0, 96.0, 104.0],
    [30.0, 40.0, 50.0],
];

impl Sea {
    /// Draws a sea for pictures of this size.
    pub fn draw(seed: u64, number: u32, size: (u32, u32)) -> Self {
        let rng = &mut generator(seed, Purpose::Sea, number, 0);
        let roughness = rng.low_within(&(0.03..=1.0), 1.3);
        let water = WATERS[rng.random_range(0..WATERS.len())];
        let bright = rng.within(&(0.55..=1.7));
        let overcast = rng.random::<f32>();
        let sky_bright = rng.within(&(0.6..=1.15));
        let low = [
            mix(170.0, 208.0, overcast) * sky_bright,
            mix(196.0, 210.0, overcast) * sky_bright,
            mix(226.0, 214.0, overcast) * sky_bright,
        ];
        let high = [
            mix(90.0, 180.0, overcast) * sky_bright,
            mix(130.0, 184.0, overcast) * sky_bright,
            mix(195.0, 190.0, overcast) * sky_bright,
        ];
        let angle = rng.within(&(0.0..=std::f32::consts::TAU));
        let grey = rng.chance(0.1);
        let sun = rng.chance(0.35).then(|| Sun {
            at: rng.within(&(-0.1..=1.1)),
            breadth: rng.within(&(0.06..=0.4)),
            strength: rng.within(&(0.4..=1.6)),
        });
        let mut sea = Self {
            size,
            roughness,
            tile: rng.random_range(0..ripples::TILES),
            horizon: if rng.chance(0.6) {
                rng.within(&(0.02..=0.5))
            } else {
                rng.within(&(-3.0..=-0.05))
            },
            eye: rng.within(&(2.0..=8.0)),
            focal: rng.low_within(&(1.0..=7.0), 1.5),
            length: rng.within(&(18.0..=60.0)),
            wind: [angle.cos(), angle.sin()],
            speed: rng.within(&(0.6..=3.0)),
            contrast: mix(0.035, 0.22, roughness) * rng.within(&(0.6..=1.4)),
            whitecaps: rng.within(&(1.5..=3.4)) / (0.35 + roughness),
            palette: palette(water.map(|c| c * bright), low, grey),
            sun,
            sky: if grey {
                [[luma(low); 3], [luma(high); 3]]
            } else {
                [low, high]
            },
            clouds: rng.low_within(&(0.0..=26.0), 1.5),
            land: rng.chance(0.25).then(|| Noise(rng.random())),
            sway: Sway {
                roll: rng.low_within(&(0.0..=0.05), 1.6),
                lean: rng.around_zero(0.06),
                heave: rng.low_within(&(0.0..=0.05), 1.6),
                periods: [rng.within(&(2.5..=7.0)), rng.within(&(3.0..=9.0))],
                phases: [rng.within(&(0.0..=6.2)), rng.within(&(0.0..=6.2))],
            },
            grain: rng.low_within(&(0.6..=6.0), 1.6),
            offset: [rng.random(), rng.random()],
            finer: [3.1, 9.0],
            still: None,
        };
        // Waves are visible down to a few pixels, however close the camera looks.
        let points =
            sea.footprint(0.62 * size.1 as f32 - sea.level(0.0).horizon) * ripples::SIDE as f32;
        let finest = (rng.within(&(0.2..=0.5)) / points.max(1e-6)).clamp(6.0, 90.0);
        sea.finer = [finest.sqrt().clamp(2.5, 8.0), finest];
        sea
    }

    /// A real sea for pictures of this size, from a photo without flukes. Where its water begins is not
    /// known; flukes are placed in its lower part.
    pub fn real(seed: u64, number: u32, size: (u32, u32), photo: &RgbImage) -> Self {
        let rng = &mut generator(seed, Purpose::Sea, number, 1);
        let drawn = Self::draw(seed, number, size);
        Self {
            horizon: rng.within(&(0.4..=0.55)),
            sway: Sway {
                roll: drawn.sway.roll.min(0.02),
                ..drawn.sway
            },
            grain: rng.low_within(&(0.3..=3.0), 1.6),
            still: Some(Still::draw(photo, size, rng)),
            ..drawn
        }
    }

    /// Whether it is a photo of a real sea.
    pub fn is_real(&self) -> bool {
        self.still.is_some()
    }

    /// Wave tiles per pixel this far below the horizon.
    fn footprint(&self, below: f32) -> f32 {
        let pixels = self.focal * self.size.0 as f32;
        let across = self.eye / below.max(1.0);
        let along = across * across * pixels / self.eye;
        (across * along).sqrt().max(across) / self.length
    }

    /// The position of the horizon at a time in seconds.
    pub fn level(&self, time: f64) -> Level {
        let swing = |i: usize| {
            let turns = time / f64::from(self.sway.periods[i]);
            ((turns.fract() as f32) * std::f32::consts::TAU + self.sway.phases[i]).sin()
        };
        let height = self.size.1 as f32;
        Level {
            horizon: (self.horizon + self.sway.heave * swing(0)) * height,
            slope: self.sway.lean + self.sway.roll * swing(1),
        }
    }

    /// Pixels per metre on the water in a row this far below the horizon.
    pub fn metre(&self, below: f32) -> f32 {
        below.max(0.0) / self.eye
    }

    /// How far below the horizon a metre takes this many pixels.
    pub fn below_for(&self, metre: f32) -> f32 {
        metre * self.eye
    }

    /// Paints sky and water at `time`, in seconds.
    pub fn paint(&self, time: f64, picture: &mut RgbImage) {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let level = self.level(time);
        if let Some(still) = &self.still {
            let rest = Level {
                horizon: self.horizon * height as f32,
                slope: self.sway.lean,
            };
            return still.paint(time, &level, &rest, picture);
        }
        let middle = width as f32 / 2.0;
        let tile = ripples::tile(self.tile);
        // Rows that the slope brings in from above and below the picture.
        let spare = (level.slope.abs() * middle).ceil() as i32 + 1;
        let rows: Vec<Row> = (-spare..height as i32 + spare)
            .map(|y| self.row(y as f32 + 0.5 - level.horizon, time, width as f32, tile))
            .collect();
        // Columns within which the horizon moves by less than a row are painted alike.
        let strip = if level.slope.abs() * width as f32 > 0.5 {
            ((1.0 / level.slope.abs()) as usize).clamp(1, width)
        } else {
            width
        };
        let glints: Vec<f32> = (0..width)
            .map(|x| {
                self.sun.map_or(0.0, |sun| {
                    let away = (x as f32 / width as f32 - sun.at) / sun.breadth;
                    sun.strength * (-away * away).exp()
                })
            })
            .collect();
        let bytes: &mut [u8] = picture;
        for (y, line) in bytes.chunks_exact_mut(width * 3).enumerate() {
            let mut x = 0;
            while x < width {
                let end = (x + strip).min(width);
                let shift = (level.slope * ((x + end) as f32 / 2.0 - middle)).round() as i32;
                let row =
                    &rows[(y as i32 - shift + spare).clamp(0, rows.len() as i32 - 1) as usize];
                let pixels = &mut line[x * 3..end * 3];
                match row {
                    Row::Sky(sky) => self.paint_sky(sky, x, width, tile, pixels),
                    Row::Water(water) => {
                        self.paint_water(water, x, middle, &glints, tile, pixels);
                    }
                }
                x = end;
            }
        }
    }

    /// What camera and sensor add to a picture that is complete: of a real sea focus and exposure, and
    /// the noise of `moment`.
    pub fn finish(&self, time: f64, moment: u32, picture: &mut RgbImage) {
        if let Some(still) = &self.still {
            still.expose(time, picture);
        }
        self.grain(moment, picture);
    }

    /// Adds the sensor's noise; each `moment` has its own.
    pub fn grain(&self, moment: u32, picture: &mut RgbImage) {
        let table = noise_table();
        let most = (self.grain * 10.0) as i32;
        let bytes: &mut [u8] = picture;
        let start = Noise(moment).hash(1, 2) as usize;
        for (i, pixels) in bytes.chunks_mut(3 * 64).enumerate() {
            let from = (start.wrapping_add(i.wrapping_mul(977))) % (table.len() - 64);
            for (pixel, grain) in pixels.chunks_exact_mut(3).zip(&table[from..from + 64]) {
                let add = (i32::from(*grain) * most) >> 8;
                for value in pixel {
                    *value = (i32::from(*value) + add).clamp(0, 255) as u8;
                }
            }
        }
    }

    fn row(&self, below: f32, time: f64, width: f32, tile: &Ripples) -> Row {
        if below <= 0.5 {
            let up = -below / self.size.1 as f32;
            return Row::Sky(Sky { up });
        }
        let pixels = self.focal * width;
        // Distance along the water; the far end blends into one shade.
        let far = (self.eye * pixels / below).min(4000.0);
        let across = far / pixels;
        let along = across * far / self.eye;
        let metres = 1.0 / self.length;
        let footprint = (across * along).sqrt().max(across) * metres;
        let level = tile.level_for(footprint);
        let drift = (f64::from(self.speed * metres) * time).fract() as f32;
        let fade = 1.0 / (1.0 + 24.0 * footprint);
        let depth = below / (self.size.1 as f32 * 1.2);
        Row::Water(Water {
            across: across * metres,
            far: far * metres,
            levels: [
                level,
                tile.level_for(footprint * self.finer[0]),
                tile.level_for(footprint * self.finer[1]),
            ],
            drift,
            contrast: self.contrast * (0.3 + 0.7 * fade),
            // Far water reflects the low sky, near water shows its own colour.
            base: 0.24 + 0.36 / (1.0 + 5.0 * depth),
            fade,
        })
    }

    fn paint_sky(&self, sky: &Sky, from: usize, width: usize, tile: &Ripples, pixels: &mut [u8]) {
        let t = step(0.0, 0.5, sky.up);
        let colour: [f32; 3] = std::array::from_fn(|c| mix(self.sky[0][c], self.sky[1][c], t));
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let x = (from + i) as f32 / width as f32;
            let mut shade = 0.0;
            if self.clouds > 1.0 {
                shade = self.clouds * tile.at(4, 0.13 * x + self.offset[0], 0.7 * sky.up);
            }
            let mut here = colour;
            if let Some(land) = self.land {
                let ridge = 0.02 + 0.03 * land.octaves(x * 6.0, 0.0, 4, 0.5);
                if sky.up < ridge {
                    let rock = 0.75 + 0.35 * land.octaves(x * 40.0, sky.up * 90.0, 2, 0.6);
                    here = [74.0 * rock, 84.0 * rock, 88.0 * rock];
                    shade = 0.0;
                }
            }
            for (value, c) in pixel.iter_mut().zip(here) {
                *value = (c + shade).clamp(0.0, 255.0) as u8;
            }
        }
    }

    fn paint_water(
        &self,
        water: &Water,
        from: usize,
        middle: f32,
        glints: &[f32],
        tile: &Ripples,
        pixels: &mut [u8],
    ) {
        let [cos, sin] = self.wind;
        let place = |x: f32| {
            let (a, b) = (x * water.across, water.far);
            [a * cos - b * sin, a * sin + b * cos]
        };
        let start = place(from as f32 + 0.5 - middle);
        let (du, dv) = (water.across * cos, water.across * sin);
        let [ou, ov] = self.offset;
        // Long waves run with the wind, shorter ones across it and slower, ripples with it: crests
        // appear and disappear.
        let [middling, fine] = self.finer;
        let (mut u, mut v) = (start[0] + ou, start[1] + ov + water.drift);
        let (mut u2, mut v2) = (
            start[1] * middling - 2.0 * water.drift + ov,
            start[0] * middling + ou,
        );
        let (du2, dv2) = (dv * middling, du * middling);
        let (mut u3, mut v3) = (
            start[0] * fine + ov,
            start[1] * fine + ou + 3.0 * water.drift,
        );
        let (du3, dv3) = (du * fine, dv * fine);
        let scale = SHADES as f32 - 1.0;
        for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
            let long = tile.at(water.levels[0], u, v);
            let short = tile.at(water.levels[1], u2, v2);
            let ripple = tile.at(water.levels[2], u3, v3);
            u += du;
            v += dv;
            u2 += du2;
            v2 += dv2;
            u3 += du3;
            v3 += dv3;
            let height = 0.55 * long + 0.5 * short + 0.45 * ripple;
            let mut shade = water.base + water.contrast * height;
            let glint = glints[from + i];
            if glint > 0.03 {
                let over = (0.8 * ripple + 0.5 * short + 0.3 * long - 2.1 + glint).max(0.0);
                shade += 0.12 * glint + 0.9 * over * (0.4 + 0.6 * water.fade);
            }
            let foam = (0.6 * long + 0.75 * short + 0.55 * ripple - self.whitecaps) * 1.6;
            let shade = if foam > 0.0 {
                scale + (foam * 40.0).min(46.0) * (0.4 + 0.6 * water.fade)
            } else {
                (shade * scale).clamp(0.0, scale)
            };
            pixel.copy_from_slice(&self.palette[(shade as usize).min(255)]);
        }
    }
}

/// A row of a picture.
enum Row {
    Sky(Sky),
    Water(Water),
}

struct Sky {
    /// Height above the horizon, in picture heights.
    up: f32,
}

struct Water {
    /// Wave tiles per pixel.
    across: f32,
    /// Distance from the camera, in wave tiles.
    far: f32,
    levels: [usize; 3],
    drift: f32,
    contrast: f32,
    base: f32,
    /// 1 where every wave is visible, towards 0 where they blend.
    fade: f32,
}

fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

/// Shades from dark troughs over the reflected sky to glints, and then foam.
fn palette(water: [f32; 3], sky: [f32; 3], grey: bool) -> Vec<[u8; 3]> {
    (0..256)
        .map(|i| {
            let colour: [f32; 3] = if i < SHADES {
                let t = i as f32 / (SHADES - 1) as f32;
                std::array::from_fn(|c| {
                    let mirror = mix(
                        water[c] * 0.45,
                        mix(water[c], sky[c], 0.55),
                        (t * 1.5).min(1.0),
                    );
                    mix(mirror, 250.0, step(0.66, 1.0, t))
                })
            } else {
                let t = (i - SHADES) as f32 / (255 - SHADES) as f32;
                std::array::from_fn(|c| mix(mix(water[c], sky[c], 0.6), 240.0, 0.25 + 0.75 * t))
            };
            let colour = if grey { [luma(colour); 3] } else { colour };
            colour.map(|c| c.clamp(0.0, 255.0) as u8)
        })
        .collect()
}

/// Normally distributed numbers with standard deviation 25.6: multiplied by ten times a standard
/// deviation and shifted by 8 bits, they have that standard deviation.
fn noise_table() -> &'static [i8] {
    static TABLE: std::sync::OnceLock<Vec<i8>> = std::sync::OnceLock::new();
    TABLE.get_or_init(|| {
        (0..1 << 16)
            .map(|i| (Noise(77).normal(i % 256, i / 256) * 25.6).clamp(-127.0, 127.0) as i8)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sea_moves_is_reproducible_and_unique_to_its_seed() {
        let paint = |number, time| {
            let sea = Sea::draw(5, number, (160, 90));
            let mut picture = RgbImage::new(160, 90);
            sea.paint(time, &mut picture);
            picture
        };
        assert_eq!(paint(1, 7.0), paint(1, 7.0));
        assert_ne!(paint(1, 7.0), paint(1, 8.0));
        assert_ne!(paint(1, 7.0), paint(2, 7.0));
    }

    #[test]
    fn waves_still_move_after_hours() {
        let sea = Sea::draw(5, 3, (160, 90));
        let (mut a, mut b) = (RgbImage::new(160, 90), RgbImage::new(160, 90));
        sea.paint(7200.0, &mut a);
        sea.paint(7200.2, &mut b);
        assert_ne!(a, b);
    }

    fn photo() -> RgbImage {
        RgbImage::from_fn(320, 180, |x, y| {
            let level = 60 + (x * 7 + y * 13) % 90;
            image::Rgb([level as u8, (level + 20) as u8, 140])
        })
    }

    fn painted(number: u32, time: f64) -> RgbImage {
        let sea = Sea::real(3, number, (160, 90), &photo());
        let mut picture = RgbImage::new(160, 90);
        sea.paint(time, &mut picture);
        sea.finish(time, 1, &mut picture);
        picture
    }

    #[test]
    fn a_still_moves_and_keeps_its_colours() {
        for number in 0..6 {
            let (first, later) = (painted(number, 3.0), painted(number, 4.5));
            assert_ne!(first, later);
            assert_eq!(first, painted(number, 3.0));
            for picture in [first, later] {
                let mean = |channel: usize| {
                    let sum: u32 = picture.pixels().map(|p| u32::from(p.0[channel])).sum();
                    sum as f32 / (160.0 * 90.0)
                };
                assert!((mean(2) - 140.0).abs() < 20.0, "{}", mean(2));
                assert!((mean(1) - mean(0) - 20.0).abs() < 6.0);
            }
        }
    }

    #[test]
    fn photos_of_any_shape_fill_a_picture() {
        for size in [(40, 400), (400, 40), (7, 5), (1600, 900)] {
            let photo = RgbImage::from_pixel(size.0, size.1, image::Rgb([90, 100, 110]));
            let sea = Sea::real(3, 1, (160, 90), &photo);
            let mut picture = RgbImage::new(160, 90);
            sea.paint(8.0, &mut picture);
            assert!(picture.pixels().all(|p| p.0 == [90, 100, 110]), "{size:?}");
        }
    }
}
