//! Training pictures for a detector: flukes of photos and synthetic ones on synthetic seas, on photos of
//! real seas and on the real water of other photos, and photos as they are; with many distractors, among
//! them patches of real water composed in the same way as flukes.

use super::targets::{Fluke, MIN_WIDTH};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::{DatasetError, LabelledPhoto};
use flukewatch_synth::sea::actor::Actor;
use flukewatch_synth::sea::cast::{self, Cast, Masks};
use flukewatch_synth::sea::scene::{MIN_VISIBLE, distractors, light};
use flukewatch_synth::sea::sprite::{Setting, Sprite};
use flukewatch_synth::sea::still::RealSeas;
use flukewatch_synth::sea::surface::Sea;
use flukewatch_synth::sea::surfacing::{Appearance, Surfacing, Whale, place};
use flukewatch_synth::seed::{Draw, Purpose, generator};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;

/// Number of synthetic whales.
const SYNTHETIC: u32 = 48;
/// Minimum side of a patch of real water, in its photo's pixels.
const MIN_PATCH: u32 = 24;

/// A picture of the input's size, and its flukes.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) picture: RgbImage,
    pub(super) flukes: Vec<Fluke>,
}

/// What pictures are made of, besides photos with boxes.
#[derive(Clone, Debug, Default)]
pub struct Ingredients {
    /// Photos of real seas without flukes.
    pub seas: Option<RealSeas>,
    /// Masks of flukes, by which they are cut out of their photos.
    pub masks: Option<Masks>,
}

/// Fraction of pictures on photos of real seas, if there are any, and of those the fraction without a
/// fluke.
const ON_REAL_SEAS: f32 = 0.3;
const WITHOUT_FLUKE: f32 = 0.6;
/// Fraction of flukes that are cut out by masks, if there are any: clean edges must not give a fluke away
/// either.
const BY_MASK: f32 = 0.4;

/// What flukes are placed on.
enum Background {
    Drawn,
    /// Water of a photo.
    Water(RgbImage),
    /// A photo of a real sea, as it is.
    RealSea(RgbImage),
}

/// Makes pictures from photos with boxes.
#[derive(Debug)]
pub(super) struct Samples {
    photos: Vec<LabelledPhoto>,
    ingredients: Ingredients,
    /// Positions of the photos with a mask.
    masked: Vec<usize>,
    synthetic: Cast,
    seed: u64,
}

impl Samples {
    /// `photos` must not be empty.
    pub(super) fn new(photos: Vec<LabelledPhoto>, ingredients: Ingredients, seed: u64) -> Self {
        let masked = ingredients.masks.as_ref().map_or(vec![], |masks| {
            let has_mask = |&at: &usize| masks.file(&photos[at]).is_some();
            (0..photos.len()).filter(has_mask).collect()
        });
        Self {
            photos,
            ingredients,
            masked,
            synthetic: Cast::drawn(seed, SYNTHETIC),
            seed,
        }
    }

    /// Picture `number` of stage `stage`, of `size` (width and height) pixels: the same for the same
    /// seed, on whichever thread it is made.
    pub(super) fn make(
        &self,
        stage: u32,
        number: u32,
        size: (u32, u32),
    ) -> Result<Sample, DatasetError> {
        let chance = &mut generator(self.seed, Purpose::SeaScene, stage, number);
        let real = self.ingredients.seas.as_ref();
        let mut sample = match real.filter(|_| chance.chance(ON_REAL_SEAS)) {
            Some(seas) => {
                let sea = real_sea(seas, size, chance)?;
                self.on_sea(size, Background::RealSea(sea), chance)?
            }
            None => match chance.random::<f32>() {
                r if r < 0.62 => self.on_sea(size, Background::Drawn, chance)?,
                r if r < 0.76 => {
                    let water = self.water(size, chance)?;
                    let water = water.map_or(Background::Drawn, Background::Water);
                    self.on_sea(size, water, chance)?
                }
                _ => self.photo_as_is(size, chance)?,
            },
        };
        vary(&mut sample.picture, chance);
        Ok(sample)
    }

    fn photo(&self, chance: &mut ChaCha8Rng) -> &LabelledPhoto {
        &self.photos[chance.random_range(0..self.photos.len())]
    }

    /// A photo whose fluke is cut out, with a mask or without.
    fn photo_to_cut(&self, chance: &mut ChaCha8Rng) -> &LabelledPhoto {
        if self.masked.is_empty() || !chance.chance(BY_MASK) {
            return self.photo(chance);
        }
        &self.photos[self.masked[chance.random_range(0..self.masked.len())]]
    }

    fn on_sea(
        &self,
        size: (u32, u32),
        background: Background,
        chance: &mut ChaCha8Rng,
    ) -> Result<Sample, DatasetError> {
        let sea = Sea::draw(chance.random(), 0, size);
        let time = f64::from(chance.within(&(10.0..=9000.0)));
        let level = sea.level(time);
        let drawn = matches!(background, Background::Drawn);
        let as_it_is = matches!(background, Background::RealSea(_));
        let mut picture = match background {
            Background::Drawn => {
                let mut picture = RgbImage::new(size.0, size.1);
                sea.paint(time, &mut picture);
                picture
            }
            Background::Water(picture) | Background::RealSea(picture) => picture,
        };
        if !as_it_is {
            let actors: Vec<Actor> = distractors(&sea, time, chance);
            for actor in &actors {
                actor.paint(&level, time, &mut picture);
            }
            for _ in 0..chance.low_within(&(0.0..=3.9), 1.5) as usize {
                if let Some(patch) = self.patch(chance)? {
                    set_patch(&patch, &mut picture, chance);
                }
            }
        }
        let none = if as_it_is { WITHOUT_FLUKE } else { 0.25 };
        let many = match chance.random::<f32>() {
            r if r < none => 0,
            r if r < 0.8 => 1,
            _ => 2,
        };
        let mut flukes: Vec<Fluke> = vec![];
        for _ in 0..many {
            let whale = if chance.chance(0.72) {
                let masks = self.ingredients.masks.as_ref();
                let sprite = cast::cut(self.photo_to_cut(chance), masks, chance)?;
                Whale {
                    name: String::new(),
                    appearance: Appearance::Photo(Arc::new(sprite)),
                }
            } else {
                self.synthetic
                    .whale(chance.random_range(0..SYNTHETIC as usize), chance)?
            };
            let widest = 0.8 * size.0 as f32;
            let width = chance.within(&(8.0f32.ln()..=widest.ln())).exp();
            let begins = time - f64::from(chance.within(&(0.2..=2.8)));
            let here = place(&sea, width, time, chance);
            let mut surfacing = Surfacing::draw(whale, here, begins, 3.0, chance);
            if chance.chance(0.7) {
                surfacing.start += time - surfacing.best();
            }
            // In the sea's colours, or the sea in the photo's; flukes already on it would be recoloured.
            if flukes.is_empty() && chance.chance(0.5) {
                surfacing = surfacing.as_photographed();
                if !as_it_is {
                    light(&[&surfacing], &level, time, &mut picture);
                }
            }
            if let Some(seen) = surfacing.paint(&level, time, &mut picture) {
                let fluke = fluke(seen.region, seen.visible >= MIN_VISIBLE);
                // Occluded flukes are not required.
                for other in &mut flukes {
                    if overlap(&other.edges, &fluke.edges) > 0.35 {
                        other.required = false;
                    }
                }
                flukes.push(fluke);
            }
        }
        if drawn || chance.chance(0.5) {
            sea.grain(chance.random(), &mut picture);
        }
        Ok(Sample { picture, flukes })
    }

    /// A photo with its own surroundings, at a random size; around it, its mean colour.
    fn photo_as_is(
        &self,
        size: (u32, u32),
        chance: &mut ChaCha8Rng,
    ) -> Result<Sample, DatasetError> {
        let labelled = self.photo(chance);
        let (mut photo, region) = labelled.decode_with_region()?;
        let (w, h) = photo.dimensions();
        let mut region = region.unwrap_or(PixelBox::whole(w, h));
        if chance.chance(0.5) {
            imageops::flip_horizontal_in_place(&mut photo);
            (region.x0, region.x1) = (w.saturating_sub(region.x1), w.saturating_sub(region.x0));
        }
        let (across, down) = (size.0 as f32, size.1 as f32);
        let width = across * chance.within(&(0.15f32.ln()..=0.98f32.ln())).exp();
        let scale = (width / region.width().max(1) as f32)
            .min(down * 0.98 / region.height().max(1) as f32)
            .min(2.5);
        let (bw, bh) = (
            region.width() as f32 * scale,
            region.height() as f32 * scale,
        );
        // The position of the box in the picture determines that of the photo.
        let left = chance.within(&(0.0..=(across - bw).max(0.0))) - region.x0 as f32 * scale;
        let top = chance.within(&(0.0..=(down - bh).max(0.0))) - region.y0 as f32 * scale;
        let side = |s: u32| ((s as f32 * scale).round() as u32).max(1);
        let small = imageops::resize(&photo, side(w), side(h), FilterType::Triangle);
        let mean = mean_of(&small);
        let mut picture = RgbImage::from_pixel(size.0, size.1, mean);
        imageops::replace(
            &mut picture,
            &small,
            left.round() as i64,
            top.round() as i64,
        );
        let edge = |v: u32, start: f32, most: f32| (v as f32 * scale + start).clamp(0.0, most);
        let edges = [
            edge(region.x0, left, across),
            edge(region.y0, top, down),
            edge(region.x1, left, across),
            edge(region.y1, top, down),
        ];
        Ok(Sample {
            picture,
            flukes: vec![Fluke {
                edges,
                required: edges[2] - edges[0] >= MIN_WIDTH,
            }],
        })
    }

    /// Water of a photo next to its fluke, as large as the picture; `None` if a few photos have none
    /// that is large enough.
    fn water(
        &self,
        size: (u32, u32),
        chance: &mut ChaCha8Rng,
    ) -> Result<Option<RgbImage>, DatasetError> {
        for _ in 0..6 {
            let labelled = self.photo(chance);
            let (photo, region) = labelled.decode_with_region()?;
            let Some(room) = beside(region, photo.dimensions(), chance, 2 * MIN_PATCH) else {
                continue;
            };
            let aspect = size.0 as f32 / size.1 as f32;
            let width = (room.width() as f32).min(room.height() as f32 * aspect * 1.6);
            let height = (room.height() as f32).min(width / aspect * 1.6);
            let x = room.x0 + chance.within(&(0.0..=room.width() as f32 - width)) as u32;
            let y = room.y0 + chance.within(&(0.0..=room.height() as f32 - height)) as u32;
            let cut = imageops::crop_imm(&photo, x, y, width as u32, height as u32).to_image();
            let mut water = imageops::resize(&cut, size.0, size.1, FilterType::CatmullRom);
            if chance.chance(0.5) {
                imageops::flip_horizontal_in_place(&mut water);
            }
            return Ok(Some(water));
        }
        Ok(None)
    }

    /// A piece of real water, cut out in the same way as flukes.
    fn patch(&self, chance: &mut ChaCha8Rng) -> Result<Option<Sprite>, DatasetError> {
        let labelled = self.photo(chance);
        let (photo, region) = labelled.decode_with_region()?;
        let room = beside(region, photo.dimensions(), chance, MIN_PATCH);
        Ok(room.and_then(|room| {
            let (w, h) = (room.width() as f32, room.height() as f32);
            let width = w * chance.within(&(0.4..=0.9));
            let height = (h * chance.within(&(0.4..=0.9))).min(width);
            let x = room.x0 as f32 + chance.within(&(0.0..=w - width));
            let y = room.y0 as f32 + chance.within(&(0.0..=h - height));
            let region = PixelBox {
                x0: x as u32,
                y0: y as u32,
                x1: (x + width) as u32,
                y1: (y + height) as u32,
            };
            Sprite::cut(&photo, region, chance)
        }))
    }
}

/// A photo of a real sea as a camera's frame of 640 pixels shows it, or a little larger, cut to the size
/// of a picture.
fn real_sea(
    seas: &RealSeas,
    size: (u32, u32),
    chance: &mut ChaCha8Rng,
) -> Result<RgbImage, DatasetError> {
    let photo = seas.picture(chance.random_range(0..seas.photos().len()))?;
    let (w, h) = (photo.width() as f32, photo.height() as f32);
    let frame = 640.0 * chance.within(&(-0.1..=0.5)).exp();
    let covers = (size.0 as f32 / w).max(size.1 as f32 / h);
    let scale = (frame / w).max(covers);
    let side = |s: f32, least: u32| ((s * scale).round() as u32).max(least);
    let resized = imageops::resize(
        &photo,
        side(w, size.0),
        side(h, size.1),
        FilterType::Triangle,
    );
    let x = chance.random_range(0..=resized.width() - size.0);
    let y = chance.random_range(0..=resized.height() - size.1);
    let mut sea = imageops::crop_imm(&resized, x, y, size.0, size.1).to_image();
    if chance.chance(0.5) {
        imageops::flip_horizontal_in_place(&mut sea);
    }
    Ok(sea)
}

/// A part of a photo next to its box: above, below, left or right, if large enough.
fn beside(
    region: Option<PixelBox>,
    (w, h): (u32, u32),
    chance: &mut ChaCha8Rng,
    least: u32,
) -> Option<PixelBox> {
    let region = region?.within(w, h)?;
    let away = region.width() / 20 + 2;
    let whole = PixelBox::whole(w, h);
    let sides = [
        PixelBox {
            y1: region.y0.saturating_sub(away),
            ..whole
        },
        PixelBox {
            y0: (region.y1 + away).min(h),
            ..whole
        },
        PixelBox {
            x1: region.x0.saturating_sub(away),
            ..whole
        },
        PixelBox {
            x0: (region.x1 + away).min(w),
            ..whole
        },
    ];
    let large: Vec<PixelBox> = sides
        .into_iter()
        .filter(|s| s.width() >= least && s.height() >= least)
        .collect();
    (!large.is_empty()).then(|| large[chance.random_range(0..large.len())])
}

fn set_patch(patch: &Sprite, picture: &mut RgbImage, chance: &mut ChaCha8Rng) {
    let (w, h) = (picture.width() as f32, picture.height() as f32);
    let width = chance.within(&(8.0f32.ln()..=(0.7 * w).ln())).exp();
    let fitted = patch.scaled((width / patch.core_width().max(1.0)).min(3.0));
    let (width, height) = (fitted.core_width(), fitted.core_height());
    let foot = [chance.within(&(0.0..=w)), chance.within(&(0.0..=h))];
    let half = width * 0.7;
    let around = [
        foot[0] - half,
        foot[1] - height * 1.3,
        foot[0] + half,
        foot[1] + height * 0.4,
    ];
    let (shift, gain) = fitted.match_to(picture, around);
    let setting = Setting {
        foot,
        scale: [
            if chance.chance(0.5) { -1.0 } else { 1.0 },
            chance.within(&(0.8..=1.15)),
        ],
        turn: chance.around_zero(0.2),
        water: foot[1] + 0.04 * height,
        slope: 0.0,
        shift,
        gain,
        cover: 1.0,
    };
    // It is water: no fluke is added.
    let _ = fitted.set(&setting, picture);
}

fn fluke(region: PixelBox, required: bool) -> Fluke {
    let edges = [region.x0, region.y0, region.x1, region.y1].map(|v| v as f32);
    Fluke {
        edges,
        required: required && edges[2] - edges[0] >= MIN_WIDTH && edges[3] - edges[1] >= 2.0,
    }
}

/// The fraction of `a` that `b` covers.
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    width * height / ((a[2] - a[0]) * (a[3] - a[1])).max(1.0)
}

fn mean_of(picture: &RgbImage) -> Rgb<u8> {
    let count = (picture.width() as u64 * picture.height() as u64).max(1);
    let mut sum = [0u64; 3];
    for pixel in picture.pixels() {
        sum = std::array::from_fn(|c| sum[c] + u64::from(pixel.0[c]));
    }
    Rgb(sum.map(|s| (s / count) as u8))
}

/// Varies brightness, contrast and sharpness of the whole picture.
fn vary(picture: &mut RgbImage, chance: &mut ChaCha8Rng) {
    if chance.chance(0.3) {
        *picture = imageops::blur(picture, chance.within(&(0.4..=1.1)));
    }
    let gamma = chance.within(&(-0.5..=0.5)).exp();
    let contrast = chance.within(&(0.7..=1.3));
    let add = chance.around_zero(30.0);
    let levels: Vec<u8> = (0..256)
        .map(|v| {
            let v = 255.0 * (v as f32 / 255.0).powf(gamma);
            ((v - 110.0) * contrast + 110.0 + add).clamp(0.0, 255.0) as u8
        })
        .collect();
    for pixel in picture.pixels_mut() {
        pixel.0 = pixel.0.map(|v| levels[usize::from(v)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(folder: &std::path::Path) -> Samples {
        let photo = RgbImage::from_fn(160, 90, |x, y| {
            let within = (40..120).contains(&x) && (40..70).contains(&y);
            Rgb(if within {
                [25; 3]
            } else {
                [(90 + (x * 7 + y * 13) % 40) as u8; 3]
            })
        });
        let path = folder.join("a.png");
        photo.save(&path).unwrap();
        let labelled = LabelledPhoto {
            path,
            name: "a.png".into(),
            whale: Some("A".into()),
            region: Some(PixelBox {
                x0: 40,
                y0: 40,
                x1: 120,
                y1: 70,
            }),
            date: None,
            encounter: None,
        };
        Samples::new(vec![labelled], Ingredients::default(), 7)
    }

    #[test]
    fn real_seas_and_masks_are_used() {
        let folder = tempfile::tempdir().unwrap();
        let photos = samples(folder.path()).photos;
        let seas = folder.path().join("seas");
        let masks = folder.path().join("masks");
        std::fs::create_dir_all(&seas).unwrap();
        std::fs::create_dir_all(&masks).unwrap();
        // A sea of a colour that nothing else has.
        RgbImage::from_pixel(400, 240, Rgb([20, 160, 40]))
            .save(seas.join("sea.png"))
            .unwrap();
        image::GrayImage::from_pixel(160, 90, image::Luma([255]))
            .save(masks.join("a.png"))
            .unwrap();
        let ingredients = Ingredients {
            seas: Some(RealSeas::open(&seas).unwrap()),
            masks: Some(Masks::new(&masks)),
        };
        let samples = Samples::new(photos, ingredients, 7);
        assert_eq!(samples.masked, [0]);
        let (mut on_seas, mut without) = (0, 0);
        for number in 0..60 {
            let sample = samples.make(0, number, (160, 96)).unwrap();
            assert_eq!(sample.picture.dimensions(), (160, 96));
            let green = |p: &&Rgb<u8>| {
                let [r, g, b] = p.0.map(i32::from);
                g > r + 40 && g > b + 40
            };
            if sample.picture.pixels().filter(green).count() > 160 * 96 / 3 {
                on_seas += 1;
                without += usize::from(sample.flukes.is_empty());
            }
        }
        assert!((10..35).contains(&on_seas), "{on_seas}");
        assert!((1..on_seas).contains(&without), "{without} of {on_seas}");
    }

    #[test]
    fn pictures_follow_from_the_seed_and_their_flukes_lie_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let samples = samples(folder.path());
        let mut required = 0;
        for number in 0..24 {
            let sample = samples.make(0, number, (160, 96)).unwrap();
            let again = samples.make(0, number, (160, 96)).unwrap();
            assert_eq!(sample.picture, again.picture, "number {number}");
            assert_eq!(sample.flukes, again.flukes);
            assert_eq!(sample.picture.dimensions(), (160, 96));
            for fluke in &sample.flukes {
                let [x0, y0, x1, y1] = fluke.edges;
                assert!(x0 >= 0.0 && y0 >= 0.0 && x1 <= 160.0 && y1 <= 96.0 && x0 < x1 && y0 < y1);
                required += usize::from(fluke.required);
            }
        }
        assert!((8..40).contains(&required), "{required}");
    }
}
