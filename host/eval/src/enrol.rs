//! Enrolment: photos of known whales are added to a catalogue, and a decision rule is fitted to it.

use crate::audit::near_duplicates::first_copies;
use crate::embed::{self, EmbedError};
use crate::gallery::label::PhotoLabel;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::matching::with_local_of;
use crate::protocols::leave_one_out::{CatalogueScores, scores_of};
use flukewatch_common::bundle::{Bundle, View};
use flukewatch_common::catalogue::{Catalogue, CatalogueError, Enrolled};
use flukewatch_common::decision::{Curve, DecisionRule, ErrorLimits, fit_probability};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::{LocalCatalogue, LocalPhotos, LocalPhotosError};
use flukewatch_common::prepare::Preparation;
use flukewatch_dataset::{Dataset, DatasetError, LabelledPhoto};
use std::collections::HashSet;

/// Why photos cannot be enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// A photo, or the model.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A photo or its date.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
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
/// If the model cannot be loaded, a photo cannot be embedded, or a date cannot be read.
pub fn enrol(
    bundle: &Bundle,
    dataset: &Dataset,
    source: &str,
    quiet: bool,
) -> Result<Enrolment, EnrolError> {
    let mut catalogue = bundle.catalogue.clone();
    let mut local = bundle.local.clone();
    let present: HashSet<(&str, &str)> = bundle
        .catalogue
        .entries()
        .iter()
        .map(|e| (e.whale.as_str(), e.photo.as_str()))
        .collect();
    let named = || {
        let photos = dataset.photos.iter();
        photos.filter_map(|photo| Some((photo.whale.as_deref()?, photo)))
    };
    let photos: Vec<LabelledPhoto> = named()
        .filter(|(whale, photo)| !present.contains(&(*whale, photo.name.as_str())))
        .map(|(_, photo)| photo.clone())
        .collect();
    // Before the work: a date that cannot be read is an error.
    photos
        .iter()
        .try_for_each(|photo| PhotoLabel::dated(photo).map(drop))?;
    let embedded = embed::all_embedded(bundle, &photos, quiet)?;
    let embeddings: Vec<Embedding> = embedded.iter().map(|p| p.embedding.clone()).collect();
    let old = catalogue.len();
    let new = NewPhotos {
        photos: &photos,
        embeddings: &embeddings,
        views: &bundle.manifest.views,
        preparation: Some(&bundle.manifest.preparation),
        source,
    };
    new.add_to(&mut catalogue)?;
    if let (Some(local), Some(info)) = (&mut local, &bundle.manifest.local) {
        for (entry, photo) in catalogue.entries().iter().skip(old).zip(&embedded) {
            if let Some(descriptors) = &photo.local {
                local.push(entry, descriptors)?;
            }
        }
        let compared = LocalCatalogue {
            photos: local,
            score: &info.score,
        };
        let labelled = with_local_of(of_catalogue(&catalogue), compared)?;
        local.set_norms(labelled.norms().values());
    }
    Ok(Enrolment {
        catalogue,
        local,
        unnamed: dataset.photos.len() - named().count(),
        already_enrolled: named().count() - photos.len(),
    })
}

/// Photos to be enrolled.
struct NewPhotos<'a> {
    photos: &'a [LabelledPhoto],
    embeddings: &'a [Embedding],
    /// The views of the embeddings.
    views: &'a [View],
    /// How they were prepared, to store the part of each photo that the model's input covers.
    preparation: Option<&'a Preparation>,
    source: &'a str,
}

impl NewPhotos<'_> {
    /// Adds those with a name, with their encounters, dates and near-duplicates.
    fn add_to(&self, catalogue: &mut Catalogue) -> Result<(), EnrolError> {
        let firsts = first_copies(self.photos, self.embeddings, self.views)?;
        for ((photo, embedding), first) in self.photos.iter().zip(self.embeddings).zip(firsts) {
            let label = PhotoLabel::dated(photo)?;
            let Some(whale) = label.whale else { continue };
            let area = self.preparation.map(|p| photo.input_area(p));
            let entry = Enrolled {
                whale,
                photo: label.name,
                source: self.source.to_owned(),
                encounter: label.encounter,
                date: label.date.map(|date| date.to_string()),
                near_duplicate_of: first.map(|first| self.photos[first].name.clone()),
                input_area: area.transpose()?,
            };
            catalogue.enrol(entry, embedding)?;
        }
        Ok(())
    }
}

/// Fits thresholds and calibrator to the catalogue: each encounter, of 1 to 5 photos as on the boat,
/// is searched among the others, with its own whale in the gallery for a known one and without it
/// for a new one. Whales are scored, and new ones expected, as in the old rule. `None` if too few
/// whales have two encounters.
pub fn fit_rule(catalogue: &Catalogue, old: &DecisionRule) -> Option<DecisionRule> {
    let purpose = RulePurpose {
        limits: ErrorLimits::default(),
        expected_new_whales: old.expected_new_whales(),
    };
    fit_rule_to(catalogue, of_catalogue(catalogue), old, &purpose)
}

/// What a user wants of a decision rule.
#[derive(Clone, Copy, Debug)]
pub struct RulePurpose {
    /// The limits that the thresholds keep.
    pub limits: ErrorLimits,
    /// The fraction of the whales that are met that is expected to be new, in 0..=1.
    pub expected_new_whales: f64,
}

/// Like [`fit_rule`] for a purpose of its own; whales are scored by `local` descriptors as well where
/// the bundle has them.
///
/// # Errors
/// If descriptors are damaged.
pub fn fit_rule_for(
    catalogue: &Catalogue,
    local: Option<LocalCatalogue<'_>>,
    old: &DecisionRule,
    purpose: &RulePurpose,
) -> Result<Option<DecisionRule>, LocalPhotosError> {
    let photos = of_catalogue(catalogue);
    let photos = match local {
        Some(local) => with_local_of(photos, local)?,
        None => photos,
    };
    Ok(fit_rule_to(catalogue, photos, old, purpose))
}

fn of_catalogue(catalogue: &Catalogue) -> LabelledEmbeddings {
    LabelledEmbeddings::of_catalogue(catalogue).expect("a catalogue holds valid embeddings")
}

fn fit_rule_to(
    catalogue: &Catalogue,
    photos: LabelledEmbeddings,
    old: &DecisionRule,
    purpose: &RulePurpose,
) -> Option<DecisionRule> {
    let CatalogueScores {
        known,
        impostor,
        rankings,
    } = scores_of(&photos.scored_by(old.whale_score));
    let fitted_on = format!(
        "the catalogue itself, leave one encounter out: {} known and {} new encounters of {} whales",
        known.len(),
        impostor.len(),
        catalogue.whales()
    );
    let rule = DecisionRule::fit(&known, &impostor, &purpose.limits, fitted_on)?;
    let probability = fit_probability(Curve::Logistic, &rankings, purpose.expected_new_whales);
    Some(
        DecisionRule {
            whale_score: old.whale_score,
            ..rule
        }
        .with_probability(probability),
    )
}

/// A catalogue of the named photos, with their encounters, dates and near-duplicates. `views` are
/// those of the embeddings.
///
/// # Errors
/// If an embedding has another dimension, or a photo or its date cannot be read.
pub fn catalogue_of(
    dimension: usize,
    photos: &[LabelledPhoto],
    embeddings: &[Embedding],
    views: &[View],
) -> Result<Catalogue, EnrolError> {
    let mut catalogue = Catalogue::new(dimension);
    let new = NewPhotos {
        photos,
        embeddings,
        views,
        preparation: None,
        source: "",
    };
    new.add_to(&mut catalogue)?;
    Ok(catalogue)
}
