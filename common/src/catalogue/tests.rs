//! The whole catalogue: its results compared with a search in floats alone, its file, and
//! withdrawal.

mod on_disk;

use super::*;
use crate::embedding::dot;
use crate::whale_score::{MAX_PHOTOS, TopScores};
use proptest::prelude::*;
use std::collections::HashMap;

fn entry(whale: &str, photo: &str) -> Enrolled {
    Enrolled {
        whale: whale.into(),
        photo: photo.into(),
        source: "test".into(),
        ..Enrolled::default()
    }
}

fn embedding(values: &[f32]) -> Embedding {
    Embedding::normalised(values.to_vec()).unwrap()
}

fn three() -> Catalogue {
    let mut c = Catalogue::new(2);
    c.enrol(entry("A", "a1"), &embedding(&[1.0, 0.0])).unwrap();
    c.enrol(entry("A", "a2"), &embedding(&[0.0, 1.0])).unwrap();
    c.enrol(entry("B", "b1"), &embedding(&[0.6, 0.8])).unwrap();
    c
}

#[test]
fn a_whale_counts_once_by_its_best_photo() {
    let found = three().search(&embedding(&[0.0, 1.0]), 5).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|m| (m.whale.as_str(), m.photo.as_str()))
        .collect();
    assert_eq!(names, [("A", "a2"), ("B", "b1")]);
    assert!((found[1].score - 0.8).abs() < 1e-6);
}

#[test]
fn a_photo_can_be_left_out() {
    let found = three().search_where(&[0.0, 1.0], 1, |i| i != 1).unwrap();
    assert_eq!(found[0].whale, "B");
}

#[test]
fn an_empty_catalogue_finds_no_whale() {
    assert!(
        Catalogue::new(2)
            .search(&embedding(&[1.0, 1.0]), 5)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_embedding_of_another_dimension_is_rejected() {
    let error = three().search(&embedding(&[1.0, 0.0, 0.0]), 5).unwrap_err();
    assert_eq!(
        error,
        CatalogueError::Dimension {
            expected: 2,
            got: 3
        }
    );
}

/// The reference search: all photos scored in floats.
fn in_floats(
    catalogue: &Catalogue,
    query: &[f32],
    most: usize,
    takes_part: impl Fn(usize) -> bool,
) -> Vec<Match> {
    let mut best: HashMap<&str, (f32, usize)> = HashMap::new();
    for (index, entry) in catalogue.entries().iter().enumerate() {
        if !takes_part(index) {
            continue;
        }
        let score = dot(query, catalogue.embedding(index));
        best.entry(&entry.whale)
            .and_modify(|b| {
                if score > b.0 {
                    *b = (score, index);
                }
            })
            .or_insert((score, index));
    }
    let mut ranking: Vec<_> = best.into_iter().collect();
    ranking.sort_by(|a, b| b.1.0.total_cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
    ranking.truncate(most);
    let found = |(whale, (score, index)): (&str, (f32, usize))| Match {
        whale: whale.to_owned(),
        score,
        photo: catalogue.entries()[index].photo.clone(),
    };
    ranking.into_iter().map(found).collect()
}

/// The reference search for several queries: scores in floats over all photos, averaged.
fn together_in_floats(
    catalogue: &Catalogue,
    queries: &[Embedding],
    rule: WhaleScore,
    most: usize,
) -> Vec<Match> {
    // Sum of the scores, best cosine and its photo.
    let mut whales: HashMap<&str, (f32, f32, &str)> = HashMap::new();
    for query in queries {
        let mut seen: HashMap<&str, (TopScores, f32, &str)> = HashMap::new();
        for (at, entry) in catalogue.entries().iter().enumerate() {
            let cosine = dot(query.as_slice(), catalogue.embedding(at));
            let nothing = (TopScores::default(), cosine, entry.photo.as_str());
            let (highest, best, photo) = seen.entry(&entry.whale).or_insert(nothing);
            highest.insert(cosine, rule.top_k);
            if cosine > *best {
                (*best, *photo) = (cosine, &entry.photo);
            }
        }
        for (whale, (highest, cosine, photo)) in seen {
            let (sum, best, of) = whales.entry(whale).or_insert((0.0, cosine, photo));
            *sum += rule.of(&highest);
            if cosine > *best {
                (*best, *of) = (cosine, photo);
            }
        }
    }
    let mut ranking: Vec<Match> = whales
        .into_iter()
        .map(|(whale, (sum, _, photo))| Match {
            whale: whale.to_owned(),
            score: sum / queries.len() as f32,
            photo: photo.to_owned(),
        })
        .collect();
    ranking.sort_by(|a, b| {
        let by_score = b.score.total_cmp(&a.score);
        by_score.then_with(|| a.whale.cmp(&b.whale))
    });
    ranking.truncate(most);
    ranking
}

/// A random row, a row close to one of a few directions (so that close and equal scores are
/// common), or a degenerate one.
fn row(dimension: usize) -> impl Strategy<Value = Vec<f32>> {
    let spread = proptest::collection::vec(-1f32..1.0, dimension);
    let close = (0usize..3, 0usize..4, 0usize..dimension).prop_map(move |(towards, off, at)| {
        let mut row: Vec<f32> = (0..dimension)
            .map(|i| ((i * 7 + towards * 5) % 11) as f32 - 5.0)
            .collect();
        row[at] += off as f32 * 1e-4;
        row
    });
    let odd = prop_oneof![
        Just(vec![0.0; dimension]),
        Just(vec![1e-30; dimension]),
        Just(vec![1e-42; dimension]),
        Just(vec![3e38; dimension]),
        Just(vec![-3e18; dimension]),
    ];
    prop_oneof![8 => spread, 8 => close, 1 => odd]
}

fn unit(row: Vec<f32>) -> Vec<f32> {
    match Embedding::normalised(row.clone()) {
        Ok(e) => e.as_slice().to_vec(),
        Err(_) => row,
    }
}

/// A catalogue of up to 60 photos of up to 9 whales, and queries for it.
fn any_catalogue() -> impl Strategy<Value = (Catalogue, Vec<Vec<f32>>)> {
    (1usize..140, any::<bool>()).prop_flat_map(|(dimension, normalised)| {
        let photos = proptest::collection::vec((0u8..9, row(dimension)), 0..60);
        let queries = proptest::collection::vec(row(dimension), 1..4);
        (photos, queries).prop_map(move |(photos, queries)| {
            let fit = |row| if normalised { unit(row) } else { row };
            let mut catalogue = Catalogue::new(dimension);
            for (photo, (whale, row)) in photos.into_iter().enumerate() {
                catalogue.add(entry(&format!("W{whale}"), &photo.to_string()), &fit(row));
            }
            (catalogue, queries.into_iter().map(fit).collect())
        })
    })
}

/// Checks that rankings are equal bit by bit, including NaN.
fn same(got: &[Match], expected: &[Match]) -> Result<(), TestCaseError> {
    let plain = |matches: &[Match]| -> Vec<_> {
        let one = |m: &Match| (m.whale.clone(), m.photo.clone(), m.score.to_bits());
        matches.iter().map(one).collect()
    };
    prop_assert_eq!(plain(got), plain(expected));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_search_equals_the_reference((catalogue, queries) in any_catalogue(), most in 0usize..14, modulus in 1usize..5) {
        for query in &queries {
            let all = catalogue.search_where(query, most, |_| true).unwrap();
            same(&all, &in_floats(&catalogue, query, most, |_| true))?;
            let some = |photo: usize| photo.is_multiple_of(modulus);
            let found = catalogue.search_where(query, most, some).unwrap();
            same(&found, &in_floats(&catalogue, query, most, some))?;
        }
    }

    #[test]
    fn a_search_with_several_queries_equals_the_reference(
        (catalogue, queries) in any_catalogue(),
        most in 0usize..14,
        best in prop_oneof![Just(0.0f32), Just(0.5), Just(1.0)],
        top_k in 1usize..=MAX_PHOTOS,
    ) {
        let rule = WhaleScore { best_weight: best, top_k };
        let queries: Vec<Embedding> = queries.into_iter().filter_map(|q| Embedding::normalised(q).ok()).collect();
        let found = catalogue.search_encounter(&queries, rule, most).unwrap();
        if !catalogue.rows.longest().is_finite() || catalogue.rows.longest() < 1e6 {
            same(&found, &together_in_floats(&catalogue, &queries, rule, most))?;
        }
    }

    #[test]
    fn withdrawing_equals_never_enrolling(
        (catalogue, queries) in any_catalogue(),
        whale in 0u8..9,
        photo in 0usize..60,
        most in 0usize..14,
    ) {
        let (whale, photo) = (format!("W{whale}"), photo.to_string());
        let mut less = catalogue.clone();
        let gone = less.withdraw_whale(&whale) + less.withdraw_photo(&photo);
        let mut expected = Catalogue::new(catalogue.dimension());
        for (at, e) in catalogue.entries().iter().enumerate() {
            if e.whale != whale && e.photo != photo {
                expected.add(e.clone(), catalogue.embedding(at));
            }
        }
        // The whale can be enrolled again.
        let more = unit((0..catalogue.dimension()).map(|i| i as f32 + 1.0).collect());
        less.add(entry(&whale, "new"), &more);
        expected.add(entry(&whale, "new"), &more);
        prop_assert_eq!(less.len() + gone, catalogue.len() + 1);
        prop_assert_eq!(less.whales(), expected.whales());
        prop_assert!(less == expected);
        prop_assert_eq!(Catalogue::from_bytes(&less.to_bytes()).unwrap(), expected.clone());
        for query in &queries {
            let some = |photo: usize| photo.is_multiple_of(2);
            same(&less.search_where(query, most, some).unwrap(), &expected.search_where(query, most, some).unwrap())?;
        }
    }
}

#[test]
fn few_photos_are_scored_in_floats() {
    // 3,000 photos in random directions: few upper bounds reach the lower bound of the right photo.
    let mut state = 7u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    let mut catalogue = Catalogue::new(256);
    for photo in 0..3000 {
        let row: Vec<f32> = (0..256).map(|_| random()).collect();
        catalogue.add(
            entry(&format!("W{}", photo / 5), &photo.to_string()),
            &unit(row),
        );
    }
    let asked = std::cell::Cell::new(0);
    let query = catalogue.embedding(1234).to_vec();
    let found = catalogue.search_where(&query, 1, |_| {
        asked.set(asked.get() + 1);
        true
    });
    assert_eq!(found.unwrap()[0].photo, "1234");
    assert!(asked.get() < 600, "{} photos", asked.get());
}

#[test]
fn a_query_that_is_not_finite_still_gives_a_result() {
    let found = three().search_where(&[f32::NAN, 1.0], 5, |_| true).unwrap();
    assert_eq!(found.len(), 2);
    let found = three()
        .search_where(&[f32::INFINITY, 1.0], 5, |_| true)
        .unwrap();
    assert_eq!(found[0].whale, "A");
}

#[test]
fn withdrawing_an_unknown_name_changes_nothing() {
    let mut c = three();
    assert_eq!((c.withdraw_whale("C"), c.withdraw_photo("c1")), (0, 0));
    assert_eq!(c, three());
    assert_eq!(c.withdraw_whale("A"), 2);
    assert_eq!(
        (c.len(), c.whales(), c.entries()[0].photo.as_str()),
        (1, 1, "b1")
    );
    assert_eq!(c.embedding(0), &[0.6, 0.8]);
    assert_eq!(c.withdraw(|_| true), 1);
    assert!(c.is_empty() && c.search(&embedding(&[1.0, 0.0]), 3).unwrap().is_empty());
}

#[test]
fn a_wrong_dimension_is_rejected_everywhere() {
    let wrong = embedding(&[1.0, 0.0, 0.0]);
    let error = CatalogueError::Dimension {
        expected: 2,
        got: 3,
    };
    assert_eq!(
        three().search_encounter(
            &[embedding(&[1.0, 0.0]), wrong.clone()],
            WhaleScore::BEST,
            1
        ),
        Err(error.clone())
    );
    assert_eq!(three().enrol(entry("A", "a"), &wrong), Err(error));
}

#[test]
fn a_whale_is_scored_by_the_mean_over_the_queries() {
    let (right, up) = (embedding(&[1.0, 0.0]), embedding(&[0.0, 1.0]));
    let mut c = Catalogue::new(2);
    c.enrol(entry("A", "a1"), &embedding(&[0.8, 0.6])).unwrap();
    c.enrol(entry("B", "b1"), &right).unwrap();
    c.enrol(entry("B", "b2"), &embedding(&[-1.0, 0.0])).unwrap();
    let found = c
        .search_encounter(&[right.clone(), up.clone()], WhaleScore::BEST, 5)
        .unwrap();
    let places: Vec<_> = found
        .iter()
        .map(|m| (m.whale.as_str(), m.photo.as_str()))
        .collect();
    assert_eq!(places, [("A", "a1"), ("B", "b1")]);
    assert!((found[0].score - 0.7).abs() < 1e-6 && (found[1].score - 0.5).abs() < 1e-6);
    // One query gives the result of `search`; no query gives none.
    let one = std::slice::from_ref(&up);
    assert_eq!(
        c.search_encounter(one, WhaleScore::BEST, 5),
        c.search(&up, 5)
    );
    // Half B's best photo, half the mean of both, which are opposite.
    let blend = c
        .search_encounter(std::slice::from_ref(&right), WhaleScore::BLEND, 5)
        .unwrap();
    assert_eq!((blend[0].whale.as_str(), blend[0].score), ("A", 0.8));
    assert!((blend[1].score - 0.5).abs() < 1e-6);
    assert_eq!(c.search_encounter(&[], WhaleScore::BEST, 5), Ok(vec![]));
    assert_eq!(
        Catalogue::new(2).search_encounter(one, WhaleScore::BEST, 5),
        Ok(vec![])
    );
}
