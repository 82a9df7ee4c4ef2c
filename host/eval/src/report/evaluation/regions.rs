//! Which regions of queries and their first candidates matched, with pictures.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::protocols::retrieval::QueryResult;
use crate::report::data_url;
use askama::Template;
use flukewatch_common::input_area::InputArea;
use flukewatch_common::local_matching::Descriptors;
use flukewatch_common::matching_regions::{DescribedPicture, Drawing, MatchingRegions};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::Dataset;
use std::collections::BTreeSet;

/// The pairs shown of each kind.
const MAX_PAIRS: usize = 6;

/// Pairs of a query and its first candidate, with numbered outlines of the regions that match.
#[derive(Template)]
#[template(path = "evaluation/regions.html")]
pub(super) struct RegionsSection<'a> {
    groups: Vec<Group<'a>>,
}

struct Group<'a> {
    title: &'static str,
    pairs: Vec<Pair<'a>>,
}

struct Pair<'a> {
    photos: [RegionPhoto<'a>; 2],
    score: String,
}

#[derive(Template)]
#[template(path = "evaluation/region_photo.html")]
struct RegionPhoto<'a> {
    url: String,
    whale: &'a str,
    name: &'a str,
    drawing: Drawing,
}

/// What pairs are made of.
#[derive(Clone, Copy)]
pub(super) struct RegionSources<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) photos: &'a LabelledEmbeddings,
    pub(super) preparation: &'a Preparation,
}

impl<'a> RegionsSection<'a> {
    /// `None` without local matching, or if no pair has matching regions.
    pub(super) fn new(queries: &[QueryResult], sources: RegionSources<'a>) -> Option<Self> {
        let descriptors = sources.photos.local()?.descriptors();
        let first = |query: &QueryResult| query.top.first().map_or(f32::MIN, |c| c.score);
        let margin = |query: &QueryResult| match query.top[..] {
            [first, second, ..] => first.score - second.score,
            _ => 0.0,
        };
        let mut wrong: Vec<&QueryResult> = queries.iter().filter(|q| q.rank > 1).collect();
        wrong.sort_by(|a, b| first(b).total_cmp(&first(a)));
        let mut right: Vec<&QueryResult> = queries.iter().filter(|q| q.rank == 1).collect();
        right.sort_by(|a, b| margin(b).total_cmp(&margin(a)));
        let group = |title, queries: Vec<&QueryResult>| {
            let mut shown = BTreeSet::new();
            Group {
                title,
                pairs: queries
                    .into_iter()
                    .filter(|query| shown.insert(query.whale))
                    .filter_map(|query| sources.pair(query, descriptors))
                    .take(MAX_PAIRS)
                    .collect(),
            }
        };
        let mut groups = vec![
            group("Wrong whales of the highest scores", wrong),
            group("Right whales of the largest margins", right),
        ];
        groups.retain(|group| !group.pairs.is_empty());
        (!groups.is_empty()).then_some(Self { groups })
    }
}

impl<'a> RegionSources<'a> {
    /// A query with its first candidate; `None` if a photo cannot be read or no regions match.
    fn pair(&self, query: &QueryResult, descriptors: &[Descriptors]) -> Option<Pair<'a>> {
        let candidate = query.top.first()?;
        let (one, other) = (
            descriptors.get(query.photo)?,
            descriptors.get(candidate.photo)?,
        );
        let shown = self.shown(query.photo)?;
        let candidate_shown = self.shown(candidate.photo)?;
        let picture = DescribedPicture {
            descriptors: one,
            area: shown.area,
            crop: shown.crop,
        };
        let matched = picture.matched(other, Some(candidate_shown.area));
        let regions: MatchingRegions = picture.regions(vec![matched]);
        let (over_query, over_photo) = (regions.over_picture(0)?, regions.over_photo(0)?);
        Some(Pair {
            photos: [
                self.photo(query.photo, shown, over_query),
                self.photo(candidate.photo, candidate_shown, over_photo),
            ],
            score: format!("{:.3}", candidate.score),
        })
    }

    fn shown(&self, photo: usize) -> Option<Shown> {
        let crop = data_url::crop(self.dataset.photos.get(photo)?, self.preparation)?;
        let (width, height) = (crop.width, crop.height);
        let whole = PixelBox::whole(width, height);
        Some(Shown {
            url: crop.url,
            area: self.preparation.input_area(whole, width, height),
            crop: self.preparation.crop_in_input(width, height),
        })
    }

    fn photo(&self, photo: usize, shown: Shown, drawing: Drawing) -> RegionPhoto<'a> {
        let file = &self.dataset.photos[photo];
        RegionPhoto {
            url: shown.url,
            whale: file.whale.as_deref().unwrap_or_default(),
            name: &file.name,
            drawing,
        }
    }
}

/// A crop as the model sees it.
struct Shown {
    url: String,
    area: InputArea,
    /// The part of the input that shows the crop.
    crop: [f32; 4],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::plane;
    use crate::gallery::local::LocalGallery;
    use crate::gallery::matching::with_local;
    use crate::protocols::retrieval::retrieve;
    use flukewatch_common::local_matching::{Layout, LocalScore};
    use flukewatch_common::prepare::{Colour, Fit};
    use flukewatch_dataset::LabelledPhoto;

    const EVIL: &str = "<script>\"'&";
    const LAYOUT: Layout = Layout {
        height: 1,
        width: 2,
        dimension: 2,
        fine: 0,
    };
    /// Descriptors do not change the order of whales.
    const SCORE: LocalScore = LocalScore {
        weight: 0.0,
        intercept: 0.0,
        slope: 0.0,
        typical_norm: 0.5,
        whales: 30,
        photos: 2,
        fine: None,
    };

    fn preparation() -> Preparation {
        Preparation {
            height: 16,
            width: 32,
            colour: Colour::Grey,
            fit: Fit::Stretch,
            padding: 0.1,
            mean: vec![127.0],
            std: vec![128.0],
        }
    }

    /// A photo of 200 x 100 pixels whose box is 100 x 50.
    fn photo(folder: &std::path::Path, number: usize) -> LabelledPhoto {
        let path = folder.join(format!("{number}.png"));
        let shade = image::Rgb([40 * number as u8, 90, 120]);
        image::RgbImage::from_pixel(200, 100, shade)
            .save(&path)
            .unwrap();
        LabelledPhoto {
            path,
            name: format!("{number}{EVIL}"),
            whale: Some(EVIL.into()),
            region: Some(PixelBox {
                x0: 50,
                y0: 20,
                x1: 150,
                y1: 70,
            }),
            date: None,
            encounter: None,
        }
    }

    #[test]
    fn wrong_and_right_pairs_are_shown_with_their_regions() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset {
            photos: (0..4).map(|number| photo(folder.path(), number)).collect(),
            ..Dataset::default()
        };
        // The photos of A find each other; each of B finds A first.
        let photos = plane(&[("A", 0.0), ("A", 10.0), ("B", 30.0), ("B", -60.0)]);
        let preparation = preparation();
        let sources = |photos| RegionSources {
            dataset: &dataset,
            photos,
            preparation: &preparation,
        };
        let without = photos.clone();
        let queries = retrieve(&without);
        assert!(RegionsSection::new(&queries, sources(&without)).is_none());
        // The left location weighs three times the right one.
        let values = [3.0, 0.0, 0.0, 1.0];
        let described = Descriptors::quantised(LAYOUT, &values).unwrap();
        let local = LocalGallery::new(vec![described; 4], SCORE);
        let photos = with_local(photos, local);
        let queries = retrieve(&photos);
        let section = RegionsSection::new(&queries, sources(&photos)).unwrap();
        let shown: Vec<(&str, usize)> = section
            .groups
            .iter()
            .map(|g| (g.title, g.pairs.len()))
            .collect();
        assert_eq!(
            shown,
            [
                ("Wrong whales of the highest scores", 1),
                ("Right whales of the largest margins", 1)
            ]
        );
        let html = section.render().unwrap();
        // The crop is 120 x 60 pixels with padding; a cell is half of it, and outlines are a twentieth within.
        for expected in [
            "viewBox=\"0 0 120 60\"",
            "transform=\"translate(3 3)\"><rect class=\"halo\" width=\"54\" height=\"54\"/>",
            "transform=\"translate(63 3)\"",
        ] {
            assert_eq!(html.matches(expected).count(), 4, "{expected}\n{html}");
        }
        assert_eq!(html.matches("data:image/jpeg;base64,/9j/").count(), 4);
        assert!(!html.contains("<script") && !html.contains("\"'&"));
    }

    #[test]
    fn pairs_without_files_are_left_out() {
        let photos = plane(&[("A", 0.0), ("A", 10.0)]);
        let described = Descriptors::quantised(LAYOUT, &[1.0; 4]).unwrap();
        let local = LocalGallery::new(vec![described; 2], SCORE);
        let photos = with_local(photos, local);
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset {
            photos: (0..2).map(|number| photo(folder.path(), number)).collect(),
            ..Dataset::default()
        };
        std::fs::remove_file(&dataset.photos[0].path).unwrap();
        let sources = RegionSources {
            dataset: &dataset,
            photos: &photos,
            preparation: &preparation(),
        };
        assert!(RegionsSection::new(&retrieve(&photos), sources).is_none());
    }
}
