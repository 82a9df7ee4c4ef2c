//! The regions of a sighting's picture and its candidates' photos that match.

use askama::Template;
use flukewatch_common::matching_regions::{Drawing, MatchingRegions};

/// What the section needs to know about a candidate.
pub(super) struct ComparedPhoto<'a> {
    pub(super) whale: &'a str,
    pub(super) score: &'a str,
    pub(super) photo: &'a str,
    /// The URL path of the photo, if shore has it.
    pub(super) url_path: Option<&'a str>,
}

/// The pairs of picture and photo, each with numbered outlines.
#[derive(Template)]
#[template(path = "matching_regions.html")]
pub(super) struct MatchingRegionsSection<'a> {
    pairs: Vec<Pair<'a>>,
}

struct Pair<'a> {
    whale: &'a str,
    score: &'a str,
    picture: Overlay<'a>,
    /// The photo, or why it has no outlines.
    photo: Result<Overlay<'a>, PhotoProblem<'a>>,
    /// Number and contribution of each region, e.g. `1: 6.0 %`.
    contributions: Vec<String>,
    /// Whether it is shown without a click.
    is_open: bool,
}

/// A photo with outlines.
#[derive(Template)]
#[template(path = "region_overlay.html")]
struct Overlay<'a> {
    url_path: &'a str,
    /// The text for those who do not see it.
    label: String,
    drawing: Drawing,
}

/// Why a photo has no outlines.
enum PhotoProblem<'a> {
    /// The catalogue does not say which part of the photo the model saw. The outlines of the picture are shown alone: those of the
    /// photo would be at a guessed place.
    PlaceUnknown { url_path: &'a str },
    /// Shore does not have the photo.
    NotInCatalogue { photo: &'a str },
}

impl<'a> MatchingRegionsSection<'a> {
    /// `None` if no candidate has a region that can be shown. `picture` is the URL path of the sighting's picture; `candidates` are
    /// those of the sighting, in its order.
    pub(super) fn new(
        regions: &MatchingRegions,
        picture: &'a str,
        candidates: &[ComparedPhoto<'a>],
    ) -> Option<Self> {
        let mut pairs: Vec<Pair<'_>> = vec![];
        for (number, candidate) in candidates.iter().enumerate() {
            let Some(over_picture) = regions.over_picture(number) else {
                continue;
            };
            let photo = match (candidate.url_path, regions.over_photo(number)) {
                (None, _) => Err(PhotoProblem::NotInCatalogue {
                    photo: candidate.photo,
                }),
                (Some(url_path), None) => Err(PhotoProblem::PlaceUnknown { url_path }),
                (Some(url_path), Some(drawing)) => Ok(Overlay {
                    url_path,
                    label: label(&format!("Catalogue photo of {}", candidate.whale), &drawing),
                    drawing,
                }),
            };
            let outlines = regions.outlines(number);
            pairs.push(Pair {
                whale: candidate.whale,
                score: candidate.score,
                picture: Overlay {
                    url_path: picture,
                    label: label("Sighting image", &over_picture),
                    drawing: over_picture,
                },
                photo,
                contributions: outlines
                    .iter()
                    .map(|o| format!("{}: {:.1} %", o.number, o.contribution * 100.0))
                    .collect(),
                is_open: pairs.is_empty(),
            });
        }
        (!pairs.is_empty()).then_some(Self { pairs })
    }
}

fn label(photo: &str, drawing: &Drawing) -> String {
    let numbers: Vec<String> = drawing.marks.iter().map(|m| m.number.to_string()).collect();
    format!("{photo}, regions {} outlined", numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::samples;

    fn section(url_path: Option<&str>) -> Option<String> {
        let regions = samples::sighting().regions.unwrap();
        let candidate = |whale| ComparedPhoto {
            whale,
            score: "0.75",
            photo: "a.jpg",
            url_path,
        };
        let candidates = [candidate("HW-0042"), candidate("HW-0007")];
        let section = MatchingRegionsSection::new(&regions, "/pictures/1.jpg", &candidates)?;
        Some(section.render().unwrap())
    }

    #[test]
    fn regions_are_numbered_rectangles_of_both_photos() {
        let html = section(Some("/photos/a.jpg")).unwrap();
        // Region 1 of the picture is 57.6 x 51.2 pixels from (204.8, 83.2), that of the photo 100 x 80 from (400, 180); outlines are a
        // twentieth within.
        for expected in [
            "transform=\"translate(207.68 85.76)\"><rect class=\"halo\" width=\"51.84\" height=\"46.08\"/>",
            "transform=\"translate(405 184)\"",
            "viewBox=\"0 60 1000 440\"",
            "href=\"/photos/a.jpg\" width=\"1000\" height=\"500\"",
            "aria-label=\"Catalogue photo of HW-0042, regions 1, 2 outlined\"",
            "<li>1: 6.0 %</li><li>2: 4.5 %</li>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        // Three outlines in pictures, and two in the only photo whose place is known.
        assert_eq!(html.matches("class=\"badge\"").count(), 5);
        assert_eq!(html.matches("<details open>").count(), 1);
        assert_eq!(html.matches("<details>").count(), 1);
        assert_eq!(html.matches("is not known").count(), 1);
    }

    #[test]
    fn a_photo_that_shore_does_not_have_is_named() {
        let html = section(None).unwrap();
        assert_eq!(html.matches("a.jpg is not in shore").count(), 2, "{html}");
        assert_eq!(html.matches("class=\"badge\"").count(), 3);
    }

    #[test]
    fn without_regions_there_is_no_section() {
        let mut regions = samples::sighting().regions.unwrap();
        let candidates = &mut regions.candidates;
        candidates.iter_mut().for_each(|c| c.pairs.clear());
        assert!(MatchingRegionsSection::new(&regions, "/pictures/1.jpg", &[]).is_none());
    }
}
