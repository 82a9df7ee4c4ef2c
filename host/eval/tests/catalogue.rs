//! Thresholds are fitted again from a catalogue's file alone, as at the first enrolment.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_eval::enrol::fit_rule;

/// Forty whales in the plane of two, each met on two days in June, in bursts of three a degree
/// apart, with 40° from day to day.
fn catalogue(name_encounters: bool, dates: bool) -> Catalogue {
    let mut catalogue = Catalogue::new(80);
    for whale in 0..40usize {
        for photo in 0..6usize {
            let day = photo / 3;
            let degrees = 40.0 * day as f32 + (photo % 3) as f32;
            let (sin, cos) = degrees.to_radians().sin_cos();
            let mut values = vec![0.05; 80];
            values[2 * whale] += cos;
            values[2 * whale + 1] += sin;
            let entry = Enrolled {
                whale: format!("W{whale}"),
                photo: format!("{whale}-{photo}.jpg"),
                encounter: name_encounters.then(|| format!("{whale} on day {day}")),
                date: dates.then(|| format!("2024-06-{:02}", 1 + day)),
                ..Enrolled::default()
            };
            let embedding = Embedding::normalised(values).unwrap();
            catalogue.enrol(entry, &embedding).unwrap();
        }
    }
    catalogue
}

#[test]
fn the_file_of_a_catalogue_holds_what_the_thresholds_need() {
    let fitted = |catalogue: &Catalogue| {
        let read = Catalogue::from_bytes(&catalogue.to_bytes()).unwrap();
        let limits = DecisionRule::unfitted();
        (
            fit_rule(catalogue, &limits).unwrap(),
            fit_rule(&read, &limits).unwrap(),
        )
    };
    let (rule, again) = fitted(&catalogue(true, false));
    assert_eq!(rule, again);
    assert!(
        rule.fitted_on
            .contains("80 known and 80 new encounters of 40 whales")
    );
    // Whale and day identify the same encounters.
    let (by_day, _) = fitted(&catalogue(false, true));
    assert_eq!(
        (by_day.known_at, by_day.new_below),
        (rule.known_at, rule.new_below)
    );
    // Across the days the cosine is cos 40°; within a burst it would be nearly 1. Without a name
    // or date the burst counts.
    let (photos, _) = fitted(&catalogue(false, false));
    assert_eq!(photos.prior_new_whales.unwrap().recall, 1.0);
    let scores = |catalogue: &Catalogue| {
        flukewatch_eval::protocols::leave_one_out::scores(
            catalogue,
            DecisionRule::unfitted().whale_score,
        )
        .known
    };
    let highest = |scores: Vec<f32>| scores.into_iter().fold(-1.0, f32::max);
    assert!(highest(scores(&catalogue(true, false))) < 0.9);
    assert!(highest(scores(&catalogue(false, false))) > 0.95);
}
