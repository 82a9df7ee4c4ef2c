//! A map of the embeddings by t-SNE.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::report::plot::{Figure, Key, Plot};
use crate::tsne;
use askama::Template;
use ndarray::Axis;
use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// Colours of the whales with most photos, which the legend names.
const COLOURS: [&str; 10] = [
    "#0b4f6c", "#c2570c", "#0a7a46", "#7b3fa0", "#c0267e", "#8a6d00", "#2f80c8", "#5d6b00",
    "#b3261e", "#4a4a4a",
];
/// Colour of photos whose whale has no other photo on the map.
const SINGLE: &str = "#b9c5cd";
/// A random sample of so many photos is shown, if there are more: the map of more would take
/// minutes, and hide its points behind each other.
const MAX_PHOTOS: usize = 10_000;
/// The golden angle in degrees: successive hues are as far from each other as possible.
const GOLDEN_ANGLE: f64 = 137.508;

#[derive(Template)]
#[template(path = "evaluation/map.html")]
pub(super) struct MapSection {
    plot: Figure,
}

impl MapSection {
    /// `None` for few photos, or if they do not differ.
    pub(super) fn new(photos: &LabelledEmbeddings, seed: u64) -> Option<Self> {
        let shown = shown(photos.len(), MAX_PHOTOS, seed);
        let rows = photos.rows().select(Axis(0), &shown);
        let positions = tsne::layout(rows.view(), seed)?;
        let mut counts = vec![0usize; photos.whales().len()];
        for whale in shown.iter().filter_map(|&photo| photos.whale_of(photo)) {
            counts[whale] += 1;
        }
        let mut named: Vec<usize> = (0..counts.len()).filter(|&w| counts[w] >= 2).collect();
        named.sort_by_key(|&whale| std::cmp::Reverse(counts[whale]));
        named.truncate(COLOURS.len());
        let range = |axis: usize| {
            let values = || positions.iter().map(|position| f64::from(position[axis]));
            let low = values().fold(f64::INFINITY, f64::min);
            let high = values().fold(f64::NEG_INFINITY, f64::max);
            let margin = (high - low) * 0.03;
            (low - margin, high + margin)
        };
        let keys = named
            .iter()
            .zip(COLOURS)
            .map(|(&whale, colour)| Key::new(colour, &photos.whales()[whale]));
        let mut plot = Plot::new(range(0), range(1))
            .without_ticks()
            .with_keys(keys);
        let radius = match shown.len() {
            ..500 => 4.0,
            500..3000 => 2.8,
            _ => 1.8,
        };
        let mut points: Vec<Point> = shown
            .iter()
            .zip(&positions)
            .map(|(&photo, position)| {
                let whale = photos.whale_of(photo);
                let rank = whale.and_then(|w| named.iter().position(|&n| n == w));
                let (layer, colour) = match (rank, whale) {
                    (Some(rank), _) => (2, COLOURS[rank].to_owned()),
                    (None, Some(whale)) if counts[whale] >= 2 => (1, hue(whale)),
                    _ => (0, SINGLE.to_owned()),
                };
                let name = &photos.label(photo).name;
                Point {
                    layer,
                    colour,
                    position: position.map(f64::from),
                    title: match whale {
                        Some(whale) => format!("{}, {name}", photos.whales()[whale]),
                        None => format!("unnamed, {name}"),
                    },
                }
            })
            .collect();
        // Those that the legend names are in front.
        points.sort_by_key(|point| point.layer);
        for point in points {
            let [x, y] = point.position;
            plot.coloured_mark(point.colour, x, y, radius, point.title);
        }
        let sample = if shown.len() < photos.len() {
            format!(
                "A random sample of {} of {} photos (seed {seed}). ",
                shown.len(),
                photos.len()
            )
        } else {
            String::new()
        };
        let caption = format!(
            "{sample}Each point is a photo; point at it for its name. Photos of a whale have one colour, and the legend \
             names the whales with most photos; grey are photos whose whale has no other here. t-SNE (perplexity {}) \
             keeps neighbours together: distances between groups and their sizes mean nothing, and whales that overlap \
             here may be well separated in the {} dimensions of the embedding. Judge by the figures above, not by this \
             map.",
            tsne::perplexity(shown.len()),
            photos.rows().ncols()
        );
        Some(Self {
            plot: plot.finish("t-SNE, first axis", "second axis", caption),
        })
    }
}

struct Point {
    /// Points of higher layers are in front.
    layer: usize,
    colour: String,
    position: [f64; 2],
    title: String,
}

/// All photos, or a random sample of `most` in their order.
fn shown(photos: usize, most: usize, seed: u64) -> Vec<usize> {
    if photos <= most {
        return (0..photos).collect();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sample = index::sample(&mut rng, photos, most).into_vec();
    sample.sort_unstable();
    sample
}

/// A colour for a whale that the legend does not name.
fn hue(whale: usize) -> String {
    format!("hsl({:.0} 45% 60%)", (whale as f64 * GOLDEN_ANGLE) % 360.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::plane;

    /// Whales of these numbers of photos, each within a few degrees.
    fn whales(photos: &[(&str, usize)]) -> LabelledEmbeddings {
        let all: Vec<(&str, f32)> = photos
            .iter()
            .enumerate()
            .flat_map(|(whale, (name, count))| {
                (0..*count).map(move |i| (*name, whale as f32 * 25.0 + i as f32 * 0.7))
            })
            .collect();
        plane(&all)
    }

    fn page(photos: &LabelledEmbeddings, seed: u64) -> Option<String> {
        MapSection::new(photos, seed).map(|section| section.render().unwrap())
    }

    #[test]
    fn every_photo_is_a_point_with_its_name_and_the_colour_of_its_whale() {
        let names = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "<b>"];
        let mut groups: Vec<(&str, usize)> = names.iter().map(|name| (*name, 3)).collect();
        // The last whale with several photos has the fewest, so that the legend does not name it.
        groups[10].1 = 2;
        groups.extend([("Z", 1), ("?", 2)]);
        let photos = whales(&groups);
        let page = page(&photos, 1).unwrap();
        assert_eq!(page.matches("<circle").count(), photos.len());
        assert_eq!(
            page.matches(COLOURS[0]).count(),
            4,
            "a key and three photos"
        );
        assert!(page.contains("<title>A, 0.jpg</title>"), "{page}");
        assert!(page.contains("<title>unnamed, 34.jpg</title>"), "{page}");
        assert_eq!(page.matches(SINGLE).count(), 3);
        assert!(!page.contains("<b>") && page.contains("hsl("), "{page}");
        assert!(!page.contains("NaN") && !page.contains("sample of"));
    }

    #[test]
    fn a_seed_gives_the_same_page() {
        let photos = whales(&[("A", 8), ("B", 8), ("C", 8)]);
        assert_eq!(page(&photos, 3), page(&photos, 3));
        assert_ne!(page(&photos, 3), page(&photos, 4));
    }

    #[test]
    fn few_photos_and_equal_photos_have_no_map() {
        assert!(page(&whales(&[("A", 5), ("B", 4)]), 1).is_none());
        let equal: Vec<(&str, f32)> = vec![("A", 3.0); 20];
        assert!(page(&plane(&equal), 1).is_none());
    }

    #[test]
    fn a_sample_is_random_seeded_and_in_order() {
        assert_eq!(shown(7, 10, 1), [0, 1, 2, 3, 4, 5, 6]);
        let sample = shown(1000, 100, 1);
        assert_eq!(sample.len(), 100);
        assert!(sample.is_sorted_by(|a, b| a < b) && sample[99] < 1000);
        assert_eq!(sample, shown(1000, 100, 1));
        assert_ne!(sample, shown(1000, 100, 2));
    }
}
