//! The report of an audit: every finding with its pictures.

use crate::audit::findings::{AuditFindings, DuplicateIdentity, NearDuplicates, PhotoRef};
use crate::audit::table::whale;
use crate::report::data_url;
use askama::Template;
use flukewatch_dataset::LabelledPhoto;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Findings shown of each kind.
const MAX_SHOWN: usize = 200;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    source: &'a str,
    photos: usize,
    whales: usize,
    notes: &'a [String],
    sections: [Section<'a>; 5],
}

/// Findings of one kind.
struct Section<'a> {
    id: &'static str,
    title: &'static str,
    text: &'static str,
    count: usize,
    articles: Vec<Article<'a>>,
}

impl Section<'_> {
    fn hidden(&self) -> usize {
        self.count - self.articles.len()
    }
}

struct Article<'a> {
    title: String,
    text: String,
    is_bad: bool,
    rows: Vec<Vec<Picture<'a>>>,
}

struct Picture<'a> {
    url: Option<&'a str>,
    whale: String,
    role: &'static str,
    photo: &'a str,
}

/// Small copies of photos by their position.
struct Pictures(BTreeMap<usize, String>);

impl Pictures {
    fn show<'a>(&'a self, photo: &'a PhotoRef, role: &'static str) -> Picture<'a> {
        Picture {
            url: self.0.get(&photo.position).map(String::as_str),
            whale: whale(photo),
            role,
            photo: &photo.photo,
        }
    }
}

/// The page. `photos` are those of the positions in the findings, `source` is the name of the data.
///
/// # Errors
/// Never in practice: it is rendered in memory.
pub fn html(
    findings: &AuditFindings,
    photos: &[LabelledPhoto],
    source: &str,
) -> Result<String, askama::Error> {
    let pictures = pictures(findings, photos);
    let page = Page {
        source,
        photos: findings.photos,
        whales: findings.whales,
        notes: &findings.notes,
        sections: [
            unreadable(findings),
            near_duplicates(findings, &pictures),
            duplicate_identities(
                "duplicate-identities",
                "Identities that may be one whale",
                "Each is the most similar of the other. Compare the photos side by side.",
                &findings.duplicate_identities,
                &pictures,
            ),
            mislabelled(findings, &pictures),
            duplicate_identities(
                "single-photos",
                "Whales with a single photo that may be another whale",
                "No second photo supports the name.",
                &findings.single_photo_matches,
                &pictures,
            ),
        ],
    };
    page.render()
}

fn unreadable(findings: &AuditFindings) -> Section<'_> {
    let article = |u: &crate::audit::photos::Unreadable| Article {
        title: u.photo.clone(),
        text: u.reason.clone(),
        is_bad: true,
        rows: vec![],
    };
    Section {
        id: "unreadable",
        title: "Unreadable photos",
        text: "They are left out of all other checks.",
        count: findings.unreadable.len(),
        articles: shown(&findings.unreadable).map(article).collect(),
    }
}

fn near_duplicates<'a>(findings: &'a AuditFindings, pictures: &'a Pictures) -> Section<'a> {
    let article = |group: &'a NearDuplicates| Article {
        title: if group.labels_agree {
            "The labels agree".into()
        } else {
            "The labels differ".into()
        },
        text: format!(
            "{} photos{}; correlation {:.2}",
            group.photos.len(),
            if group.mirrored {
                "; one is a mirror image"
            } else {
                ""
            },
            group.correlation
        ),
        is_bad: !group.labels_agree,
        rows: vec![group.photos.iter().map(|p| pictures.show(p, "")).collect()],
    };
    Section {
        id: "near-duplicates",
        title: "Near-duplicate photos",
        text: "The same picture twice, or a moment later. Copies count as one photo in all other checks.",
        count: findings.near_duplicates.len(),
        articles: shown(&findings.near_duplicates).map(article).collect(),
    }
}

fn duplicate_identities<'a>(
    id: &'static str,
    title: &'static str,
    text: &'static str,
    found: &'a [DuplicateIdentity],
    pictures: &'a Pictures,
) -> Section<'a> {
    let article = |found: &'a DuplicateIdentity| {
        let within = found
            .within_whale_quantile
            .map_or_else(String::new, |quantile| {
                format!(
                    "; {:.0} % of whales are less similar within themselves",
                    quantile * 100.0
                )
            });
        Article {
            title: found.whales.join(" and "),
            text: format!(
                "Similarity {:.2}{within}; {} false pairs expected at this similarity or above",
                found.score,
                expected(found.expected_false)
            ),
            is_bad: false,
            rows: found
                .photos
                .iter()
                .map(|pair| pair.iter().map(|p| pictures.show(p, "")).collect())
                .collect(),
        }
    };
    Section {
        id,
        title,
        text,
        count: found.len(),
        articles: shown(found).map(article).collect(),
    }
}

fn mislabelled<'a>(findings: &'a AuditFindings, pictures: &'a Pictures) -> Section<'a> {
    let article = |m: &'a crate::audit::findings::Mislabelled| Article {
        title: format!(
            "{} is labelled {} and looks like {}",
            m.photo.photo,
            whale(&m.photo),
            m.looks_like
        ),
        text: format!(
            "Nearest photo of the labelled whale {:.2}, of the other {:.2}, difference {:.2}; {} of the {} \
             nearest photos show the other; {} false findings expected that are as strong",
            m.own_score,
            m.other_score,
            m.margin,
            m.agreeing,
            m.nearest,
            expected(m.expected_false)
        ),
        is_bad: false,
        rows: vec![vec![
            pictures.show(&m.photo, "suspect"),
            pictures.show(&m.nearest_own, "nearest of the labelled whale"),
            pictures.show(&m.nearest_other, "nearest of the other"),
        ]],
    };
    Section {
        id: "mislabelled",
        title: "Photos that may be mislabelled",
        text: "Far from the photos of their labelled whale and near another whale.",
        count: findings.mislabelled.len(),
        articles: shown(&findings.mislabelled).map(article).collect(),
    }
}

fn shown<T>(findings: &[T]) -> impl Iterator<Item = &T> {
    findings.iter().take(MAX_SHOWN)
}

/// The pictures of all findings that are shown.
fn pictures(findings: &AuditFindings, photos: &[LabelledPhoto]) -> Pictures {
    let identities = shown(&findings.duplicate_identities)
        .chain(shown(&findings.single_photo_matches))
        .flat_map(|found| &found.photos)
        .flatten();
    let positions: BTreeSet<usize> = shown(&findings.near_duplicates)
        .flat_map(|group| &group.photos)
        .chain(identities)
        .chain(
            shown(&findings.mislabelled).flat_map(|m| [&m.photo, &m.nearest_own, &m.nearest_other]),
        )
        .map(|p| p.position)
        .collect();
    Pictures(
        positions
            .into_par_iter()
            .filter_map(|position| Some((position, data_url::fluke(&photos[position])?)))
            .collect(),
    )
}

fn expected(number: f64) -> String {
    if number < 0.01 {
        "fewer than 0.01".into()
    } else {
        format!("{number:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::photos::Unreadable;

    #[test]
    fn names_are_escaped_and_nothing_is_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let evil = "<img src=x onerror=alert(1)>\"'&";
        let photos: Vec<LabelledPhoto> = (0..2)
            .map(|i| {
                let path = dir.path().join(format!("{i}.png"));
                image::RgbImage::from_pixel(40, 20, image::Rgb([i * 90, 50, 60]))
                    .save(&path)
                    .unwrap();
                LabelledPhoto {
                    path,
                    name: evil.into(),
                    whale: Some(evil.into()),
                    region: None,
                    date: None,
                    encounter: None,
                }
            })
            .collect();
        let photo = |position| PhotoRef {
            photo: evil.into(),
            whale: Some(evil.into()),
            position,
        };
        let findings = AuditFindings {
            unreadable: vec![Unreadable {
                photo: evil.into(),
                reason: evil.into(),
            }],
            near_duplicates: vec![NearDuplicates {
                photos: vec![photo(0), photo(1)],
                labels_agree: true,
                mirrored: false,
                correlation: 0.9,
            }],
            notes: vec![evil.into()],
            ..AuditFindings::default()
        };
        let page = html(&findings, &photos, evil).unwrap();
        assert!(!page.contains("<img src=x") && !page.contains("\"'&"));
        assert_eq!(page.matches("data:image/jpeg;base64,/9j/").count(), 2);
        assert!(!page.contains("http") && !page.contains("<script"));
    }
}
