//! A map of the embeddings of the whales with most photos: their first two principal components.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::pca::Pca;
use crate::report::format::percent;
use crate::report::plot::{Figure, Key, Plot};
use askama::Template;
use ndarray::{ArrayView1, Axis};

const COLOURS: [&str; 10] = [
    "#0b4f6c", "#c2570c", "#0a7a46", "#7b3fa0", "#c0267e", "#8a6d00", "#2f80c8", "#5d6b00",
    "#b3261e", "#4a4a4a",
];
const MAX_PHOTOS_PER_WHALE: usize = 100;
const MAX_OTHER_PHOTOS: usize = 1000;
/// Enough for the two axes to be the principal components themselves.
const ROUNDS: usize = 60;

#[derive(Template)]
#[template(path = "evaluation/map.html")]
pub(super) struct MapSection {
    plot: Figure,
}

impl MapSection {
    /// `None` if the photos do not differ.
    pub(super) fn new(photos: &LabelledEmbeddings, seed: u64) -> Option<Self> {
        let mut whales: Vec<usize> = (0..photos.whales().len())
            .filter(|&w| photos.photos_of(w).len() >= 2)
            .collect();
        whales.sort_by_key(|&w| std::cmp::Reverse(photos.photos_of(w).len()));
        whales.truncate(COLOURS.len());
        let shown: Vec<(usize, usize)> = whales
            .iter()
            .enumerate()
            .flat_map(|(colour, &w)| {
                let of_whale = photos.photos_of(w).iter().take(MAX_PHOTOS_PER_WHALE);
                of_whale.map(move |&p| (p, colour))
            })
            .collect();
        let map = Map::new(
            photos,
            &shown.iter().map(|(p, _)| *p).collect::<Vec<_>>(),
            seed,
        )?;
        let every = photos.len().div_ceil(MAX_OTHER_PHOTOS).max(1);
        let others: Vec<(f64, f64)> = (0..photos.len())
            .step_by(every)
            .filter(|&p| photos.whale_of(p).is_none_or(|w| !whales.contains(&w)))
            .map(|p| map.position(photos.rows().row(p)))
            .collect();
        let positions: Vec<(f64, f64)> = shown
            .iter()
            .map(|(p, _)| map.position(photos.rows().row(*p)))
            .collect();
        let range = |of: fn(&(f64, f64)) -> f64| {
            let all = || positions.iter().chain(&others).map(of);
            let low = all().fold(f64::INFINITY, f64::min);
            let high = all().fold(f64::NEG_INFINITY, f64::max);
            let margin = (high - low) * 0.04;
            (low - margin, high + margin)
        };
        let keys = whales
            .iter()
            .zip(COLOURS)
            .map(|(&w, colour)| Key::new(colour, &photos.whales()[w]));
        let mut plot = Plot::new(range(|p| p.0), range(|p| p.1))
            .without_ticks()
            .with_keys(keys);
        for (x, y) in &others {
            plot.mark("quiet", *x, *y, 2.0);
        }
        for ((x, y), (photo, colour)) in positions.iter().zip(&shown) {
            let whale = &photos.whales()[whales[*colour]];
            let title = format!("{whale}, {}", photos.label(*photo).name);
            plot.coloured_mark(COLOURS[*colour], *x, *y, title);
        }
        let caption = format!(
            "Each point is a photo; grey points are photos of other whales. The two components show {} of \
             the variance of the coloured photos: whales that overlap here may be well separated in the \
             {} dimensions of the embedding. Judge by the figures above, not by this map.",
            percent(map.explained_variance),
            photos.rows().ncols()
        );
        Some(Self {
            plot: plot.finish("first principal component", "second", caption),
        })
    }
}

struct Map {
    pca: Pca,
    /// Fraction of the variance.
    explained_variance: f64,
}

impl Map {
    /// The first two principal components of some photos; `None` if they do not differ.
    fn new(photos: &LabelledEmbeddings, selected: &[usize], seed: u64) -> Option<Self> {
        if selected.is_empty() || photos.rows().ncols() < 2 {
            return None;
        }
        let rows = photos.rows().select(Axis(0), selected);
        let pca = Pca::fit(rows.view(), 2, ROUNDS, seed);
        let square_sum =
            |values: ndarray::Array2<f32>| values.iter().map(|v| f64::from(v * v)).sum::<f64>();
        let total = square_sum(&rows - &pca.mean);
        (total >= 1e-9).then(|| Self {
            explained_variance: square_sum(pca.project(rows.view())) / total,
            pca,
        })
    }

    /// The second coordinate is 0 if the photos vary in one direction only.
    fn position(&self, row: ArrayView1<f32>) -> (f64, f64) {
        let projected = self.pca.project(row.insert_axis(Axis(0)));
        let coordinate = |at: usize| projected.get((0, at)).map_or(0.0, |v| f64::from(*v));
        (coordinate(0), coordinate(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::label::PhotoLabel;

    #[test]
    fn the_longest_directions_are_found() {
        // On a sphere near (1, 0, 0, 0): far along the second axis, less along the third, hardly
        // along the fourth.
        let rows = [
            [0.4, 0.0, 0.0],
            [-0.4, 0.0, 0.0],
            [0.0, 0.2, 0.0],
            [0.0, -0.2, 0.0],
            [0.0, 0.0, 0.02],
            [0.0, 0.0, -0.02],
        ];
        let labels = vec![PhotoLabel::default(); rows.len()];
        let values = rows.iter().flat_map(|r| [1.0, r[0], r[1], r[2]]).collect();
        let photos = LabelledEmbeddings::new(labels, 4, values).unwrap();
        let map = Map::new(&photos, &[0, 1, 2, 3, 4, 5], 1).unwrap();
        let axes = &map.pca.axes;
        assert!(
            axes[[0, 1]].abs() > 0.99 && axes[[1, 2]].abs() > 0.99,
            "{axes:?}"
        );
        let explained = map.explained_variance;
        assert!(explained > 0.95 && explained <= 1.0, "{explained}");
        let (x, y) = map.position(photos.rows().row(0));
        assert!((x.abs() - 0.371).abs() < 0.01 && y.abs() < 0.01, "{x} {y}");
    }

    #[test]
    fn photos_that_do_not_differ_have_no_map() {
        let photos =
            LabelledEmbeddings::new(vec![PhotoLabel::default(); 2], 2, vec![1.0, 0.0, 1.0, 0.0])
                .unwrap();
        assert!(Map::new(&photos, &[0, 1], 1).is_none());
    }
}
