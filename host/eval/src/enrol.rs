//! Enrolment: photos of known whales are added to a catalogue, and a decision rule is fitted to it.

use crate::embed::{self, EmbedError};
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::matching::with_local_of;
use crate::protocols::leave_one_out::{CatalogueScores, scores_of};
use flukewatch_common::bundle::Bundle;
use flukewatch_common::catalogue::{Catalogue, CatalogueError, Enrolled};
use flukewatch_common::decision::{Calibrator, Curve, DecisionRule, ErrorLimits};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::{LocalCatalogue, LocalPhotos, LocalPhotosError};
use flukewatch_dataset::{Dataset, LabelledPhoto};
use std::collections::HashSet;

/// Why photos cannot be enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A photo, or the model.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// An entry that the catalogue does not accept.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Descriptors that cannot be read or stored.
    #[error(transparent)]
    Local(#[from] LocalPhotosError),
}

/// A catalogue with new photos.
#[derive(Debug)]
pub struct Enrolment {
    /// The bundle's catalogue and the new photos.
    pub catalogue: Catalogue,
    /// The descriptors of its photos, if the bundle has local matching.
    pub local: Option<LocalPhotos>,
    /// Photos of unknown whales, not enrolled.
    pub unnamed: usize,
    /// Photos that were in the catalogue already.
    pub already_enrolled: usize,
}

/// Adds the named photos of `dataset` to the bundle's catalogue.
///
/// # Errors
/// If the model cannot be loaded, or a photo cannot be embedded.
pub fn enrol(
    bundle: &Bundle,
    dataset: &Dataset,
    source: &str,
    quiet: bool,
) -> Result<Enrolment, EnrolError> {
    let mut catalogue = bundle.catalogue.clone();
    let mut local = bundle.local.clone();
    let present: HashSet<(String, String)> = catalogue
        .entries()
        .iter()
        .map(|e| (e.whale.clone(), e.photo.clone()))
        .collect();
    let named: Vec<(&str, &LabelledPhoto)> = dataset
        .photos
        .iter()
        .filter_map(|photo| Some((photo.whale.as_deref()?, photo)))
        .collect();
    let (whales, photos): (Vec<&str>, Vec<LabelledPhoto>) = named
        .iter()
        .filter(|(whale, photo)| !present.contains(&((*whale).to_owned(), photo.name.clone())))
        .map(|(whale, photo)| (*whale, (*photo).clone()))
        .unzip();
    let queries = embed::all_embedded(bundle, &photos, quiet)?;
    for ((whale, photo), query) in whales.iter().zip(&photos).zip(queries) {
        let entry = Enrolled {
            whale: (*whale).to_owned(),
            photo: photo.name.clone(),
            source: source.to_owned(),
        };
        if let (Some(local), Some(descriptors)) = (&mut local, &query.local) {
            local.push(&entry, descriptors)?;
        }
        catalogue.enrol(entry, &query.embedding)?;
    }
    if let (Some(photos), Some(info)) = (&mut local, &bundle.manifest.local) {
        let compared = LocalCatalogue {
            photos,
            score: &info.score,
        };
        let labelled = with_local_of(of_catalogue(&catalogue), compared)?;
        photos.set_norms(labelled.norms());
    }
    Ok(Enrolment {
        catalogue,
        local,
        unnamed: dataset.photos.len() - named.len(),
        already_enrolled: named.len() - photos.len(),
    })
}

/// Fits thresholds and calibrator to the catalogue: each photo is searched among the others, with
/// its own whale in the gallery for a known one and without it for a new one. Whales are scored as
/// in the old rule. `None` if too few whales have two photos.
pub fn fit_rule(catalogue: &Catalogue, old: &DecisionRule) -> Option<DecisionRule> {
    fit_rule_to(catalogue, of_catalogue(catalogue), old)
}

/// Like [`fit_rule`], for a catalogue whose whales are scored by descriptors as well.
///
/// # Errors
/// If descriptors are damaged.
pub fn fit_rule_with_local(
    catalogue: &Catalogue,
    local: LocalCatalogue<'_>,
    old: &DecisionRule,
) -> Result<Option<DecisionRule>, LocalPhotosError> {
    let photos = with_local_of(of_catalogue(catalogue), local)?;
    Ok(fit_rule_to(catalogue, photos, old))
}

fn of_catalogue(catalogue: &Catalogue) -> LabelledEmbeddings {
    LabelledEmbeddings::of_catalogue(catalogue).expect("a catalogue holds valid embeddings")
}

fn fit_rule_to(
    catalogue: &Catalogue,
    photos: LabelledEmbeddings,
    old: &DecisionRule,
) -> Option<DecisionRule> {
    let CatalogueScores {
        known,
        impostor,
        rankings,
    } = scores_of(&photos.scored_by(old.whale_score));
    let fitted_on = format!(
        "the catalogue itself, leave one out: {} known and {} new queries of {} whales",
        known.len(),
        impostor.len(),
        catalogue.whales()
    );
    let rule = DecisionRule::fit(&known, &impostor, &ErrorLimits::default(), fitted_on)?;
    Some(DecisionRule {
        whale_score: old.whale_score,
        calibrator: Calibrator::fit(Curve::Logistic, &rankings),
        ..rule
    })
}

/// A catalogue of `(whale, photo, embedding)`.
///
/// # Errors
/// If an embedding has another dimension or a name is empty.
pub fn catalogue_of<'a>(
    dimension: usize,
    photos: impl Iterator<Item = (&'a str, &'a str, &'a Embedding)>,
) -> Result<Catalogue, CatalogueError> {
    let mut catalogue = Catalogue::new(dimension);
    for (whale, photo, embedding) in photos {
        let entry = Enrolled {
            whale: whale.to_owned(),
            photo: photo.to_owned(),
            source: String::new(),
        };
        catalogue.enrol(entry, embedding)?;
    }
    Ok(catalogue)
}
