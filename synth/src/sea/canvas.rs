//! Antialiased drawing on a picture: polygons, lines and soft blobs.

use image::RgbImage;

/// A colour: red, green, blue, 0..=255.
pub type Colour = [f32; 3];

/// Mixes `colour` into a pixel by `cover`, 0 to 1.
#[inline]
pub fn blend(pixel: &mut [u8], colour: Colour, cover: f32) {
    for (value, c) in pixel.iter_mut().zip(colour) {
        let old = f32::from(*value);
        *value = (old + (c - old) * cover).clamp(0.0, 255.0) as u8;
    }
}

/// The part of a range that lies in `0..most`.
pub fn span(from: f32, to: f32, most: u32) -> std::ops::Range<u32> {
    let clip = |v: f32| v.clamp(0.0, most as f32) as u32;
    clip(from.floor())..clip(to.ceil())
}

/// Rays per row.
const RAYS: usize = 3;

/// Fills a polygon with antialiased edges.
pub fn polygon(picture: &mut RgbImage, corners: &[[f32; 2]], colour: Colour, cover: f32) {
    let low = corners.iter().map(|c| c[1]).fold(f32::MAX, f32::min);
    let high = corners.iter().map(|c| c[1]).fold(f32::MIN, f32::max);
    let left = corners.iter().map(|c| c[0]).fold(f32::MAX, f32::min);
    let right = corners.iter().map(|c| c[0]).fold(f32::MIN, f32::max);
    if corners.len() < 3 || !(low.is_finite() && high.is_finite()) {
        return;
    }
    let (width, height) = picture.dimensions();
    let columns = span(left, right, width);
    if columns.is_empty() {
        return;
    }
    let mut covers = vec![0f32; columns.len()];
    let mut crossings = Vec::with_capacity(corners.len());
    for y in span(low, high, height) {
        covers.fill(0.0);
        for ray in 0..RAYS {
            let at = y as f32 + (ray as f32 + 0.5) / RAYS as f32;
            crossings.clear();
            for (i, a) in corners.iter().enumerate() {
                let b = corners[(i + 1) % corners.len()];
                if (a[1] <= at) != (b[1] <= at) {
                    crossings.push(a[0] + (b[0] - a[0]) * (at - a[1]) / (b[1] - a[1]));
                }
            }
            crossings.sort_by(f32::total_cmp);
            for pair in crossings.chunks_exact(2) {
                for x in span(pair[0], pair[1], width) {
                    let share = (pair[1].min(x as f32 + 1.0) - pair[0].max(x as f32)).max(0.0);
                    if let Some(cover) = x
                        .checked_sub(columns.start)
                        .and_then(|i| covers.get_mut(i as usize))
                    {
                        *cover += share / RAYS as f32;
                    }
                }
            }
        }
        for (x, part) in columns.clone().zip(&covers) {
            if *part > 0.0 {
                blend(
                    &mut picture.get_pixel_mut(x, y).0,
                    colour,
                    cover * part.min(1.0),
                );
            }
        }
    }
}

/// Draws a line of the given thickness.
pub fn line(
    picture: &mut RgbImage,
    from: [f32; 2],
    to: [f32; 2],
    thick: f32,
    colour: Colour,
    cover: f32,
) {
    let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
    let length = dx.hypot(dy).max(1e-3);
    let half = thick.max(0.5) / 2.0;
    let (nx, ny) = (-dy / length * half, dx / length * half);
    let corners = [
        [from[0] + nx, from[1] + ny],
        [to[0] + nx, to[1] + ny],
        [to[0] - nx, to[1] - ny],
        [from[0] - nx, from[1] - ny],
    ];
    // A line thinner than a pixel is fainter instead.
    polygon(picture, &corners, colour, cover * (thick * 2.0).min(1.0));
}

/// Draws an ellipse: full cover within `core` of its radii, fading to 0 at its border.
pub fn blob(
    picture: &mut RgbImage,
    centre: [f32; 2],
    radii: [f32; 2],
    core: f32,
    colour: Colour,
    cover: f32,
) {
    let (width, height) = picture.dimensions();
    let radii = radii.map(|r| r.max(0.4));
    for y in span(centre[1] - radii[1], centre[1] + radii[1] + 1.0, height) {
        for x in span(centre[0] - radii[0], centre[0] + radii[0] + 1.0, width) {
            let (dx, dy) = (
                (x as f32 + 0.5 - centre[0]) / radii[0],
                (y as f32 + 0.5 - centre[1]) / radii[1],
            );
            let away = dx.hypot(dy);
            if away < 1.0 {
                let part = ((1.0 - away) / (1.0 - core).max(1e-3)).min(1.0);
                blend(&mut picture.get_pixel_mut(x, y).0, colour, cover * part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_covers_its_area_and_stays_in_the_picture() {
        let mut picture = RgbImage::new(40, 30);
        let square = [[-5.0, 10.25], [10.5, 10.25], [10.5, 20.25], [-5.0, 20.25]];
        polygon(&mut picture, &square, [200.0; 3], 1.0);
        let sum: f32 = picture.pixels().map(|p| f32::from(p.0[0])).sum();
        assert!((sum / 200.0 - 105.0).abs() < 4.0, "{sum}");
        line(
            &mut picture,
            [-9.0, -9.0],
            [99.0, 99.0],
            2.0,
            [255.0; 3],
            1.0,
        );
        blob(&mut picture, [39.0, 29.0], [9.0, 9.0], 0.5, [255.0; 3], 1.0);
        polygon(&mut picture, &[[f32::NAN; 2]; 3], [1.0; 3], 1.0);
    }
}
