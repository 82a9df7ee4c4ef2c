//! Photos and frames drawn from a seed, the same on every machine: what engines are compared on.

use image::{Rgb, RgbImage};

/// The seed of the images on which engines are compared.
pub const SEED: u64 = 20_261_125;
/// The number of images that are compared.
pub const IMAGES: u32 = 8;

/// The size of a drawn frame in pixels.
const FRAME: (u32, u32) = (960, 540);

/// A dark fluke with pale patches.
struct DrawnFluke {
    notch: f32,
    sweep: f32,
    sea: f32,
    patches: Vec<[f32; 4]>,
}

impl DrawnFluke {
    fn new(random: &mut Random) -> Self {
        let notch = 0.35 + 0.2 * random.next();
        let sweep = 0.25 + 0.3 * random.next();
        let sea = 150.0 + 70.0 * random.next();
        let patches = (0..7)
            .map(|_| {
                [
                    random.next(),
                    random.next(),
                    0.02 + 0.1 * random.next(),
                    60.0 + 130.0 * random.next(),
                ]
            })
            .collect();
        Self {
            notch,
            sweep,
            sea,
            patches,
        }
    }

    /// The brightness at a point of its box, from 0 to 1 across and down; `None` outside of the fluke.
    fn light(&self, u: f32, v: f32) -> Option<f32> {
        // Two lobes that meet at the notch.
        let side = (u - 0.5).abs() * 2.0;
        let upper = 0.15 + self.notch * (1.0 - side).powi(2) - 0.1 * self.sweep * side;
        let lower = 0.85 - self.sweep * side * side;
        if side >= 0.95 || v <= upper || v >= lower {
            return None;
        }
        let mut light = 40.0;
        for [cx, cy, radius, patch] in &self.patches {
            let distance = (u - cx).powi(2) + ((v - cy) * 0.5).powi(2);
            if distance < radius * radius {
                light = *patch;
            }
        }
        Some(light)
    }
}

/// A dark fluke with pale patches on a bright sea, determined by seed and number.
pub fn random_image(seed: u64, number: u32) -> RgbImage {
    const WIDTH: u32 = 512;
    const HEIGHT: u32 = 256;
    let mut random = Random::new(seed, number);
    let fluke = DrawnFluke::new(&mut random);
    let mut grain = random;
    RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let (u, v) = (x as f32 / WIDTH as f32, y as f32 / HEIGHT as f32);
        let wave = 12.0 * (40.0 * v + 6.0 * (9.0 * u).sin()).sin();
        pixel(fluke.light(u, v).unwrap_or(fluke.sea + wave), &mut grain)
    })
}

/// A camera's frame of a sea with up to three flukes, a twentieth to a third of it wide, determined by seed and number.
pub fn random_frame(seed: u64, number: u32) -> RgbImage {
    let (width, height) = FRAME;
    let mut random = Random::new(seed, number);
    let flukes: Vec<(DrawnFluke, [f32; 3])> = (0..number % 4)
        .map(|_| {
            let wide = 0.05 + 0.28 * random.next();
            let left = (1.0 - wide) * random.next();
            let top = 0.35 + 0.4 * random.next();
            (DrawnFluke::new(&mut random), [left, top, wide])
        })
        .collect();
    let sea = 110.0 + 60.0 * random.next();
    let mut grain = random;
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let seen = flukes.iter().find_map(|(fluke, [left, top, wide])| {
            // Twice as wide as high, in pixels.
            let high = wide / 2.0 * width as f32 / height as f32;
            let within = ((u - left) / wide, (v - top) / high);
            let inside = |at: f32| (0.0..1.0).contains(&at);
            (inside(within.0) && inside(within.1)).then(|| fluke.light(within.0, within.1))?
        });
        let wave = 10.0 * (90.0 * v * v + 5.0 * (11.0 * u).sin()).sin();
        let sky = if v < 0.2 { 60.0 } else { 0.0 };
        pixel(seen.unwrap_or(sea + wave + sky), &mut grain)
    })
}

fn pixel(light: f32, grain: &mut Random) -> Rgb<u8> {
    let grey = (light + 16.0 * (grain.next() - 0.5)).clamp(0.0, 255.0) as u8;
    Rgb([grey, grey.saturating_add(4), grey.saturating_add(9)])
}

/// splitmix64: the same numbers on every machine.
#[derive(Clone, Copy)]
struct Random(u64);

impl Random {
    fn new(seed: u64, number: u32) -> Self {
        Self(
            seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .wrapping_add(u64::from(number)),
        )
    }

    /// The next random number, from 0 to 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 24) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_images_are_the_same_for_a_seed_and_differ_otherwise() {
        for draw in [random_image, random_frame] {
            assert_eq!(draw(7, 1), draw(7, 1));
            assert_ne!(draw(7, 1), draw(7, 2));
            assert_ne!(draw(7, 1), draw(8, 1));
        }
        let photo = random_image(7, 0);
        let (dark, bright) = (
            photo.pixels().filter(|p| p.0[0] < 60).count(),
            photo.pixels().filter(|p| p.0[0] > 120).count(),
        );
        assert!(dark > 10_000 && bright > 30_000, "{dark} and {bright}");
    }

    #[test]
    fn a_frame_shows_as_many_flukes_as_its_number_says() {
        let dark = |number| {
            let frame = random_frame(SEED, number);
            frame.pixels().filter(|p| p.0[0] < 60).count()
        };
        assert_eq!((dark(0), dark(4)), (0, 0));
        assert!(dark(1) > 200 && dark(2) > 200 && dark(3) > 200);
    }
}
