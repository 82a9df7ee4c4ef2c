//! A map of the embeddings of the whales with most photos: the two directions in which these photos differ most (principal
//! components), with the share of their differences that two directions can show.

use super::plot::Plot;
use super::{Report, percent};
use crate::evaluate::labelled::LabelledEmbeddings;
use ndarray::{Array1, Array2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const COLOURS: [&str; 10] = [
    "#0b4f6c", "#c2570c", "#0a7a46", "#7b3fa0", "#c0267e", "#8a6d00", "#2f80c8", "#5d6b00",
    "#b3261e", "#4a4a4a",
];
const MOST_PHOTOS_OF_A_WHALE: usize = 100;
const MOST_OTHERS: usize = 1000;

pub fn section(report: &Report<'_>) -> String {
    let photos = report.photos;
    let mut whales: Vec<usize> = (0..photos.whales().len())
        .filter(|&w| photos.photos_of(w).len() >= 2)
        .collect();
    whales.sort_by_key(|&w| std::cmp::Reverse(photos.photos_of(w).len()));
    whales.truncate(COLOURS.len());
    let shown: Vec<(usize, usize)> = whales
        .iter()
        .enumerate()
        .flat_map(|(colour, &w)| {
            photos
                .photos_of(w)
                .iter()
                .take(MOST_PHOTOS_OF_A_WHALE)
                .map(move |&p| (p, colour))
        })
        .collect();
    let Some(map) = Map::of(
        photos,
        &shown.iter().map(|(p, _)| *p).collect::<Vec<_>>(),
        report.seed,
    ) else {
        return String::new();
    };
    let every = photos.len().div_ceil(MOST_OTHERS).max(1);
    let others: Vec<(f64, f64)> = (0..photos.len())
        .step_by(every)
        .filter(|&p| photos.whale_of(p).is_none_or(|w| !whales.contains(&w)))
        .map(|p| map.place(photos, p))
        .collect();
    let places: Vec<(f64, f64)> = shown.iter().map(|(p, _)| map.place(photos, *p)).collect();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let all = || places.iter().chain(&others).map(of);
        let (low, high) = (
            all().fold(f64::INFINITY, f64::min),
            all().fold(f64::NEG_INFINITY, f64::max),
        );
        let margin = (high - low) * 0.04;
        (low - margin, high + margin)
    };
    let mut plot = Plot::new(range(|p| p.0), range(|p| p.1)).without_numbers();
    for (x, y) in &others {
        plot.mark("quiet", *x, *y, 2.0);
    }
    for ((x, y), (photo, colour)) in places.iter().zip(&shown) {
        let title = format!(
            "{}, {}",
            report.whale(whales[*colour]),
            photos.label(*photo).name
        );
        plot.coloured_mark(COLOURS[*colour], *x, *y, &title);
    }
    let keys: String = whales
        .iter()
        .zip(COLOURS)
        .map(|(&w, colour)| {
            format!(
                "<span class=\"key\" style=\"background:{colour}\"></span>{}",
                crate::page::escape(report.whale(w))
            )
        })
        .collect();
    format!(
        "<section id=\"map\"><h2>A map of the whales with most photos</h2>{}</section>\n",
        plot.figure(
            "first principal component",
            "second",
            &format!(
                "{keys}<br>Each point is a photo; grey are photos of other whales. The two directions show {} of the differences between \
                 the coloured photos and hide the rest: whales that overlap here may lie apart in the {} numbers of an embedding, and \
                 the figures above count, not this map.",
                percent(map.share),
                photos.rows().ncols()
            )
        )
    )
}

struct Map {
    mean: Array1<f32>,
    /// `[D, 2]`.
    directions: Array2<f32>,
    /// Of the variance, along the directions.
    share: f64,
}

impl Map {
    /// The two principal components of the photos at `at`; `None` where they do not differ.
    fn of(photos: &LabelledEmbeddings, at: &[usize], seed: u64) -> Option<Self> {
        const ROUNDS: usize = 60;
        let mut rows = photos.rows().select(Axis(0), at);
        let mean = rows.mean_axis(Axis(0))?;
        rows -= &mean;
        let total: f64 = rows.iter().map(|v| f64::from(v * v)).sum();
        if rows.ncols() < 2 || total < 1e-9 {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut directions =
            Array2::from_shape_fn((rows.ncols(), 2), |_| rng.random_range(-1.0..1.0f32));
        for _ in 0..ROUNDS {
            directions = rows.t().dot(&rows.dot(&directions));
            orthonormal(&mut directions);
        }
        let along: f64 = rows.dot(&directions).iter().map(|v| f64::from(v * v)).sum();
        Some(Self {
            mean,
            directions,
            share: along / total,
        })
    }

    fn place(&self, photos: &LabelledEmbeddings, photo: usize) -> (f64, f64) {
        let place = (&photos.rows().row(photo) - &self.mean).dot(&self.directions);
        (f64::from(place[0]), f64::from(place[1]))
    }
}

/// Gram and Schmidt, on two columns.
fn orthonormal(columns: &mut Array2<f32>) {
    for at in 0..2 {
        let mut column = columns.column(at).to_owned();
        if at == 1 {
            let first = columns.column(0).to_owned();
            let along = first.dot(&column);
            column.scaled_add(-along, &first);
        }
        let length = column.dot(&column).sqrt().max(1e-20);
        columns.column_mut(at).assign(&(column / length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::labelled::PhotoLabel;

    #[test]
    fn the_longest_directions_are_found() {
        // On a sphere near (1, 0, 0, 0): far along the second axis, less along the third, hardly along the fourth.
        let rows = [
            [0.4, 0.0, 0.0],
            [-0.4, 0.0, 0.0],
            [0.0, 0.2, 0.0],
            [0.0, -0.2, 0.0],
            [0.0, 0.0, 0.02],
            [0.0, 0.0, -0.02],
        ];
        let labels = vec![PhotoLabel::default(); rows.len()];
        let numbers = rows.iter().flat_map(|r| [1.0, r[0], r[1], r[2]]).collect();
        let photos = LabelledEmbeddings::new(labels, 4, numbers).unwrap();
        let map = Map::of(&photos, &[0, 1, 2, 3, 4, 5], 1).unwrap();
        assert!(
            map.directions[[1, 0]].abs() > 0.99 && map.directions[[2, 1]].abs() > 0.99,
            "{:?}",
            map.directions
        );
        assert!(map.share > 0.95 && map.share <= 1.0, "{}", map.share);
        let (x, y) = map.place(&photos, 0);
        assert!((x.abs() - 0.371).abs() < 0.01 && y.abs() < 0.01, "{x} {y}");
    }

    #[test]
    fn photos_that_do_not_differ_have_no_map() {
        let photos =
            LabelledEmbeddings::new(vec![PhotoLabel::default(); 2], 2, vec![1.0, 0.0, 1.0, 0.0])
                .unwrap();
        assert!(Map::of(&photos, &[0, 1], 1).is_none());
    }
}
