use super::*;
use crate::gallery::labelled::tests::plane;
use crate::gallery::search::Candidate;
use crate::metrics::map_at_5::new_whale_position;
use purpose::Purpose;
use trial::Query;

const NO_INTERVALS: Bootstrap = Bootstrap {
    resamples: 0,
    seed: 0,
};

fn options(rule: Option<(f32, f32)>) -> OpenSetOptions {
    OpenSetOptions {
        trials: 3,
        seed: 4,
        rule: rule.map(|(known_at, new_below)| DecisionRule::thresholds(known_at, new_below, "")),
    }
}

/// A query with candidates `(whale, score)`.
fn query(identity: usize, known: bool, fit: bool, top: &[(usize, f32)]) -> Query {
    Query {
        photo: 0,
        identity,
        known: known.then_some(identity),
        purpose: if fit { Purpose::Fit } else { Purpose::Report },
        top: top
            .iter()
            .map(|&(whale, score)| Candidate {
                whale,
                score,
                photo: 0,
            })
            .collect(),
    }
}

fn trial_of(queries: Vec<Query>) -> Trial {
    Trial {
        identities: 10,
        queries,
        ..Trial::default()
    }
}

#[test]
fn baks_and_baus_worked_by_hand() {
    // Whale 0: one of two right (the other for review); whale 1: one of one. BAKS = (1/2 + 1) / 2.
    // Whale 5: called new once, named once, for review once; whale 6: called new. BAUS = (1/3 + 1)
    // / 2.
    let trial = trial_of(vec![
        query(0, true, false, &[(0, 0.9)]),
        query(0, true, false, &[(0, 0.5)]),
        query(1, true, false, &[(1, 0.8)]),
        query(5, false, false, &[(1, 0.1)]),
        query(5, false, false, &[(1, 0.7)]),
        query(5, false, false, &[(1, 0.5)]),
        query(6, false, false, &[(0, 0.2)]),
    ]);
    let rule = options(Some((0.6, 0.4))).rule.unwrap();
    let [baks, baus, balanced] = decide_all(&trial, &rule).balanced(&[1; 10]);
    assert!((baks - 0.75).abs() < 1e-12 && (baus - 2.0 / 3.0).abs() < 1e-12);
    assert!((balanced - (0.75f64 * 2.0 / 3.0).sqrt()).abs() < 1e-12);
    // Whale 0 drawn twice and whale 1 not at all.
    let mut weights = [1; 10];
    (weights[0], weights[1]) = (2, 0);
    assert!((decide_all(&trial, &rule).balanced(&weights)[0] - 0.5).abs() < 1e-12);
}

#[test]
fn new_whale_ranks_behind_whales_that_reach_the_threshold() {
    let top: Vec<Candidate> = query(0, true, true, &[(0, 0.9), (1, 0.6), (2, 0.3)]).top;
    let position =
        |top: &[Candidate], threshold| new_whale_position(top.iter().map(|c| c.score), threshold);
    assert_eq!([0.95, 0.6, 0.1].map(|at| position(&top, at)), [0, 2, 3]);
    let full = query(
        0,
        true,
        true,
        &[(0, 0.9), (1, 0.8), (2, 0.7), (3, 0.6), (4, 0.5)],
    );
    assert_eq!(position(&full.top, 0.5), 5);
    // On the evaluation half, at 0.6: right at 1; second, and new_whale first: third; new with one
    // whale before: second.
    let trial = trial_of(vec![
        query(0, true, false, &[(0, 0.9), (1, 0.5)]),
        query(1, true, false, &[(0, 0.5), (1, 0.4)]),
        query(7, false, false, &[(0, 0.7), (1, 0.2)]),
        query(8, false, true, &[(0, 0.9)]),
    ]);
    let map = threshold::map_at_5(&QueriesFor::of([&trial]), 0.6, &[1; 10]);
    assert!((map - (1.0 + 1.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12, "{map}");
}

#[test]
fn the_threshold_of_new_whale_comes_from_the_fitting_half() {
    let half = |fit: bool, shift: f32| {
        let known = (0..5).map(move |i| query(i, true, fit, &[(i, 0.8 + shift), (9, 0.1)]));
        let new = (5..9).map(move |i| query(i, false, fit, &[(0, 0.5 + shift), (1, 0.1)]));
        known.chain(new)
    };
    // Fitted where known photos score 0.8; on the evaluation half all score 0.4 less, and known
    // ones rank after new_whale.
    let trial = trial_of(half(true, 0.0).chain(half(false, -0.4)).collect());
    let at = threshold::for_new_whale(&QueriesFor::of([&trial])).unwrap();
    assert!(at > 0.5 && at <= 0.8, "{at}");
    let map = threshold::map_at_5(&QueriesFor::of([&trial]), at, &[1; 10]);
    assert!((map - (5.0 * 0.5 + 4.0) / 9.0).abs() < 1e-12, "{map}");
}

#[test]
fn a_wrong_name_that_costs_more_raises_the_threshold() {
    let both = |make: &dyn Fn(bool) -> Vec<Query>| [make(true), make(false)].concat();
    let trial = trial_of(both(&|fit| {
        vec![
            query(0, true, fit, &[(0, 0.9)]),
            query(1, true, fit, &[(1, 0.8)]),
            query(7, false, fit, &[(0, 0.7)]),
            query(2, true, fit, &[(2, 0.6)]),
            query(3, true, fit, &[(3, 0.5)]),
        ]
    }));
    let rows = threshold::costs(&[trial]);
    // At cost 1 the two photos below the new one are worth its wrong name; at cost 5 they are not.
    assert!(
        (rows[0].threshold - 0.5).abs() < 1e-6 && (rows[2].threshold - 0.8).abs() < 1e-6,
        "{rows:?}"
    );
    assert_eq!(
        (rows[0].true_identification_rate, rows[0].false_match_rate),
        (1.0, 1.0)
    );
    assert_eq!(
        (rows[2].true_identification_rate, rows[2].false_match_rate),
        (0.5, 0.0)
    );
}

/// Twelve whales of three photos 1° apart, 30° from whale to whale.
fn twelve() -> Vec<(String, f32)> {
    (0..36)
        .map(|i| (format!("W{:02}", i / 3), (i / 3 * 30 + i % 3) as f32))
        .collect()
}

fn measured(photos: &[(String, f32)], options: &OpenSetOptions) -> OpenSetResult {
    let photos: Vec<(&str, f32)> = photos.iter().map(|(w, a)| (w.as_str(), *a)).collect();
    measure(
        &plane(&photos),
        options,
        &Bootstrap {
            resamples: 50,
            seed: 1,
        },
    )
    .unwrap()
}

#[test]
fn separated_whales_are_told_from_new_ones() {
    // From a new whale the next is at least 28° away (cosine 0.883); photos of one whale are within
    // 2° (0.9994).
    let found = measured(&twelve(), &options(Some((0.95, 0.95))));
    assert_eq!(
        (
            found.enrolled_whales,
            found.known_queries,
            found.new_queries
        ),
        (6, 18.0, 18.0)
    );
    assert_eq!(
        (
            found.auroc.value,
            found.oscr_area.value,
            found.tpir_at_5_percent_fmr.value
        ),
        (1.0, 1.0, 1.0)
    );
    let rule = found.rule_of_bundle.unwrap();
    assert_eq!(
        (
            rule.baks.value,
            rule.baus.value,
            rule.true_identification_rate
        ),
        (1.0, 1.0, 1.0)
    );
    // The threshold was fitted on three new whales only; for others it may be slightly too low.
    assert!(found.map_at_5_with_new_whale.value > 0.9);
    assert!(
        found.rule_of_enrolment.is_none(),
        "18 photos are too few to fit a rule on"
    );
    // 3 trials of 36 photos.
    assert_eq!(
        found.scores.known.iter().sum::<usize>() + found.scores.new.iter().sum::<usize>(),
        108
    );
}

#[test]
fn a_strict_rule_names_no_photo_and_a_lax_one_every_photo() {
    let strict = measured(&twelve(), &options(Some((1.5, 1.5))))
        .rule_of_bundle
        .unwrap();
    assert_eq!(
        (strict.baks.value, strict.baus.value, strict.false_new_rate),
        (0.0, 1.0, 1.0)
    );
    let lax = measured(&twelve(), &options(Some((-1.0, -1.0))))
        .rule_of_bundle
        .unwrap();
    assert_eq!(
        (lax.baks.value, lax.baus.value, lax.false_match_rate),
        (1.0, 0.0, 1.0)
    );
    let undecided = measured(&twelve(), &options(Some((1.5, -1.0))))
        .rule_of_bundle
        .unwrap();
    assert_eq!(
        (undecided.known_review_rate, undecided.new_review_rate),
        (1.0, 1.0)
    );
}

#[test]
fn the_same_seed_gives_the_same_and_photos_may_come_in_any_order() {
    let mixed: Vec<(String, f32)> = twelve()
        .into_iter()
        .enumerate()
        .map(|(i, (w, _))| (w, (i * i * 37 % 3600) as f32 / 10.0))
        .collect();
    let once = measured(&mixed, &options(Some((0.9, 0.5))));
    let again = measured(&mixed, &options(Some((0.9, 0.5))));
    assert_eq!(
        (&once.auroc, &once.oscr_area),
        (&again.auroc, &again.oscr_area)
    );
    let mut turned = mixed.clone();
    turned.reverse();
    let turned = measured(&turned, &options(Some((0.9, 0.5))));
    assert!((once.auroc.value - turned.auroc.value).abs() < 1e-9);
    assert!((once.oscr_area.value - turned.oscr_area.value).abs() < 1e-9);
    assert!(
        (once.map_at_5_with_new_whale.value - turned.map_at_5_with_new_whale.value).abs() < 1e-9
    );
    let other = measured(
        &mixed,
        &OpenSetOptions {
            seed: 5,
            ..options(None)
        },
    );
    assert_ne!(once.auroc.by_trial, other.auroc.by_trial);
}

#[test]
fn encounters_are_searched_like_photos() {
    let found = measured(&twelve(), &options(Some((0.95, 0.95))));
    // Three photos of a whale leave none to find an encounter of three by.
    let sizes: Vec<_> = found.encounters.iter().map(|e| e.photos).collect();
    assert_eq!(sizes, ["1-5"]);
    let on_board = &found.encounters[0];
    assert_eq!((on_board.known_queries, on_board.new_queries), (18.0, 18.0));
    assert_eq!(on_board.tpir_at_5_percent_fmr.value, 1.0);
    let seven: Vec<(String, f32)> = (0..84)
        .map(|i| (format!("W{:02}", i / 7), (i / 7 * 30 + i % 7) as f32))
        .collect();
    let found = measured(&seven, &options(Some((0.95, 0.95))));
    let sizes: Vec<_> = found
        .encounters
        .iter()
        .map(|e| (e.photos, e.known_queries, e.new_queries))
        .collect();
    assert_eq!(
        sizes,
        [("1-5", 42.0, 42.0), ("3", 12.0, 12.0), ("5", 6.0, 6.0)]
    );
}

#[test]
fn the_rule_of_enrolment_is_reported_on_whales_that_it_was_not_fitted_on() {
    // A rule from whales to report on would name all of these; those to fit on are far apart.
    let mut trial = trial_of(
        (0..40)
            .map(|i| {
                query(
                    i % 5,
                    true,
                    i < 20,
                    &[(i % 5, if i < 20 { 0.9 } else { 0.6 })],
                )
            })
            .collect(),
    );
    trial.best = vec![0.9; 20];
    trial.impostor = vec![0.7; 20];
    let rule = trial.fitted_rule().unwrap();
    let verdicts = decide_reported(&trial, &rule);
    assert_eq!(verdicts.balanced(&[1; 10])[0], 0.0);
    assert_eq!(decide_all(&trial, &rule).balanced(&[1; 10])[0], 0.5);
}

#[test]
fn the_error_as_shipped_is_of_the_bundles_own_probabilities() {
    // One of two is right; the bundle says 0.9.
    let rule = DecisionRule {
        calibrator: Some(Calibrator::Isotonic {
            points: vec![(0.5, 0.9)],
        }),
        ..DecisionRule::thresholds(0.6, 0.4, "")
    };
    let trial = trial_of(vec![
        query(0, true, true, &[(0, 0.5)]),
        query(5, false, false, &[(0, 0.5)]),
    ]);
    let [as_shipped, told] = errors_as_shipped(std::slice::from_ref(&trial), Some(&rule));
    assert!((as_shipped.unwrap() - 0.4).abs() < 1e-6 && told.is_none());
    // Fitted where one of ten was new: told that half are, it is right.
    let rule = DecisionRule {
        prior_new_whales: flukewatch_common::decision::NewWhalePrior::of(9, 9, 1, 0.1),
        ..rule
    };
    let [as_shipped, told] = errors_as_shipped(&[trial], Some(&rule));
    assert!((as_shipped.unwrap() - 0.4).abs() < 1e-6, "{as_shipped:?}");
    assert!(told.unwrap() < 1e-6, "{told:?}");
}

#[test]
fn unnamed_photos_are_new() {
    let mut photos = twelve();
    photos.push(("?".into(), 15.0));
    assert_eq!(measured(&photos, &options(None)).new_queries, 19.0);
}

#[test]
fn too_few_whales_are_rejected() {
    for photos in [
        vec![("A", 0.0), ("A", 1.0)],
        vec![("A", 0.0), ("B", 1.0), ("C", 2.0)],
    ] {
        let error = measure(&plane(&photos), &options(None), &NO_INTERVALS).unwrap_err();
        assert!(matches!(error, ProtocolError::TooFewWhales));
    }
}
