//! Findings as text for the terminal and as CSV.

use crate::audit::findings::{AuditFindings, DuplicateIdentity, NearDuplicates, PhotoRef};
use std::fmt::Write;

/// Findings of each kind in the text.
const MAX_LINES: usize = 20;

struct Line {
    kind: &'static str,
    photos: Vec<String>,
    whales: Vec<String>,
    score: Option<f64>,
    expected_false: Option<f64>,
    note: String,
}

/// The findings as text, at most 20 of each kind.
pub fn text(findings: &AuditFindings) -> String {
    let mut text = String::new();
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(format!(
        "{} photos of {} whales",
        findings.photos, findings.whales
    ));
    for (title, lines) in sections(findings) {
        put(format!("\n{title}: {}", lines.len()));
        for line in lines.iter().take(MAX_LINES) {
            let mut shown = format!("  {}", line.photos.join("  "));
            if let Some(score) = line.score {
                let _ = write!(shown, "  {score:.3}");
            }
            put(format!("{shown}  {}", line.note));
        }
        if lines.len() > MAX_LINES {
            put(format!(
                "  and {} more; --report, --csv and --json show all",
                lines.len() - MAX_LINES
            ));
        }
    }
    for note in &findings.notes {
        put(format!("\nnote: {note}"));
    }
    text
}

/// The findings as CSV: `kind,photos,whales,score,expected_false,note`; several photos or whales
/// are separated by `;`.
///
/// # Errors
/// Never in practice: it is written to memory.
pub fn csv(findings: &AuditFindings) -> Result<Vec<u8>, csv::Error> {
    let mut table = csv::Writer::from_writer(vec![]);
    table.write_record([
        "kind",
        "photos",
        "whales",
        "score",
        "expected_false",
        "note",
    ])?;
    for (_, lines) in sections(findings) {
        for line in lines {
            let number = |n: Option<f64>| n.map(|n| format!("{n:.4}")).unwrap_or_default();
            table.write_record([
                line.kind,
                &line.photos.join(";"),
                &line.whales.join(";"),
                &number(line.score),
                &number(line.expected_false),
                &line.note,
            ])?;
        }
    }
    table
        .into_inner()
        .map_err(|e| csv::Error::from(std::io::Error::other(e.to_string())))
}

fn sections(findings: &AuditFindings) -> Vec<(&'static str, Vec<Line>)> {
    vec![
        (
            "unreadable photos",
            findings
                .unreadable
                .iter()
                .map(|u| Line {
                    kind: "unreadable",
                    photos: vec![u.photo.clone()],
                    whales: vec![],
                    score: None,
                    expected_false: None,
                    note: u.reason.clone(),
                })
                .collect(),
        ),
        (
            "near-duplicate photos",
            findings.near_duplicates.iter().map(copies).collect(),
        ),
        (
            "identities that may be one whale",
            findings
                .duplicate_identities
                .iter()
                .map(|o| pair("duplicate-identity", o))
                .collect(),
        ),
        (
            "photos that may be mislabelled",
            findings
                .mislabelled
                .iter()
                .map(|m| Line {
                    kind: "mislabelled",
                    photos: vec![m.photo.photo.clone()],
                    whales: vec![whale(&m.photo), m.looks_like.clone()],
                    score: Some(f64::from(m.margin)),
                    expected_false: Some(m.expected_false),
                    note: format!(
                        "labelled {}, looks like {} ({:.3} against {:.3}; {} of the {} nearest; see {})",
                        whale(&m.photo),
                        m.looks_like,
                        m.other_score,
                        m.own_score,
                        m.agreeing,
                        m.nearest,
                        m.nearest_other.photo
                    ),
                })
                .collect(),
        ),
        (
            "whales with a single photo that may be another whale",
            findings
                .single_photo_matches
                .iter()
                .map(|o| pair("single-photo", o))
                .collect(),
        ),
    ]
}

fn copies(group: &NearDuplicates) -> Line {
    let mut whales: Vec<String> = group.photos.iter().map(whale).collect();
    whales.sort();
    whales.dedup();
    let labels = if group.labels_agree {
        format!("all labelled {}", whales.join(", "))
    } else {
        format!("LABELS DIFFER: {}", whales.join(", "))
    };
    Line {
        kind: "near-duplicate",
        photos: group.photos.iter().map(|p| p.photo.clone()).collect(),
        whales,
        score: Some(f64::from(group.correlation)),
        expected_false: None,
        note: if group.mirrored {
            format!("{labels}; mirrored")
        } else {
            labels
        },
    }
}

fn pair(kind: &'static str, found: &DuplicateIdentity) -> Line {
    let [a, b] = &found.whales;
    let within = match found.within_whale_quantile {
        Some(quantile) => format!(
            "; {:.0} % of whales are less similar within themselves",
            quantile * 100.0
        ),
        None => String::new(),
    };
    Line {
        kind,
        photos: found
            .photos
            .iter()
            .flatten()
            .map(|p| p.photo.clone())
            .collect(),
        whales: vec![a.clone(), b.clone()],
        score: Some(f64::from(found.score)),
        expected_false: Some(found.expected_false),
        note: format!("{a} and {b}{within}"),
    }
}

/// The label of a photo.
pub fn whale(photo: &PhotoRef) -> String {
    photo
        .whale
        .clone()
        .unwrap_or_else(|| flukewatch_dataset::NEW_WHALE.to_owned())
}
