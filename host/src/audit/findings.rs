//! What an audit finds, in the collection's own names.

use super::copies::{self, CopyRule, Look};
use super::identities::{self, Pair};
use super::labels::{self, Doubt};
use super::neighbours::{Labelled, look_around};
use crate::dataset::LabelledPhoto;
use flukewatch_common::bundle::View;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    /// Photos looked at.
    pub photos: usize,
    /// Named whales among them.
    pub whales: usize,
    /// Photos that cannot be used.
    pub unreadable: Vec<Unreadable>,
    /// Groups of copies.
    pub near_identical: Vec<NearIdentical>,
    /// Pairs of whales with two photos or more that look like one.
    pub one_whale: Vec<OneWhale>,
    /// Photos that look like another whale.
    pub mislabelled: Vec<Mislabelled>,
    /// Whales with a single photo, each with the whale that it looks like.
    pub single_photo: Vec<OneWhale>,
    /// What could not be said, and why.
    pub notes: Vec<String>,
}

/// A photo that cannot be used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unreadable {
    /// Its name in the table.
    pub photo: String,
    /// Why.
    pub reason: String,
}

/// A photo by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named {
    /// Its name in the table.
    pub photo: String,
    /// The whale that it is said to show.
    pub whale: Option<String>,
    /// Its position among the photos looked at.
    #[serde(skip)]
    pub position: usize,
}

/// Photos that are one picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NearIdentical {
    /// Two or more.
    pub photos: Vec<Named>,
    /// Whether all are said to show the same whale.
    pub labels_agree: bool,
    /// Whether one is another's mirror image.
    pub mirrored: bool,
    /// The lowest correlation of the fine structure by which the group hangs together.
    pub correlation: f32,
}

/// Two identities that may be one whale.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OneWhale {
    /// Their names.
    pub whales: [String; 2],
    /// How alike they are, -1..=1.
    pub score: f32,
    /// False pairs to expect at this score or above.
    pub expected_false: f64,
    /// The share of whales whose two halves are less alike than these two; absent where no whale has enough photos.
    pub less_alike_within: Option<f64>,
    /// The photos that are most alike.
    pub photos: Vec<[Named; 2]>,
}

/// A photo that looks like another whale.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mislabelled {
    /// The photo.
    pub photo: Named,
    /// The whale that it looks like.
    pub looks_like: String,
    /// By how much it is nearer to that whale.
    pub margin: f32,
    /// The cosine of its nearest photo of its own whale.
    pub own_score: f32,
    /// That of the other.
    pub other_score: f32,
    /// Of the nearest photos, how many show the other whale.
    pub agree: usize,
    /// Nearest photos looked at.
    pub nearest: usize,
    /// False findings to expect that are as strong.
    pub expected_false: f64,
    /// The nearest photo of its own whale.
    pub nearest_own: Named,
    /// The nearest photo of the other.
    pub nearest_other: Named,
}

impl Findings {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.unreadable.len()
            + self.near_identical.len()
            + self.one_whale.len()
            + self.mislabelled.len()
            + self.single_photo.len()
    }
}

/// Looks for everything in `photos`, each with its look; of each kind of finding about identities at most the share `rate` is
/// expected to be false. `views` are those of the embeddings.
pub fn find(photos: &[LabelledPhoto], looks: &[Look], views: &[View], rate: f64) -> Findings {
    let copies = copies::find(looks, views, &CopyRule::default());
    let groups = copies::groups(photos.len(), &copies);
    let mut group_of: Vec<usize> = (0..photos.len()).collect();
    for group in &groups {
        group.iter().for_each(|&p| group_of[p] = group[0]);
    }

    // From here on only named photos count, under numbers of their own.
    let named: Vec<usize> = (0..photos.len())
        .filter(|&p| photos[p].whale.is_some())
        .collect();
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, &p) in named.iter().enumerate() {
        let whale = photos[p].whale.as_deref().unwrap_or_default();
        members.entry(whale).or_default().push(i);
    }
    let names: Vec<&str> = members.keys().copied().collect();
    let photos_of: Vec<Vec<usize>> = members.into_values().collect();
    let mut whale_of = vec![0; named.len()];
    for (whale, members) in photos_of.iter().enumerate() {
        members.iter().for_each(|&i| whale_of[i] = whale);
    }
    let embeddings: Vec<_> = named.iter().map(|&p| looks[p].embedding.clone()).collect();
    let copy_of: Vec<usize> = named.iter().map(|&p| group_of[p]).collect();
    let all = Labelled {
        whale_of: &whale_of,
        photos_of: &photos_of,
        embeddings: &embeddings,
        copy_of: &copy_of,
    };
    let (around_photos, around_whales) = look_around(&all);

    let halves = identities::halves(&all);
    let mut notes = vec![];
    let mut or_note = |found: Option<Vec<Pair>>, what: &str| {
        found.unwrap_or_else(|| {
            notes.push(format!(
                "too few {what}: chance cannot be told from likeness"
            ));
            vec![]
        })
    };
    let pairs = or_note(
        identities::pairs(&all, &around_whales, &halves, rate),
        "whales with two photos to look for identities that are one",
    );
    let singles = or_note(
        identities::singles(&all, &around_whales, &halves, rate),
        "whales with a single photo to look for those that look like another",
    );
    let one: BTreeSet<(usize, usize)> = pairs
        .iter()
        .flat_map(|p| [p.whales, (p.whales.1, p.whales.0)])
        .collect();
    let doubts = labels::doubts(&all, &around_photos, |a, b| one.contains(&(a, b)), rate)
        .unwrap_or_else(|| {
            notes.push("too few photos to look for wrong labels".into());
            vec![]
        });

    let name = |position: usize| Named {
        photo: photos[position].name.clone(),
        whale: photos[position].whale.clone(),
        position,
    };
    let one_whale = |pair: Pair| OneWhale {
        whales: [pair.whales.0, pair.whales.1].map(|w| names[w].to_owned()),
        score: pair.score,
        expected_false: pair.expected_false,
        less_alike_within: identities::less_alike_within(&halves, pair.score),
        photos: pair
            .photos
            .into_iter()
            .map(|(a, b)| [name(named[a]), name(named[b])])
            .collect(),
    };
    let mislabelled = |doubt: Doubt| Mislabelled {
        photo: name(named[doubt.photo]),
        looks_like: names[doubt.looks_like].to_owned(),
        margin: doubt.margin(),
        own_score: doubt.own.0,
        other_score: doubt.other.0,
        agree: doubt.agree,
        nearest: doubt.nearest,
        expected_false: doubt.expected_false,
        nearest_own: name(named[doubt.own.1]),
        nearest_other: name(named[doubt.other.1]),
    };
    Findings {
        photos: photos.len(),
        whales: names.len(),
        unreadable: vec![],
        near_identical: groups
            .iter()
            .map(|group| near_identical(group, &copies, name))
            .collect(),
        one_whale: pairs.into_iter().map(one_whale).collect(),
        mislabelled: doubts.into_iter().map(mislabelled).collect(),
        single_photo: singles.into_iter().map(one_whale).collect(),
        notes,
    }
}

fn near_identical(
    group: &[usize],
    copies: &[copies::Copy],
    name: impl Fn(usize) -> Named,
) -> NearIdentical {
    let within: Vec<_> = copies
        .iter()
        .filter(|c| group.binary_search(&c.photos.0).is_ok())
        .collect();
    let photos: Vec<Named> = group.iter().map(|&p| name(p)).collect();
    NearIdentical {
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
