//! The texture of a fluke's underside, flat and evenly lit, from which photographs are rendered.

use super::individual::Individual;
use super::outline::{BOTTOM, Edges, REACH, TOP};
use super::scar::Scar;

/// Texels per unit of `u` and `v`.
const SCALE: f32 = 300.0;

/// Colour and cover of a fluke at every (`u`, `v`) within its outline's bounds.
#[derive(Clone, Debug)]
pub struct Skin {
    width: usize,
    height: usize,
    /// Red, green, blue (0..=255, sRGB) and cover (0 outside of the fluke, 255 on it), row by row
    /// from the top.
    texels: Vec<[u8; 4]>,
    /// Points along the trailing and the leading edge.
    edge: Vec<[f32; 2]>,
    area: f32,
}

impl Skin {
    /// Paints the texture of an individual.
    pub fn paint(individual: &Individual) -> Self {
        let (width, height) = (
            (2.0 * REACH * SCALE).ceil() as usize,
            ((TOP - BOTTOM) * SCALE).ceil() as usize,
        );
        let place = |x: usize, y: usize| {
            (
                -REACH + (x as f32 + 0.5) / SCALE,
                TOP - (y as f32 + 0.5) / SCALE,
            )
        };
        let mut cover = vec![0.0; width * height];
        let mut whiteness = vec![0.0; width * height];
        let edges: Vec<Edges> = (0..width)
            .map(|x| individual.outline.edges(place(x, 0).0))
            .collect();
        for (i, (cover, white)) in cover.iter_mut().zip(&mut whiteness).enumerate() {
            let ((u, v), edges) = (place(i % width, i / width), &edges[i % width]);
            *cover = individual.outline.covers(edges, u, v, 1.0 / SCALE);
            if *cover > 0.0 {
                *white = individual.pigment.whiteness(edges, u, v);
            }
        }
        let mut canvas = Canvas {
            width,
            height,
            whiteness,
            cream: vec![0.0; width * height],
        };
        individual.scars.iter().for_each(|scar| canvas.mark(scar));
        let texels = (0..width * height)
            .map(|i| {
                if cover[i] <= 0.0 {
                    return [0; 4];
                }
                let (u, v) = place(i % width, i / width);
                let skin = individual.pigment.colour(canvas.whiteness[i], u, v);
                let cream = canvas.cream[i];
                let byte =
                    |c: usize| ((skin[c] * (1.0 - cream) + CREAM[c] * cream) * 255.0).round() as u8;
                [byte(0), byte(1), byte(2), (cover[i] * 255.0).round() as u8]
            })
            .collect();
        let area = edges
            .iter()
            .map(|e| (e.trailing - e.leading).max(0.0))
            .sum::<f32>()
            / SCALE;
        let edge = (0..width)
            .step_by(8)
            .filter(|&x| edges[x].along <= 1.0)
            .flat_map(|x| [edges[x].trailing, edges[x].leading].map(|v| [place(x, 0).0, v]))
            .collect();
        Self {
            width,
            height,
            texels,
            edge,
            area,
        }
    }

    /// Points (`u`, `v`) along the trailing and the leading edge.
    pub fn edge(&self) -> &[[f32; 2]] {
        &self.edge
    }

    /// The area of the fluke without its stalk, in squared half spans.
    pub fn area(&self) -> f32 {
        self.area
    }

    /// A height below which there is only stalk, low enough to be under water.
    pub fn foot(&self) -> f32 {
        BOTTOM - 1.5
    }

    /// Colour (0..=255) and cover (0..=1) at (`u`, `v`); `None` where there is no fluke. Below the
    /// lower border the stalk continues with the colours of the last row.
    pub fn at(&self, u: f32, v: f32) -> Option<([f32; 3], f32)> {
        let x = (u + REACH) * SCALE - 0.5;
        let y = ((TOP - v) * SCALE - 0.5).min((self.height - 2) as f32);
        if !(x >= 0.0 && y >= 0.0 && x < (self.width - 1) as f32) {
            return None;
        }
        let (column, row) = (x as usize, y as usize);
        let (fx, fy) = (x - column as f32, y - row as f32);
        let start = row * self.width + column;
        let corners = [start, start + 1, start + self.width, start + self.width + 1];
        let weights = [
            (1.0 - fx) * (1.0 - fy),
            fx * (1.0 - fy),
            (1.0 - fx) * fy,
            fx * fy,
        ];
        let (mut colour, mut cover) = ([0.0; 3], 0.0);
        for (corner, weight) in corners.into_iter().zip(weights) {
            let texel = self.texels[corner];
            // Texels outside of the fluke have no colour.
            let weight = weight * f32::from(texel[3]) / 255.0;
            cover += weight;
            for c in 0..3 {
                colour[c] += weight * f32::from(texel[c]);
            }
        }
        (cover > 0.0).then(|| (colour.map(|c| c / cover), cover))
    }
}

const CREAM: [f32; 3] = [0.86, 0.8, 0.66];

/// The skin while it is painted.
struct Canvas {
    width: usize,
    height: usize,
    whiteness: Vec<f32>,
    cream: Vec<f32>,
}

impl Canvas {
    fn mark(&mut self, scar: &Scar) {
        match *scar {
            Scar::Ring {
                centre,
                radius,
                half_width,
            } => {
                let tone = self.contrast(centre);
                self.stamp(centre, radius + half_width, |d, white, _| {
                    let on = cover((d - radius).abs(), half_width);
                    *white += (tone - *white) * 0.85 * on;
                });
            }
            Scar::Dot { centre, radius } => {
                let tone = self.contrast(centre);
                self.stamp(centre, radius, |d, white, _| {
                    *white += (tone - *white) * 0.8 * cover(d, radius)
                });
            }
            Scar::Barnacle { centre, radius } => {
                self.stamp(centre, radius * 1.4, |d, white, cream| {
                    *white *= 1.0 - 0.8 * cover(d, radius * 1.4);
                    *cream += (1.0 - *cream) * 0.9 * cover(d, radius * 0.8);
                })
            }
            Scar::Line {
                from,
                to,
                bend,
                half_width,
            } => {
                let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
                let steps = ((dx.hypot(dy) / half_width).ceil() as usize).clamp(1, 400);
                let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
                let tone = self.contrast(middle);
                for i in 0..=steps {
                    let t = i as f32 / steps as f32;
                    let side = bend * 4.0 * t * (1.0 - t);
                    let place = [from[0] + dx * t - dy * side, from[1] + dy * t + dx * side];
                    // Thin at both ends.
                    let reach = half_width * (0.35 + 2.6 * t * (1.0 - t));
                    self.stamp(place, reach, |d, white, _| {
                        *white += (tone - *white) * 0.5 * cover(d, reach)
                    });
                }
            }
        }
    }

    /// The contrasting whiteness for a mark at a point.
    fn contrast(&self, [u, v]: [f32; 2]) -> f32 {
        let (x, y) = (((u + REACH) * SCALE) as usize, ((TOP - v) * SCALE) as usize);
        let here = self.whiteness[y.min(self.height - 1) * self.width + x.min(self.width - 1)];
        if here > 0.55 { 0.08 } else { 0.8 }
    }

    /// Calls `paint` with distance, whiteness and cream of each texel within `radius` of a point.
    fn stamp(
        &mut self,
        [u, v]: [f32; 2],
        radius: f32,
        mut paint: impl FnMut(f32, &mut f32, &mut f32),
    ) {
        let (cx, cy, reach) = (
            (u + REACH) * SCALE - 0.5,
            (TOP - v) * SCALE - 0.5,
            radius * SCALE + 1.0,
        );
        let limit = |value: f32, most: usize| value.clamp(0.0, most as f32) as usize;
        for y in limit((cy - reach).ceil(), self.height)..limit(cy + reach + 1.0, self.height) {
            for x in limit((cx - reach).ceil(), self.width)..limit(cx + reach + 1.0, self.width) {
                let distance = (x as f32 - cx).hypot(y as f32 - cy) / SCALE;
                let i = y * self.width + x;
                paint(distance, &mut self.whiteness[i], &mut self.cream[i]);
            }
        }
    }
}

/// 1 within `radius`, 0 beyond it, with a border of one texel.
fn cover(distance: f32, radius: f32) -> f32 {
    ((radius - distance) * SCALE + 0.5).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fraction of texels in which two skins clearly differ.
    fn difference(one: &Skin, other: &Skin) -> f32 {
        let differs =
            |(a, b): (&[u8; 4], &[u8; 4])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > 60);
        let differing = one
            .texels
            .iter()
            .zip(&other.texels)
            .filter(|&pair| differs(pair))
            .count();
        differing as f32 / one.texels.len() as f32
    }

    #[test]
    fn painting_is_reproducible_and_differs_between_individuals() {
        let skins: Vec<Skin> = (1..=6)
            .map(|n| Skin::paint(&Individual::draw(11, n)))
            .collect();
        assert_eq!(
            difference(&skins[0], &Skin::paint(&Individual::draw(11, 1))),
            0.0
        );
        for (i, one) in skins.iter().enumerate() {
            for other in &skins[..i] {
                assert!(difference(one, other) > 0.02);
            }
        }
    }

    #[test]
    fn the_stalk_continues_below_the_picture() {
        let skin = Skin::paint(&Individual::draw(11, 1));
        assert!(skin.at(0.0, BOTTOM - 1.0).is_some());
        assert!(skin.at(REACH + 0.1, 0.0).is_none() && skin.at(0.0, TOP + 0.1).is_none());
        assert!(skin.at(f32::NAN, 0.0).is_none());
    }
}
