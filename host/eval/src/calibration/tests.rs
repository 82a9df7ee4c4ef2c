use super::*;
use crate::gallery::search::Candidate;
use crate::protocols::open_set::trial::Query;
use flukewatch_common::catalogue::Enrolled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIMENSION: usize = 16;

/// Photos of whales in random directions, `photos` of each, scattered by `spread`; names start with
/// `prefix`.
fn whales(
    prefix: &str,
    count: usize,
    photos: usize,
    spread: f32,
    seed: u64,
) -> Vec<(PhotoLabel, Embedding)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found = vec![];
    for whale in 0..count {
        let centre: Vec<f32> = (0..DIMENSION)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect();
        for photo in 0..photos {
            let numbers = centre
                .iter()
                .map(|c| c + rng.random_range(-spread..=spread))
                .collect();
            let label = PhotoLabel {
                name: format!("{prefix}{whale}-{photo}"),
                whale: Some(format!("{prefix}{whale}")),
                ..PhotoLabel::default()
            };
            found.push((label, Embedding::normalised(numbers).unwrap()));
        }
    }
    found
}

fn catalogue(photos: &[(PhotoLabel, Embedding)]) -> Catalogue {
    let mut catalogue = Catalogue::new(DIMENSION);
    for (label, embedding) in photos {
        let entry = Enrolled {
            whale: label.whale.clone().unwrap(),
            photo: label.name.clone(),
            source: String::new(),
            ..Enrolled::default()
        };
        catalogue.enrol(entry, embedding).unwrap();
    }
    catalogue
}

fn options() -> CalibrationOptions {
    CalibrationOptions {
        limits: ErrorLimits::default(),
        curve: Curve::Logistic,
        whale_score: WhaleScoreChoice::Fixed(WhaleScore::BEST),
        trials: 4,
        seed: 3,
    }
}

fn old() -> DecisionRule {
    DecisionRule::thresholds(0.3, 0.1, "")
}

#[test]
fn a_rule_keeps_its_limits_on_other_whales() {
    let enrolled = catalogue(&whales("E", 150, 3, 0.5, 1));
    let disjoint = whales("A", 200, 3, 0.9, 2);
    let found = calibrate(&enrolled, &disjoint, &old(), &options()).unwrap();
    assert_eq!((found.photos, found.whales, found.skipped), (600, 200, 0));
    // The old rule names everybody; the new one keeps near 5 % of the new.
    assert!(found.before.rule.false_match_rate > 0.9, "{found:?}");
    assert!(
        found.after.rule.false_match_rate < 0.08,
        "{:?}",
        found.after
    );
    assert!(found.after.rule.false_new_rate < 0.08, "{:?}", found.after);
    assert!(
        found.before.expected_calibration_error > 0.2,
        "{:?}",
        found.before
    );
    assert!(
        found.after.expected_calibration_error < 0.05,
        "{:?}",
        found.after
    );
    assert_eq!(found.rule.validate(), Ok(()));
    assert!(found.rule.calibrator.is_some());
}

#[test]
fn a_larger_catalogue_needs_a_higher_threshold() {
    let disjoint = whales("A", 100, 2, 0.7, 2);
    let at = |count| {
        let enrolled = catalogue(&whales("E", count, 2, 0.5, 1));
        calibrate(&enrolled, &disjoint, &old(), &options())
            .unwrap()
            .rule
            .known_at
    };
    assert!(at(1000) > at(10) + 0.02, "{} {}", at(1000), at(10));
}

#[test]
fn stricter_limits_name_fewer() {
    let disjoint = whales("A", 200, 3, 0.9, 2);
    let with = |limits| {
        let options = CalibrationOptions {
            limits,
            ..options()
        };
        calibrate(&Catalogue::new(DIMENSION), &disjoint, &old(), &options).unwrap()
    };
    let strict = with(ErrorLimits {
        false_match_rate: 0.01,
        ..ErrorLimits::default()
    });
    assert!(
        strict.after.rule.false_match_rate < 0.03,
        "{:?}",
        strict.after
    );
    let sensitive = with(ErrorLimits {
        missed_new_rate: Some(0.1),
        ..ErrorLimits::default()
    });
    assert!(
        sensitive.after.rule.true_new_rate > 0.85,
        "{:?}",
        sensitive.after
    );
}

#[test]
fn whales_of_the_catalogue_are_skipped_and_unnamed_ones_are_new() {
    let enrolled = whales("A", 5, 2, 0.3, 2);
    let mut disjoint = whales("A", 60, 2, 0.3, 2);
    for (label, _) in disjoint
        .iter_mut()
        .filter(|(l, _)| l.name.starts_with("A59"))
    {
        label.whale = None;
    }
    let found = calibrate(&catalogue(&enrolled), &disjoint, &old(), &options()).unwrap();
    // Five whales are enrolled; of the others one has no name on either of its photos, which count
    // as two.
    assert_eq!((found.skipped, found.photos), (10, 110));
    assert_eq!(found.whales, 54 + 2);
}

#[test]
fn the_whale_score_is_learned_from_other_whales() {
    // Half of the queries are right. By one whale score this shows in the score, by the others not.
    let telling = WhaleScore {
        best_weight: 0.25,
        top_k: 3,
    };
    let trials = |informative: bool| {
        let mut trial = Trial::default();
        trial.queries.extend((0..80).map(|i| {
            let right = i % 2 == 0;
            let score = match (informative, right) {
                (false, _) => 0.5,
                (true, true) => 0.9,
                (true, false) => 0.1,
            };
            Query {
                photo: i,
                identity: i,
                known: right.then_some(0),
                fit: i % 4 < 2,
                top: vec![Candidate {
                    whale: 0,
                    score,
                    photo: 0,
                }],
            }
        }));
        vec![trial]
    };
    for curve in [Curve::Logistic, Curve::Isotonic] {
        assert_eq!(learned(curve, |score| trials(score == telling)), telling);
        // If all are equal, the simplest is chosen.
        assert_eq!(learned(curve, |_| trials(true)), WhaleScore::BEST);
    }
}

#[test]
fn too_few_photos_are_reported() {
    let few = whales("A", 6, 2, 0.3, 2);
    let error = calibrate(&Catalogue::new(DIMENSION), &few, &old(), &options()).unwrap_err();
    assert!(matches!(error, CalibrationError::TooFew { .. }), "{error}");
    let single = whales("A", 60, 1, 0.3, 2);
    let error = calibrate(&Catalogue::new(DIMENSION), &single, &old(), &options()).unwrap_err();
    assert!(error.to_string().contains("two photos or more"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_rule() {
    let disjoint = whales("A", 80, 2, 0.7, 2);
    let rule = || {
        calibrate(&Catalogue::new(DIMENSION), &disjoint, &old(), &options())
            .unwrap()
            .rule
    };
    assert_eq!(rule(), rule());
}
