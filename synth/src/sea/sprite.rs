//! A part of a photo cut out with soft edges, to be composited onto a sea.

use super::canvas::blend;
use crate::noise::step;
use crate::seed::Draw;
use flukewatch_common::pixel_box::PixelBox;
use image::imageops::{self, FilterType};
use image::{GrayImage, RgbImage};
use rand_chacha::ChaCha8Rng;

/// Maximum width of a cut-out, in pixels.
const MOST: u32 = 700;

/// Padding around a box, as a fraction of its sides.
const WIDTHS_OF_MARGIN: std::ops::RangeInclusive<f32> = 0.06..=0.3;

/// The shape of a cut-out's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A soft rectangle around the box.
    Box,
    /// An ellipse.
    Oval,
    /// The pixels that differ from the water.
    Close,
}

/// A part of a photo with an alpha channel.
#[derive(Clone, Debug)]
pub struct Sprite {
    width: usize,
    height: usize,
    /// Red, green, blue, alpha; row by row.
    pixels: Vec<[u8; 4]>,
    /// Left, top, right and bottom of the fluke's box, in pixels of the cut-out.
    pub core: [f32; 4],
    /// The mean colour around the box in the photo.
    surround: [f32; 3],
    /// Standard deviation of the brightness around the box.
    variation: f32,
}

/// How a cut-out is placed.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The centre of the box's lower edge, in the picture.
    pub foot: [f32; 2],
    /// Scale from cut-out to picture, x and y; a negative x mirrors it.
    pub scale: [f32; 2],
    /// Rotation in radians.
    pub turn: f32,
    /// The row of the picture below which it is under water, with a soft border.
    pub water: f32,
    /// Slope of the waterline: rows down per column to the right.
    pub slope: f32,
    /// Offset of the colours, in grey levels.
    pub shift: [f32; 3],
    /// Contrast factor relative to the mean colour of its surroundings.
    pub gain: f32,
    /// Opacity, 0 to 1.
    pub cover: f32,
}

impl Sprite {
    /// Cuts `region` out of a photo with some of its surroundings, fading out along the box, along
    /// an ellipse, or closely along the pixels that differ from the water, since edges must not
    /// give a fluke away to a detector. `None` if no pixel of the box is in the photo.
    pub fn cut(photo: &RgbImage, region: PixelBox, rng: &mut ChaCha8Rng) -> Option<Self> {
        let margin = rng.within(&WIDTHS_OF_MARGIN);
        let style = match rng.within(&(0.0..=3.0)) as u32 {
            1 => Style::Oval,
            2 => Style::Close,
            _ => Style::Box,
        };
        Self::cut_by(photo, region, margin, style, rng.within(&(0.0..=0.06)))
    }

    /// Cuts the whole `region` out of a photo with as much of its surroundings as there is, fading
    /// out. `None` if no pixel of the box is in the photo.
    pub fn whole(photo: &RgbImage, region: PixelBox) -> Option<Self> {
        Self::cut_by(photo, region, *WIDTHS_OF_MARGIN.end(), Style::Box, 0.0)
    }

    /// Cuts the fluke out of a photo by a mask of the photo's size, 255 where the fluke is. `None` if no
    /// pixel of the box is in the photo, or the mask has another size or no fluke in the box.
    pub fn masked(photo: &RgbImage, region: PixelBox, mask: &GrayImage) -> Option<Self> {
        if mask.dimensions() != photo.dimensions() {
            return None;
        }
        let margin = *WIDTHS_OF_MARGIN.end();
        Self::cut_with(photo, region, margin, |part| {
            let cover = |x, y| mask.get_pixel(part.from.0 + x, part.from.1 + y).0[0];
            let pixels = part.picture.enumerate_pixels();
            let covers: Vec<u8> = pixels.map(|(x, y, _)| cover(x, y)).collect();
            covers.iter().any(|c| *c >= 128).then_some(covers)
        })
    }

    fn cut_by(
        photo: &RgbImage,
        region: PixelBox,
        margin: f32,
        style: Style,
        inset: f32,
    ) -> Option<Self> {
        Self::cut_with(photo, region, margin, |part| {
            let width = part.picture.width() as usize;
            let (core, size) = (part.core, [width as f32, part.picture.height() as f32]);
            // A fluke with nearly the colours of the water would vanish with it: keep the box.
            let close = (style == Style::Close)
                .then(|| difference(&part.picture, part.surround, part.variation))
                .filter(|close| mean_within(close, width, core) > 0.5);
            let cover = |i: usize| {
                let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
                let mut cover = ramp(x, core[0], core[2], size[0], inset)
                    * ramp(y, core[1], core[3], size[1], inset);
                if style == Style::Oval {
                    let (cx, cy) = ((core[0] + core[2]) / 2.0, (core[1] + core[3]) / 2.0);
                    let away = ((x - cx) / (size[0] * 0.5)).hypot((y - cy) / (size[1] * 0.5));
                    cover *= step(1.12, 0.82, away);
                }
                if let Some(close) = &close {
                    cover *= close[i];
                }
                (cover * 255.0) as u8
            };
            Some(
                (0..width * part.picture.height() as usize)
                    .map(cover)
                    .collect(),
            )
        })
    }

    /// Cuts a widened box out of a photo, with the opacity of each of its pixels.
    fn cut_with(
        photo: &RgbImage,
        region: PixelBox,
        margin: f32,
        covers: impl FnOnce(&WidenedBox) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let part = WidenedBox::of(photo, region, margin)?;
        let covers = covers(&part)?;
        let opaque = |(pixel, cover): (&image::Rgb<u8>, u8)| {
            let [r, g, b] = pixel.0;
            [r, g, b, cover]
        };
        let sprite = Self {
            width: part.picture.width() as usize,
            height: part.picture.height() as usize,
            pixels: part.picture.pixels().zip(covers).map(opaque).collect(),
            core: part.core,
            surround: part.surround,
            variation: part.variation,
        };
        Some(if sprite.width as u32 > MOST {
            sprite.scaled(MOST as f32 / sprite.width as f32)
        } else {
            sprite
        })
    }
    /// Width of the fluke's box, in pixels.
    pub fn core_width(&self) -> f32 {
        self.core[2] - self.core[0]
    }

    /// Height of the fluke's box, in pixels.
    pub fn core_height(&self) -> f32 {
        self.core[3] - self.core[1]
    }

    /// Resizes the cut-out, antialiased.
    pub fn scaled(&self, scale: f32) -> Self {
        let side = |s: usize| ((s as f32 * scale).round() as u32).max(1);
        let (width, height) = (side(self.width), side(self.height));
        // Colours are not weighted by alpha: they continue under the soft edge as in the photo.
        let whole = image::RgbaImage::from_fn(self.width as u32, self.height as u32, |x, y| {
            image::Rgba(self.pixels[y as usize * self.width + x as usize])
        });
        let resized = imageops::resize(&whole, width, height, FilterType::Triangle);
        let (sx, sy) = (
            width as f32 / self.width as f32,
            height as f32 / self.height as f32,
        );
        Self {
            width: width as usize,
            height: height as usize,
            pixels: resized.pixels().map(|p| p.0).collect(),
            core: [
                self.core[0] * sx,
                self.core[1] * sy,
                self.core[2] * sx,
                self.core[3] * sy,
            ],
            ..*self
        }
    }

    /// Offset and gain that map the colours of its own surroundings to those of the picture around
    /// a point.
    pub fn match_to(&self, picture: &RgbImage, around: [f32; 4]) -> ([f32; 3], f32) {
        let [x0, y0, x1, y1] = around;
        let clip = |v: f32, most: u32| v.clamp(0.0, most as f32 - 1.0) as u32;
        let (w, h) = picture.dimensions();
        let (mut sum, mut square, mut count) = ([0f32; 3], 0f32, 0f32);
        for i in 0..12 {
            for j in 0..8 {
                let x = clip(x0 + (x1 - x0) * (i as f32 + 0.5) / 12.0, w);
                let y = clip(y0 + (y1 - y0) * (j as f32 + 0.5) / 8.0, h);
                let pixel = picture.get_pixel(x, y).0.map(f32::from);
                sum = std::array::from_fn(|c| sum[c] + pixel[c]);
                square += pixel[1] * pixel[1];
                count += 1.0;
            }
        }
        let mean = sum.map(|s| s / count);
        let variation = (square / count - mean[1] * mean[1]).max(0.0).sqrt();
        let gain = ((variation + 8.0) / (self.variation + 8.0)).clamp(0.75, 1.35);
        (std::array::from_fn(|c| mean[c] - self.surround[c]), gain)
    }

    /// Composites it onto a picture; returns the box of the part above the water, and its fraction
    /// of the whole box.
    pub fn set(&self, setting: &Setting, picture: &mut RgbImage) -> Option<(PixelBox, f32)> {
        let (sin, cos) = setting.turn.sin_cos();
        let [sx, sy] = setting.scale;
        let foot = [(self.core[0] + self.core[2]) / 2.0, self.core[3]];
        let forth = |x: f32, y: f32| {
            let (dx, dy) = ((x - foot[0]) * sx, (y - foot[1]) * sy);
            [
                setting.foot[0] + dx * cos - dy * sin,
                setting.foot[1] + dx * sin + dy * cos,
            ]
        };
        let bounds = |[x0, y0, x1, y1]: [f32; 4]| {
            let places = [forth(x0, y0), forth(x1, y0), forth(x0, y1), forth(x1, y1)];
            let fold = |c: usize, start: f32, f: fn(f32, f32) -> f32| {
                places.iter().map(|p| p[c]).fold(start, f)
            };
            [
                fold(0, f32::MAX, f32::min),
                fold(1, f32::MAX, f32::min),
                fold(0, f32::MIN, f32::max),
                fold(1, f32::MIN, f32::max),
            ]
        };
        let outer = bounds([0.0, 0.0, self.width as f32, self.height as f32]);
        let (w, h) = picture.dimensions();
        let edge = (0.03 * (outer[3] - outer[1])).max(1.0);
        for y in super::canvas::span(
            outer[1],
            outer[3].min(setting.water + edge + 1.0 + setting.slope.abs() * w as f32),
            h,
        ) {
            for x in super::canvas::span(outer[0], outer[2], w) {
                let (dx, dy) = (
                    x as f32 + 0.5 - setting.foot[0],
                    y as f32 + 0.5 - setting.foot[1],
                );
                let u = (dx * cos + dy * sin) / sx + foot[0];
                let v = (dy * cos - dx * sin) / sy + foot[1];
                let Some(texel) = self.at(u, v) else {
                    continue;
                };
                let line = setting.water + setting.slope * dx;
                let dry = step(line + edge, line - edge, y as f32 + 0.5);
                let cover = texel[3] / 255.0 * dry * setting.cover;
                if cover < 0.004 {
                    continue;
                }
                let colour = std::array::from_fn(|c| {
                    self.surround[c]
                        + (texel[c] - self.surround[c]) * setting.gain
                        + setting.shift[c]
                });
                blend(&mut picture.get_pixel_mut(x, y).0, colour, cover);
            }
        }
        let inner = bounds(self.core);
        let tall = inner[3] - inner[1];
        let bottom = inner[3].min(setting.water);
        let round = |v: f32, most: u32| v.round().clamp(0.0, most as f32) as u32;
        let region = PixelBox {
            x0: round(inner[0], w),
            y0: round(inner[1], h),
            x1: round(inner[2], w),
            y1: round(bottom, h),
        };
        let seen = region.area() as f32 / ((inner[2] - inner[0]) * tall).max(1.0);
        (region.area() > 0).then_some((region, seen.min(1.0)))
    }

    fn at(&self, u: f32, v: f32) -> Option<[f32; 4]> {
        let (x, y) = (u - 0.5, v - 0.5);
        if !(x > -0.5 && y > -0.5 && u < self.width as f32 && v < self.height as f32) {
            return None;
        }
        let (x, y) = (x.max(0.0), y.max(0.0));
        let (x0, y0) = (x as usize, y as usize);
        let (x1, y1) = ((x0 + 1).min(self.width - 1), (y0 + 1).min(self.height - 1));
        let (fx, fy) = (x - x0 as f32, y - y0 as f32);
        let texel = |x: usize, y: usize| self.pixels[y * self.width + x];
        let (a, b, c, d) = (texel(x0, y0), texel(x1, y0), texel(x0, y1), texel(x1, y1));
        Some(std::array::from_fn(|i| {
            let top = f32::from(a[i]) * (1.0 - fx) + f32::from(b[i]) * fx;
            let bottom = f32::from(c[i]) * (1.0 - fx) + f32::from(d[i]) * fx;
            top * (1.0 - fy) + bottom * fy
        }))
    }
}

/// A box of a photo, widened, and what surrounds the fluke in it.
struct WidenedBox {
    picture: RgbImage,
    /// Its left and upper edge in the photo.
    from: (u32, u32),
    /// The box, in pixels of the part.
    core: [f32; 4],
    surround: [f32; 3],
    variation: f32,
}

impl WidenedBox {
    /// A box widened by a fraction of its sides, within the photo.
    fn of(photo: &RgbImage, region: PixelBox, margin: f32) -> Option<Self> {
        let region = region.within(photo.width(), photo.height())?;
        let by = |side: u32| (side as f32 * margin).ceil() as u32 + 1;
        let (dx, dy) = (by(region.width()), by(region.height()));
        let outer = PixelBox {
            x0: region.x0.saturating_sub(dx),
            y0: region.y0.saturating_sub(dy),
            x1: region.x1 + dx,
            y1: region.y1 + dy,
        }
        .within(photo.width(), photo.height())?;
        let cut = imageops::crop_imm(photo, outer.x0, outer.y0, outer.width(), outer.height());
        let picture = cut.to_image();
        let core = [
            (region.x0 - outer.x0) as f32,
            (region.y0 - outer.y0) as f32,
            (region.x1 - outer.x0) as f32,
            (region.y1 - outer.y0) as f32,
        ];
        let (surround, variation) = surroundings(&picture, core);
        Some(Self {
            picture,
            from: (outer.x0, outer.y0),
            core,
            surround,
            variation,
        })
    }
}

/// 1 well within `from..to`, falling to 0 at the ends of `0..most`; where the photo ends with the
/// box, over a part of the box.
fn ramp(at: f32, from: f32, to: f32, most: f32, inset: f32) -> f32 {
    let inner = (to - from) * inset;
    let soft = |room: f32| (room + inner).max(0.02 * most).max(1.0);
    let left = step(0.0, soft(from), at);
    let right = step(0.0, soft(most - to), most - at);
    left * right
}

/// Mean colour and standard deviation of the brightness outside of the box, or of all pixels if
/// there are too few.
fn surroundings(cut: &RgbImage, core: [f32; 4]) -> ([f32; 3], f32) {
    let gather = |outside: bool| {
        let (mut sum, mut square, mut count) = ([0f64; 3], 0f64, 0u32);
        for (x, y, pixel) in cut.enumerate_pixels() {
            let (x, y) = (x as f32, y as f32);
            let within = x >= core[0] && x < core[2] && y >= core[1] && y < core[3];
            if outside && within {
                continue;
            }
            sum = std::array::from_fn(|c| sum[c] + f64::from(pixel.0[c]));
            square += f64::from(pixel.0[1]).powi(2);
            count += 1;
        }
        (sum, square, count)
    };
    let (mut sum, mut square, mut count) = gather(true);
    if count * 20 < cut.width() * cut.height() {
        (sum, square, count) = gather(false);
    }
    let count = f64::from(count.max(1));
    let mean = sum.map(|s| (s / count) as f32);
    let variation = (square / count - f64::from(mean[1]).powi(2))
        .max(0.0)
        .sqrt() as f32;
    (mean, variation)
}

/// Probability that each pixel is not water, slightly blurred: 0.1 to 1.
fn difference(cut: &RgbImage, surround: [f32; 3], variation: f32) -> Vec<f32> {
    let (width, height) = (cut.width() as usize, cut.height() as usize);
    let unlike: Vec<f32> = cut
        .pixels()
        .map(|p| {
            let away = (0..3)
                .map(|c| (f32::from(p.0[c]) - surround[c]).abs())
                .fold(0.0, f32::max);
            step(1.0, 2.4, away / (variation + 6.0))
        })
        .collect();
    let reach = (width / 40).clamp(2, 12);
    let rows = box_blur(&unlike, width, height, reach, true);
    let smooth = box_blur(&rows, width, height, reach, false);
    smooth
        .iter()
        .map(|s| 0.1 + 0.9 * (s * 2.5).min(1.0))
        .collect()
}

/// The mean of a map of `width` columns within a box.
fn mean_within(map: &[f32], width: usize, [x0, y0, x1, y1]: [f32; 4]) -> f32 {
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, value) in map.iter().enumerate() {
        let (x, y) = ((i % width) as f32, (i / width) as f32);
        if x >= x0 && x < x1 && y >= y0 && y < y1 {
            sum += value;
            count += 1.0;
        }
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

fn box_blur(values: &[f32], width: usize, height: usize, reach: usize, across: bool) -> Vec<f32> {
    let (lines, length, stride, next) = if across {
        (height, width, 1, width)
    } else {
        (width, height, width, 1)
    };
    let mut blurred = vec![0.0; values.len()];
    for l in 0..lines {
        let at = |i: usize| values[l * next + i * stride];
        let mut sum: f32 = (0..reach.min(length)).map(at).sum();
        for i in 0..length {
            if i + reach < length {
                sum += at(i + reach);
            }
            if i > reach {
                sum -= at(i - reach - 1);
            }
            let count = (i + reach).min(length - 1) - i.saturating_sub(reach) + 1;
            blurred[l * next + i * stride] = sum / count as f32;
        }
    }
    blurred
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::seed::{Purpose, generator};

    const DARK: [u8; 3] = [20, 20, 25];
    const GREY: [u8; 3] = [120, 125, 130];

    /// Above the water, as large as in the photo, in its colours.
    const SETTING: Setting = Setting {
        foot: [100.0, 80.0],
        scale: [1.0; 2],
        turn: 0.0,
        water: 200.0,
        slope: 0.0,
        shift: [0.0; 3],
        gain: 1.0,
        cover: 1.0,
    };

    /// A fluke of 60 x 20 pixels on water, each of one colour.
    pub(in super::super) fn photo(fluke: [u8; 3], water: [u8; 3]) -> (RgbImage, PixelBox) {
        let region = PixelBox {
            x0: 30,
            y0: 25,
            x1: 90,
            y1: 45,
        };
        let photo = RgbImage::from_fn(120, 70, |x, y| {
            let within = (30..90).contains(&x) && (25..45).contains(&y);
            image::Rgb(if within { fluke } else { water })
        });
        (photo, region)
    }

    #[test]
    fn a_cut_out_is_placed_at_its_setting() {
        let (photo, region) = photo(DARK, GREY);
        for number in 0..8 {
            let rng = &mut generator(1, Purpose::Placing, number, 0);
            let sprite = Sprite::cut(&photo, region, rng).unwrap();
            let mut sea = RgbImage::from_pixel(200, 120, image::Rgb([60, 90, 100]));
            let (shift, gain) = sprite.match_to(&sea, [50.0, 50.0, 150.0, 90.0]);
            let setting = Setting {
                shift,
                gain,
                ..SETTING
            };
            let (seen, share) = sprite.set(&setting, &mut sea).unwrap();
            let expected = PixelBox {
                x0: 70,
                y0: 60,
                x1: 130,
                y1: 80,
            };
            assert_eq!(seen, expected, "number {number}");
            assert!((share - 1.0).abs() < 0.01);
            // Dark inside, the sea's own colour outside.
            assert!(sea.get_pixel(100, 70).0[1] < 40, "number {number}");
            assert!(sea.get_pixel(100, 20).0[1].abs_diff(90) < 3);
            assert!(sea.get_pixel(67, 70).0[1].abs_diff(90) < 25);
        }
    }

    #[test]
    fn a_mask_leaves_the_water_behind() {
        let (photo, region) = photo(DARK, GREY);
        let mask = GrayImage::from_fn(120, 70, |x, y| {
            // The left half of the fluke only.
            let within = (30..60).contains(&x) && (25..45).contains(&y);
            image::Luma([if within { 255 } else { 0 }])
        });
        let sprite = Sprite::masked(&photo, region, &mask).unwrap();
        let mut sea = RgbImage::from_pixel(200, 120, image::Rgb([60, 90, 100]));
        let setting = SETTING;
        let (seen, _) = sprite.set(&setting, &mut sea).unwrap();
        assert_eq!((seen.x0, seen.x1), (70, 130));
        assert!(sea.get_pixel(80, 70).0[1] < 40);
        for x in [67, 103, 120, 133] {
            assert_eq!(sea.get_pixel(x, 70).0, [60, 90, 100], "{x}");
        }
        assert!(Sprite::masked(&photo, region, &GrayImage::new(120, 70)).is_none());
        assert!(Sprite::masked(&photo, region, &GrayImage::new(60, 70)).is_none());
    }

    #[test]
    fn water_reduces_the_box() {
        let (photo, region) = photo(DARK, GREY);
        let rng = &mut generator(1, Purpose::Placing, 1, 0);
        let sprite = Sprite::cut(&photo, region, rng).unwrap().scaled(0.5);
        let mut sea = RgbImage::new(200, 120);
        let setting = Setting {
            water: 75.0,
            ..SETTING
        };
        let (seen, share) = sprite.set(&setting, &mut sea).unwrap();
        assert_eq!((seen.y1, seen.width()), (75, 30));
        assert!((share - 0.5).abs() < 0.1, "{share}");
        assert!(
            sprite
                .set(
                    &Setting {
                        water: 60.0,
                        ..setting
                    },
                    &mut sea
                )
                .is_none()
        );
    }
}
