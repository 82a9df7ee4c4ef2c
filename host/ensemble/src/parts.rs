//! The photos of a table in three parts: one fits a classifier, one selects its settings, one reports
//! how good it is.
//!
//! Each part is a type, and so is what is computed on it: only the [`Rankings`] of a [`SelectPart`] have a
//! threshold, and only those of a [`ReportPart`] a MAP@5. A figure that chose something, or a choice
//! that saw the reported photos, does not compile.

use crate::classifier::PartSize;
use flukewatch_eval::metrics::map_at_5::precision_with_new_whale;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::marker::PhantomData;

/// Fraction of whales that are treated as new, in each of the two parts that are held out.
const NEW_WHALES: f64 = 0.1;
/// Minimum number of photos that remain of a whale with a held-out photo.
const REMAINING: usize = 2;

/// The photos of a whale.
#[derive(Clone, Debug, Default)]
pub(crate) struct WhalePhotos {
    /// Positions of the photos.
    pub(crate) photos: Vec<usize>,
    /// The encounter of each photo, where it is known.
    pub(crate) encounters: Vec<Option<String>>,
}

/// Photos that projection and layer are fitted on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FitPart(Vec<usize>);

/// Photos that the number of epochs and the threshold are selected on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SelectPart(HeldOut);

/// Photos that nothing was fitted or selected on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReportPart(HeldOut);

/// Photos outside of a [`FitPart`].
#[derive(Clone, Debug, Default, PartialEq)]
struct HeldOut {
    /// Of whales of the [`FitPart`].
    known: Vec<usize>,
    /// Of other whales.
    new: Vec<usize>,
}

/// A part that is held out.
pub(crate) trait HeldOutPart {
    /// Photos of whales that are in the [`FitPart`], too.
    fn known(&self) -> &[usize];
    /// Photos of whales that are not.
    fn new_whales(&self) -> &[usize];
    /// The number of both.
    fn size(&self) -> PartSize {
        PartSize {
            known: self.known().len(),
            new: self.new_whales().len(),
        }
    }
}

impl HeldOutPart for SelectPart {
    fn known(&self) -> &[usize] {
        &self.0.known
    }

    fn new_whales(&self) -> &[usize] {
        &self.0.new
    }
}

impl HeldOutPart for ReportPart {
    fn known(&self) -> &[usize] {
        &self.0.known
    }

    fn new_whales(&self) -> &[usize] {
        &self.0.new
    }
}

impl FitPart {
    /// All photos of these whales, for the classifier that is written: nothing remains to measure it.
    pub(crate) fn all(whales: &[WhalePhotos]) -> Self {
        Self(whales.iter().flat_map(|w| &w.photos).copied().collect())
    }

    /// Positions of the photos.
    pub(crate) fn photos(&self) -> &[usize] {
        &self.0
    }
}

/// All photos, each in one part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    pub(crate) fit: FitPart,
    pub(crate) select: SelectPart,
    pub(crate) report: ReportPart,
}

impl Parts {
    /// Splits the photos, at random from `seed`. Of one whale in ten all photos go to [`SelectPart`], of
    /// another one in ten to [`ReportPart`], as new whales; of the others one photo goes to one or the other,
    /// together with those of its encounter, if at least two remain. `unnamed` photos, whose
    /// whales nobody knows, are new whales of [`SelectPart`].
    pub(crate) fn of(whales: &[WhalePhotos], unnamed: &[usize], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut order: Vec<&WhalePhotos> = whales.iter().collect();
        order.shuffle(&mut rng);
        let new = (order.len() as f64 * NEW_WHALES).round() as usize;
        let (new_to_select, rest) = order.split_at(new);
        let (new_to_report, known) = rest.split_at(new);
        let all = |whales: &[&WhalePhotos]| -> Vec<usize> {
            whales.iter().flat_map(|w| &w.photos).copied().collect()
        };
        let mut fit = vec![];
        let mut select = HeldOut {
            known: vec![],
            new: [all(new_to_select), unnamed.to_vec()].concat(),
        };
        let mut report = HeldOut {
            known: vec![],
            new: all(new_to_report),
        };
        let mut to_select = true;
        for whale in known {
            let held_out = whale.held_out(&mut rng);
            fit.extend(whale.photos.iter().filter(|p| !held_out.contains(p)));
            if !held_out.is_empty() {
                let part = if to_select { &mut select } else { &mut report };
                part.known.extend(held_out);
                to_select = !to_select;
            }
        }
        Self {
            fit: FitPart(fit),
            select: SelectPart(select),
            report: ReportPart(report),
        }
    }
}

impl WhalePhotos {
    /// A photo at random and the others of its encounter; nothing if too few would remain.
    fn held_out(&self, rng: &mut ChaCha8Rng) -> Vec<usize> {
        if self.photos.len() <= REMAINING {
            return vec![];
        }
        let drawn = rng.random_range(0..self.photos.len());
        let encounter = self.encounters.get(drawn).and_then(Option::as_ref);
        let together = |at: usize| {
            at == drawn
                || (encounter.is_some()
                    && self.encounters.get(at).and_then(Option::as_ref) == encounter)
        };
        let held_out: Vec<usize> = (0..self.photos.len())
            .filter(|&at| together(at))
            .map(|at| self.photos[at])
            .collect();
        if self.photos.len() - held_out.len() < REMAINING {
            return vec![];
        }
        held_out
    }
}

/// The ranking of whales for a photo.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    /// Whales with their probabilities, best first.
    pub(crate) best: Vec<(usize, f32)>,
    /// The right whale; `None` for a new one.
    pub(crate) truth: Option<usize>,
}

/// The rankings of the photos of a part.
pub(crate) struct Rankings<P> {
    ranked: Vec<Ranked>,
    part: PhantomData<P>,
}

impl<P: HeldOutPart> Rankings<P> {
    /// Ranks all photos of a part: those at the given positions of known whales, then of new ones.
    pub(crate) fn of(part: &P, rank: impl Fn(&[usize]) -> Vec<Ranked>) -> Self {
        let positions = [part.known(), part.new_whales()].concat();
        Self {
            ranked: rank(&positions),
            part: PhantomData,
        }
    }

    /// MAP@5 if `new_whale` ranks by the threshold `at`, for the fraction `new_fraction` of new whales.
    /// `None` if known or new whales are missing.
    fn map_with(&self, at: f32, new_fraction: f64) -> Option<f64> {
        let new = self.ranked.iter().filter(|l| l.truth.is_none()).count();
        let known = self.ranked.len() - new;
        if new == 0 || known == 0 {
            return None;
        }
        let of_photo = |l: &Ranked| {
            let precision = precision_with_new_whale(l.best.iter().copied(), l.truth, at);
            match l.truth {
                None => precision * new_fraction / new as f64,
                Some(_) => precision * (1.0 - new_fraction) / known as f64,
            }
        };
        Some(self.ranked.iter().map(of_photo).sum())
    }
}

impl Rankings<SelectPart> {
    /// The threshold below which a new whale is guessed first with the highest MAP@5, the lowest of
    /// equal ones. `None` if known or new whales are missing.
    pub(crate) fn threshold(&self, new_fraction: f64) -> Option<f32> {
        // Between the best probabilities of two photos the first place does not change; 200 are enough.
        let mut steps: Vec<f32> = self
            .ranked
            .iter()
            .filter_map(|l| Some(l.best.first()?.1))
            .collect();
        steps.sort_by(f32::total_cmp);
        let stride = steps.len().div_ceil(200).max(1);
        std::iter::once(0.0)
            .chain(steps.into_iter().step_by(stride))
            .filter_map(|at| Some((at, self.map_with(at, new_fraction)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0)))
            .map(|(at, _)| at)
    }
}

impl Rankings<ReportPart> {
    /// MAP@5 with a threshold that was selected on other photos. `None` if known or new whales are
    /// missing.
    pub(crate) fn map_at_5(&self, new_below: f32, new_fraction: f64) -> Option<f64> {
        self.map_with(new_below, new_fraction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whales(count: usize, photos: usize) -> Vec<WhalePhotos> {
        (0..count)
            .map(|w| WhalePhotos {
                photos: (w * photos..(w + 1) * photos).collect(),
                encounters: vec![None; photos],
            })
            .collect()
    }

    #[test]
    fn every_photo_is_in_one_part_and_new_whales_in_no_other() {
        let whales = whales(200, 4);
        let parts = Parts::of(&whales, &[900, 901], 3);
        let (select, report) = (&parts.select, &parts.report);
        let mut all = [
            parts.fit.photos(),
            select.known(),
            select.new_whales(),
            report.known(),
            report.new_whales(),
        ]
        .concat();
        all.sort_unstable();
        let expected: Vec<usize> = (0..800).chain([900, 901]).collect();
        assert_eq!(all, expected);
        assert_eq!(select.size(), PartSize { known: 80, new: 82 });
        assert_eq!(report.size(), PartSize { known: 80, new: 80 });
        for part in [select.new_whales(), report.new_whales()] {
            let named = part.iter().filter(|p| **p < 800);
            assert!(named.clone().count() == 80);
            // All four photos of a new whale.
            assert!(named.into_iter().all(|p| part.contains(&(p - p % 4))));
        }
        assert_eq!(parts, Parts::of(&whales, &[900, 901], 3));
        assert_ne!(parts, Parts::of(&whales, &[900, 901], 4));
    }

    #[test]
    fn whales_with_few_photos_are_not_held_out() {
        let parts = Parts::of(&whales(2, 2), &[], 3);
        let none = PartSize { known: 0, new: 0 };
        assert_eq!((parts.select.size(), parts.report.size()), (none, none));
        assert_eq!(parts.fit.photos().len(), 4);
    }

    #[test]
    fn an_encounter_is_not_divided() {
        let mut whales = whales(100, 6);
        for whale in &mut whales {
            whale.encounters = ["a", "a", "b", "b", "c", "c"]
                .map(|e| Some(e.to_owned()))
                .to_vec();
        }
        let parts = Parts::of(&whales, &[], 3);
        for known in [parts.select.known(), parts.report.known()] {
            assert_eq!(known.len(), 80);
            assert!(known.iter().all(|p| known.contains(&(p ^ 1))), "{known:?}");
        }
        // Two photos must remain.
        for whale in &mut whales {
            whale.encounters = vec![Some("a".to_owned()); 6];
        }
        assert!(Parts::of(&whales, &[], 3).select.known().is_empty());
    }

    fn rankings<P>(ranked: Vec<Ranked>) -> Rankings<P> {
        Rankings {
            ranked,
            part: PhantomData,
        }
    }

    #[test]
    fn the_threshold_separates_known_from_new() {
        let ranked = |p: f32, truth| Ranked {
            best: vec![(7, p), (8, 0.05)],
            truth,
        };
        let mut all: Vec<Ranked> = (0..10)
            .map(|i| ranked(0.6 + 0.03 * i as f32, Some(7)))
            .collect();
        all.extend((0..10).map(|i| ranked(0.2 + 0.03 * i as f32, None)));
        let selection = rankings::<SelectPart>(all.clone());
        let at = selection.threshold(0.3).unwrap();
        assert!((0.47..=0.6).contains(&at), "{at}");
        let reported = |all: &[Ranked], at| rankings::<ReportPart>(all.to_vec()).map_at_5(at, 0.3);
        assert!((reported(&all, at).unwrap() - 1.0).abs() < 1e-9);
        // At 0 a new whale comes third, after both.
        all.truncate(11);
        all[10].best[0].1 = 0.95;
        let at = rankings::<SelectPart>(all.clone()).threshold(0.3).unwrap();
        assert!(at <= 0.6, "{at}");
        let map = reported(&all, at).unwrap();
        assert!((map - (0.7 + 0.3 / 2.0)).abs() < 1e-9, "{map}");
        let known = all[..10].to_vec();
        assert_eq!(rankings::<SelectPart>(known.clone()).threshold(0.3), None);
        assert_eq!(reported(&known, 0.5), None);
    }
}
