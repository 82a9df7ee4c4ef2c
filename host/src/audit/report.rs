//! The report: one HTML file with every finding and its pictures, to be opened anywhere.

use super::findings::{Findings, Named, OneWhale};
use super::table::whale;
use crate::dataset::LabelledPhoto;
use crate::page::{escape, fluke_address};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Findings of each kind that are shown.
const SHOWN: usize = 200;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#14232e;--soft:#5b6b76;--card:#fff;--page:#eef2f4;--line:#d5dde2;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--ink:#e6edf1;--soft:#9fb0bb;--card:#1b262d;--page:#11191e;--line:#2f3d46;--bad:#ff8a80}}\
body{margin:0 auto;max-width:1100px;padding:2rem 1.2rem;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2.2rem 0 .2rem}p{margin:.3rem 0;color:var(--soft)}\
nav{display:flex;flex-wrap:wrap;gap:.6rem;margin:1.2rem 0}nav a{background:var(--card);border:1px solid var(--line);\
border-radius:8px;padding:.5rem .8rem;color:inherit;text-decoration:none}nav b{font-size:1.2rem;margin-right:.4rem}\
article{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem 1rem;margin:.8rem 0}\
article h3{font-size:1rem;margin:0;overflow-wrap:anywhere}article.bad{border-left:4px solid var(--bad)}\
.row{display:flex;flex-wrap:wrap;gap:.8rem;margin-top:.5rem}figure{margin:0;width:min(320px,100%)}\
img,.none{width:100%;aspect-ratio:2;object-fit:contain;background:#0a1014;border-radius:6px;display:block}\
.none{color:#9fb0bb;display:grid;place-items:center}figcaption{font-size:.85rem;color:var(--soft);overflow-wrap:anywhere}\
figcaption b{color:var(--ink)}";

/// The whole page. `photos` are those that the findings' positions point at; `source` says what was audited.
pub fn html(findings: &Findings, photos: &[LabelledPhoto], source: &str) -> String {
    let pictures = pictures(findings, photos);
    let figure = |photo: &Named, role: &str| figure(photo, role, &pictures);
    let mut kinds: Vec<(&str, &str, &str, usize, String)> = vec![];

    let unreadable = findings
        .unreadable
        .iter()
        .map(|u| {
            let (photo, reason) = (escape(&u.photo), escape(&u.reason));
            format!("<article class=bad><h3>{photo}</h3><p>{reason}</p></article>")
        })
        .take(SHOWN)
        .collect();
    kinds.push((
        "unreadable",
        "Photos that cannot be used",
        "They took no part in what follows.",
        findings.unreadable.len(),
        unreadable,
    ));

    let copies = findings
        .near_identical
        .iter()
        .take(SHOWN)
        .map(|group| {
            let figures: String = group.photos.iter().map(|p| figure(p, "")).collect();
            let (class, says) = if group.labels_agree {
                ("", "The labels agree")
            } else {
                ("bad", "The labels differ")
            };
            let mirrored = if group.mirrored {
                "; one is a mirror image"
            } else {
                ""
            };
            format!(
                "<article class=\"{class}\"><h3>{says}</h3><p>{} photos{mirrored}; correlation {:.2}</p>\
                 <div class=row>{figures}</div></article>",
                group.photos.len(),
                group.correlation
            )
        })
        .collect();
    kinds.push((
        "copies",
        "Near-identical photos",
        "The same picture twice, or a moment later. Copies count as one photo in all that follows.",
        findings.near_identical.len(),
        copies,
    ));

    let pair = |found: &OneWhale| {
        let figures: String = found
            .photos
            .iter()
            .map(|[a, b]| format!("<div class=row>{}{}</div>", figure(a, ""), figure(b, "")))
            .collect();
        let within = match found.less_alike_within {
            Some(share) => format!(
                "; {:.0} % of whales are less alike within themselves",
                share * 100.0
            ),
            None => String::new(),
        };
        format!(
            "<article><h3>{} and {}</h3><p>Likeness {:.2}{within}; {} false pairs are to be expected at this likeness or above</p>\
             {figures}</article>",
            escape(&found.whales[0]),
            escape(&found.whales[1]),
            found.score,
            few(found.expected_false)
        )
    };
    let section = |all: &[OneWhale]| all.iter().take(SHOWN).map(pair).collect::<String>();
    kinds.push((
        "pairs",
        "Identities that look like one whale",
        "Each is the other's most alike. Compare the photos that lie side by side.",
        findings.one_whale.len(),
        section(&findings.one_whale),
    ));

    let mislabelled = findings
        .mislabelled
        .iter()
        .take(SHOWN)
        .map(|m| {
            format!(
                "<article><h3>{} is named {} and looks like {}</h3><p>Nearest photo of the named whale {:.2}, of the other {:.2}, \
                 margin {:.2}; {} of the {} nearest photos show the other; {} false ones to expect as strong</p>\
                 <div class=row>{}{}{}</div></article>",
                escape(&m.photo.photo),
                escape(&whale(&m.photo)),
                escape(&m.looks_like),
                m.own_score,
                m.other_score,
                m.margin,
                m.agree,
                m.nearest,
                few(m.expected_false),
                figure(&m.photo, "in doubt"),
                figure(&m.nearest_own, "nearest of the named whale"),
                figure(&m.nearest_other, "nearest of the other")
            )
        })
        .collect();
    kinds.push((
        "mislabelled",
        "Photos that look mislabelled",
        "Far from the whale that they are named after and near another.",
        findings.mislabelled.len(),
        mislabelled,
    ));
    kinds.push((
        "singles",
        "Whales with a single photo that look like another whale",
        "There is no second photo to stand by the name.",
        findings.single_photo.len(),
        section(&findings.single_photo),
    ));
    page(findings, &kinds, source)
}

fn page(findings: &Findings, kinds: &[(&str, &str, &str, usize, String)], source: &str) -> String {
    let mut body = format!(
        "<h1>Audit of {}</h1><p>{} photos of {} whales. A finding is a question, not a verdict: look at the photos.</p><nav>",
        escape(source),
        findings.photos,
        findings.whales
    );
    for (id, title, _, count, _) in kinds {
        body += &format!("<a href=\"#{id}\"><b>{count}</b>{title}</a>");
    }
    body += "</nav>";
    for note in &findings.notes {
        body += &format!("<p>Note: {}.</p>", escape(note));
    }
    for (id, title, about, count, articles) in kinds {
        body += &format!("<section id=\"{id}\"><h2>{title}: {count}</h2>");
        if *count > 0 {
            body += &format!("<p>{about}</p>{articles}");
        }
        if *count > SHOWN {
            body += &format!("<p>And {} more: --csv lists all.</p>", count - SHOWN);
        }
        body += "</section>";
    }
    format!(
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Audit of {}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(source)
    )
}

fn figure(photo: &Named, role: &str, pictures: &BTreeMap<usize, String>) -> String {
    let picture = match pictures.get(&photo.position) {
        Some(data) => format!("<img src=\"{data}\" alt=\"\">"),
        None => "<div class=none>no picture</div>".into(),
    };
    let role = if role.is_empty() {
        String::new()
    } else {
        format!(" · {role}")
    };
    format!(
        "<figure>{picture}<figcaption><b>{}</b>{role}<br>{}</figcaption></figure>",
        escape(&whale(photo)),
        escape(&photo.photo)
    )
}

/// The addresses of the pictures of all findings that are shown, by the position of their photo.
fn pictures(findings: &Findings, photos: &[LabelledPhoto]) -> BTreeMap<usize, String> {
    let copies = findings.near_identical.iter().take(SHOWN);
    let pairs = findings.one_whale.iter().take(SHOWN);
    let singles = findings.single_photo.iter().take(SHOWN);
    let doubts = findings.mislabelled.iter().take(SHOWN);
    let wanted: BTreeSet<usize> = copies
        .flat_map(|g| &g.photos)
        .chain(pairs.chain(singles).flat_map(|o| &o.photos).flatten())
        .chain(doubts.flat_map(|m| [&m.photo, &m.nearest_own, &m.nearest_other]))
        .map(|p| p.position)
        .collect();
    wanted
        .into_par_iter()
        .filter_map(|position| Some((position, fluke_address(photos.get(position)?)?)))
        .collect()
}

/// A number of expected findings: two digits while it is small.
fn few(expected: f64) -> String {
    if expected < 0.01 {
        "fewer than 0.01".into()
    } else {
        format!("{expected:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::findings::{NearIdentical, Unreadable};

    #[test]
    fn what_comes_from_outside_is_escaped_and_nothing_is_fetched() {
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
        let named = |position| Named {
            photo: evil.into(),
            whale: Some(evil.into()),
            position,
        };
        let findings = Findings {
            unreadable: vec![Unreadable {
                photo: evil.into(),
                reason: evil.into(),
            }],
            near_identical: vec![NearIdentical {
                photos: vec![named(0), named(1)],
                labels_agree: true,
                mirrored: false,
                correlation: 0.9,
            }],
            notes: vec![evil.into()],
            ..Findings::default()
        };
        let page = html(&findings, &photos, evil);
        assert!(!page.contains("<img src=x") && !page.contains("\"'&"));
        assert_eq!(page.matches("data:image/jpeg;base64,/9j/").count(), 2);
        assert!(!page.contains("http") && !page.contains("<script"));
    }
}
