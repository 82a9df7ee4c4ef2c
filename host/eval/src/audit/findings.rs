//! The findings of an audit, under the names of the collection.

use crate::audit::copies::{self, CopyPair, CopyRule};
use crate::audit::identities::{self, IdentityPair};
use crate::audit::neighbourhood::{NamedPhotos, neighbourhoods};
use crate::audit::photos::{AuditPhotos, PhotoFeatures, Unreadable};
use crate::audit::suspect_labels::{self, SuspectLabel};
use flukewatch_common::bundle::View;
use flukewatch_dataset::LabelledPhoto;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// All findings of an audit, by kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AuditFindings {
    /// Number of readable photos.
    pub photos: usize,
    /// Number of named whales among them.
    pub whales: usize,
    /// Photos that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Groups of near-duplicate photos.
    pub near_duplicates: Vec<NearDuplicates>,
    /// Pairs of whales with two photos or more that may be one whale.
    pub duplicate_identities: Vec<DuplicateIdentity>,
    /// Photos that look like another whale.
    pub mislabelled: Vec<Mislabelled>,
    /// Whales with a single photo, each with the whale that it may be.
    pub single_photo_matches: Vec<DuplicateIdentity>,
    /// Checks that were not possible, and why.
    pub notes: Vec<String>,
}

/// A photo by its name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhotoRef {
    /// Name in the table.
    pub photo: String,
    /// Name of its labelled whale; `None` if unnamed.
    pub whale: Option<String>,
    /// Position among the readable photos.
    #[serde(skip)]
    pub position: usize,
}

/// Copies of one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NearDuplicates {
    /// The photos, two or more.
    pub photos: Vec<PhotoRef>,
    /// Whether all have the same label.
    pub labels_agree: bool,
    /// Whether one is the mirror image of another.
    pub mirrored: bool,
    /// Lowest correlation of the fine structure among the copies.
    pub correlation: f32,
}

/// Two identities that may be one whale.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DuplicateIdentity {
    /// Names of the two whales.
    pub whales: [String; 2],
    /// Similarity in [-1, 1].
    pub score: f32,
    /// Expected number of false pairs at this score or above.
    pub expected_false: f64,
    /// Fraction of whales whose two halves are less similar than these two; `None` if no whale has
    /// enough photos.
    pub within_whale_quantile: Option<f64>,
    /// The most similar pairs of photos.
    pub photos: Vec<[PhotoRef; 2]>,
}

/// A photo with a suspect label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mislabelled {
    /// The photo with the suspect label.
    pub photo: PhotoRef,
    /// Whale that it looks like.
    pub looks_like: String,
    /// `other_score - own_score`.
    pub margin: f32,
    /// Cosine of the nearest photo of its labelled whale.
    pub own_score: f32,
    /// Cosine of the nearest photo of the other whale.
    pub other_score: f32,
    /// Nearest photos that show the other whale.
    pub agreeing: usize,
    /// Number of nearest photos considered.
    pub nearest: usize,
    /// Expected number of false findings that are as strong.
    pub expected_false: f64,
    /// Nearest photo of its labelled whale.
    pub nearest_own: PhotoRef,
    /// Nearest photo of the other whale.
    pub nearest_other: PhotoRef,
}

impl AuditFindings {
    /// Number of findings of all kinds.
    pub fn count(&self) -> usize {
        self.unreadable.len()
            + self.near_duplicates.len()
            + self.duplicate_identities.len()
            + self.mislabelled.len()
            + self.single_photo_matches.len()
    }
}

/// Runs the audit. `views` are those of the embeddings, `rate` is the largest false discovery rate
/// of each kind of finding about identities.
pub fn find(audited: AuditPhotos, views: &[View], rate: f64) -> AuditFindings {
    AuditFindings {
        unreadable: audited.unreadable,
        ..find_in(&audited.photos, &audited.features, views, rate)
    }
}

fn find_in(
    photos: &[LabelledPhoto],
    features: &[PhotoFeatures],
    views: &[View],
    rate: f64,
) -> AuditFindings {
    let copies = copies::find(features, views, &CopyRule::default());
    let groups = copies::groups(photos.len(), &copies);
    let mut group_of: Vec<usize> = (0..photos.len()).collect();
    for group in &groups {
        group.iter().for_each(|&p| group_of[p] = group[0]);
    }

    // From here on, only named photos count, and they are numbered separately.
    let (named, labels): (Vec<usize>, Vec<&str>) = photos
        .iter()
        .enumerate()
        .filter_map(|(p, photo)| Some((p, photo.whale.as_deref()?)))
        .unzip();
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, &whale) in labels.iter().enumerate() {
        members.entry(whale).or_default().push(i);
    }
    let names: Vec<&str> = members.keys().copied().collect();
    let photos_of: Vec<Vec<usize>> = members.into_values().collect();
    let mut whale_of = vec![0; named.len()];
    for (whale, members) in photos_of.iter().enumerate() {
        members.iter().for_each(|&i| whale_of[i] = whale);
    }
    let embeddings: Vec<_> = named
        .iter()
        .map(|&p| features[p].embedding.clone())
        .collect();
    let copy_of: Vec<usize> = named.iter().map(|&p| group_of[p]).collect();
    let all = NamedPhotos {
        whale_of: &whale_of,
        photos_of: &photos_of,
        embeddings: &embeddings,
        copy_of: &copy_of,
    };
    let (of_photos, of_whales) = neighbourhoods(&all);

    let halves = identities::halves(&all);
    let mut notes = vec![];
    let mut or_note = |found: Option<Vec<IdentityPair>>, what: &str| {
        found.unwrap_or_else(|| {
            notes.push(format!("too few {what}"));
            vec![]
        })
    };
    let pairs = or_note(
        identities::pairs(&all, &of_whales, &halves, rate),
        "whales with two photos to find duplicate identities",
    );
    let singles = or_note(
        identities::singles(&all, &of_whales, &halves, rate),
        "whales with a single photo to match them with others",
    );
    let duplicates: BTreeSet<(usize, usize)> = pairs
        .iter()
        .flat_map(|p| [p.whales, (p.whales.1, p.whales.0)])
        .collect();
    let one_whale = |a, b| duplicates.contains(&(a, b));
    let suspects = suspect_labels::find(&all, &of_photos, one_whale, rate).unwrap_or_else(|| {
        notes.push("too few photos to find mislabelled ones".into());
        vec![]
    });

    let name = |position: usize| PhotoRef {
        photo: photos[position].name.clone(),
        whale: photos[position].whale.clone(),
        position,
    };
    let duplicate_identity = |pair: IdentityPair| DuplicateIdentity {
        whales: [pair.whales.0, pair.whales.1].map(|w| names[w].to_owned()),
        score: pair.score,
        expected_false: pair.expected_false,
        within_whale_quantile: identities::within_whale_quantile(&halves, pair.score),
        photos: pair
            .photos
            .into_iter()
            .map(|(a, b)| [name(named[a]), name(named[b])])
            .collect(),
    };
    let mislabelled = |suspect: SuspectLabel| Mislabelled {
        photo: name(named[suspect.photo]),
        looks_like: names[suspect.looks_like].to_owned(),
        margin: suspect.margin(),
        own_score: suspect.own.0,
        other_score: suspect.other.0,
        agreeing: suspect.agreeing,
        nearest: suspect.nearest,
        expected_false: suspect.expected_false,
        nearest_own: name(named[suspect.own.1]),
        nearest_other: name(named[suspect.other.1]),
    };
    AuditFindings {
        photos: photos.len(),
        whales: names.len(),
        unreadable: vec![],
        near_duplicates: groups
            .iter()
            .map(|group| near_duplicates(group, &copies, name))
            .collect(),
        duplicate_identities: pairs.into_iter().map(duplicate_identity).collect(),
        mislabelled: suspects.into_iter().map(mislabelled).collect(),
        single_photo_matches: singles.into_iter().map(duplicate_identity).collect(),
        notes,
    }
}

fn near_duplicates(
    group: &[usize],
    copies: &[CopyPair],
    name: impl Fn(usize) -> PhotoRef,
) -> NearDuplicates {
    let within: Vec<_> = copies
        .iter()
        .filter(|c| group.binary_search(&c.photos.0).is_ok())
        .collect();
    let photos: Vec<PhotoRef> = group.iter().map(|&p| name(p)).collect();
    NearDuplicates {
        labels_agree: photos.iter().all(|p| p.whale == photos[0].whale),
        photos,
        mirrored: within.iter().any(|c| c.mirrored),
        correlation: within
            .iter()
            .map(|c| c.correlation)
            .fold(f32::INFINITY, f32::min),
    }
}

#[cfg(test)]
mod tests;
