use super::*;
use flukewatch_common::catalogue::Enrolled;
use flukewatch_common::embedding::Embedding;
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
) -> Vec<(PhotoLabel, EmbeddedPhoto)> {
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
            found.push((label, embedded(Embedding::normalised(numbers).unwrap())));
        }
    }
    found
}

fn embedded(embedding: Embedding) -> EmbeddedPhoto {
    EmbeddedPhoto {
        embedding,
        local: None,
    }
}

fn catalogue(photos: &[(PhotoLabel, EmbeddedPhoto)]) -> Catalogue {
    let mut catalogue = Catalogue::new(DIMENSION);
    for (label, photo) in photos {
        let entry = Enrolled {
            whale: label.whale.clone().unwrap(),
            photo: label.name.clone(),
            source: String::new(),
            ..Enrolled::default()
        };
        catalogue.enrol(entry, &photo.embedding).unwrap();
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
        expected_new_whales: 0.5,
    }
}

fn old() -> DecisionRule {
    DecisionRule::thresholds(0.3, 0.1, "")
}

#[test]
fn a_rule_keeps_its_limits_on_other_whales() {
    let enrolled = catalogue(&whales("E", 150, 3, 0.5, 1));
    let disjoint = whales("A", 200, 3, 0.9, 2);
    let found = calibrate(&enrolled, None, &disjoint, &old(), &options()).unwrap();
    assert_eq!((found.photos, found.whales, found.skipped), (600, 200, 0));
    // The old rule names everybody; the new one keeps near 5 % of the new.
    assert!(
        found.before.as_ref().unwrap().rule.false_match_rate > 0.9,
        "{found:?}"
    );
    assert!(
        found.after.as_ref().unwrap().rule.false_match_rate < 0.08,
        "{:?}",
        found.after
    );
    assert!(
        found.after.as_ref().unwrap().rule.false_new_rate < 0.08,
        "{:?}",
        found.after
    );
    assert!(
        found.before.as_ref().unwrap().expected_calibration_error > 0.2,
        "{:?}",
        found.before
    );
    assert!(
        found.after.as_ref().unwrap().expected_calibration_error < 0.06,
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
        calibrate(&enrolled, None, &disjoint, &old(), &options())
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
        calibrate(
            &Catalogue::new(DIMENSION),
            None,
            &disjoint,
            &old(),
            &options,
        )
        .unwrap()
    };
    let strict = with(ErrorLimits {
        false_match_rate: 0.01,
        ..ErrorLimits::default()
    });
    assert!(
        strict.after.as_ref().unwrap().rule.false_match_rate < 0.03,
        "{:?}",
        strict.after
    );
    let sensitive = with(ErrorLimits {
        missed_new_rate: Some(0.1),
        ..ErrorLimits::default()
    });
    assert!(
        sensitive.after.as_ref().unwrap().rule.true_new_rate > 0.85,
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
    let found = calibrate(&catalogue(&enrolled), None, &disjoint, &old(), &options()).unwrap();
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
    let rankings = |informative: bool| {
        let cases = |count: usize| -> Cases {
            (0..count)
                .map(|i| {
                    let right = i % 2 == 0;
                    let score = match (informative, right) {
                        (false, _) => 0.5,
                        (true, true) => 0.9,
                        (true, false) => 0.1,
                    };
                    let top_margin = score;
                    CalibrationCase {
                        features: RankingFeatures { score, top_margin },
                        known: right,
                        correct: right,
                    }
                })
                .collect()
        };
        (cases(40), cases(40))
    };
    for curve in [Curve::Logistic, Curve::Isotonic] {
        let options = CalibrationOptions { curve, ..options() };
        assert_eq!(
            learned(&options, |score| rankings(score == telling)),
            telling
        );
        // If all are equal, the simplest is chosen.
        assert_eq!(learned(&options, |_| rankings(true)), WhaleScore::BEST);
    }
}

#[test]
fn what_is_reported_chose_nothing() {
    // Embeddings at random: no photo resembles another of its whale, so nothing can be learned.
    // A rule that is judged on what it was fitted and selected on would look better than its
    // error rates; on other whales it keeps near them.
    let random = whales("A", 90, 3, 40.0, 7);
    let options = CalibrationOptions {
        whale_score: WhaleScoreChoice::Learned,
        ..options()
    };
    let found = calibrate(&Catalogue::new(DIMENSION), None, &random, &old(), &options).unwrap();
    let all = concat(
        &Catalogue::new(DIMENSION),
        None,
        &random.iter().collect::<Vec<_>>(),
    )
    .unwrap();
    let trial_options = TrialOptions {
        trials: options.trials,
        seed: options.seed,
        always_enrolled: &[],
        purposes: Purposes::Thirds,
    };
    let trials = trial::run(&all, &as_on_board(&all), &trial_options);
    let identities =
        |queries: Vec<&Query>| -> BTreeSet<usize> { queries.iter().map(|q| q.identity).collect() };
    let fit = identities(QueriesFor::<Fit>::of(&trials).iter().collect());
    let select = identities(QueriesFor::<Select>::of(&trials).iter().collect());
    let report = identities(QueriesFor::<Report>::of(&trials).iter().collect());
    assert_eq!((fit.len(), select.len(), report.len()), (30, 30, 30));
    assert!(fit.is_disjoint(&report) && fit.is_disjoint(&select) && select.is_disjoint(&report));
    let after = found.after.unwrap().rule;
    assert!(after.true_identification_rate < 0.1, "{after:?}");
}

#[test]
fn the_expected_fraction_of_new_whales_is_stored_and_used() {
    let disjoint = whales("A", 200, 3, 0.9, 2);
    let with = |expected_new_whales| {
        let options = CalibrationOptions {
            expected_new_whales,
            ..options()
        };
        calibrate(
            &Catalogue::new(DIMENSION),
            None,
            &disjoint,
            &old(),
            &options,
        )
        .unwrap()
        .rule
    };
    let (few, many) = (with(0.1), with(0.9));
    assert_eq!(few.expected_new_whales(), 0.1);
    assert_eq!(few.known_at, many.known_at);
    // Each is fitted for the fraction it expects, so that nothing is left to correct.
    for (rule, expected) in [(&few, 0.1), (&many, 0.9)] {
        assert_eq!(rule.prior_new_whales.unwrap().fitted, expected);
    }
    let features = RankingFeatures {
        score: few.known_at,
        top_margin: 0.1,
    };
    let at = |rule: &DecisionRule| rule.probability_of(&features).unwrap();
    assert!(at(&few) > at(&many) + 0.1, "{} {}", at(&few), at(&many));
}

#[test]
fn too_few_photos_are_reported() {
    let few = whales("A", 6, 2, 0.3, 2);
    let error = calibrate(&Catalogue::new(DIMENSION), None, &few, &old(), &options()).unwrap_err();
    assert!(matches!(error, CalibrationError::TooFew { .. }), "{error}");
    let single = whales("A", 60, 1, 0.3, 2);
    let error = calibrate(
        &Catalogue::new(DIMENSION),
        None,
        &single,
        &old(),
        &options(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("two photos or more"), "{error}");
}

#[test]
fn the_same_seed_gives_the_same_rule() {
    let disjoint = whales("A", 80, 2, 0.7, 2);
    let rule = || {
        calibrate(
            &Catalogue::new(DIMENSION),
            None,
            &disjoint,
            &old(),
            &options(),
        )
        .unwrap()
        .rule
    };
    assert_eq!(rule(), rule());
}
