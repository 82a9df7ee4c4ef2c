//! The protocols on thousands of photos; memory must be linear in their number, not quadratic.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::embedding::Embedding;
use flukewatch_eval::gallery::label::PhotoLabel;
use flukewatch_eval::gallery::labelled::LabelledEmbeddings;
use flukewatch_eval::metrics::bootstrap::Bootstrap;
use flukewatch_eval::protocols::{open_set, retrieval};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIMENSION: usize = 64;

/// Whales in random directions, with five photos around each.
fn clusters(photos: usize, spread: f32) -> LabelledEmbeddings {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut random = |width: f32| {
        (0..DIMENSION)
            .map(|_| rng.random_range(-width..width))
            .collect::<Vec<f32>>()
    };
    let mut values = vec![];
    let mut centre = vec![];
    for photo in 0..photos {
        if photo % 5 == 0 {
            centre = random(1.0);
        }
        values.extend(centre.iter().zip(random(spread)).map(|(c, n)| c + n));
    }
    let labels = (0..photos)
        .map(|photo| PhotoLabel {
            name: photo.to_string(),
            whale: Some(format!("W{:05}", photo / 5)),
            ..PhotoLabel::default()
        })
        .collect();
    LabelledEmbeddings::new(labels, DIMENSION, values).unwrap()
}

/// The blocked search and the boat's search rank the same whales.
#[test]
fn the_boats_search_ranks_the_same() {
    let photos = clusters(600, 1.2);
    let mut catalogue = Catalogue::new(DIMENSION);
    for photo in 0..photos.len() {
        let entry = Enrolled {
            whale: photos.label(photo).whale.clone().unwrap(),
            photo: photos.label(photo).name.clone(),
            source: String::new(),
            ..Enrolled::default()
        };
        let row = Embedding::normalised(photos.rows().row(photo).to_vec()).unwrap();
        catalogue.enrol(entry, &row).unwrap();
    }
    let queries = retrieval::retrieve(&photos);
    assert_eq!(queries.len(), 600);
    for query in &queries {
        let embedding = catalogue.embedding(query.photo);
        let ranking = catalogue
            .search_where(embedding, 5, |i| i != query.photo)
            .unwrap();
        let ours: Vec<&str> = query
            .top
            .iter()
            .map(|c| photos.whales()[c.whale].as_str())
            .collect();
        let boats: Vec<&str> = ranking.iter().map(|m| m.whale.as_str()).collect();
        assert_eq!(ours, boats);
    }
}

#[test]
fn five_thousand_photos_are_measured() {
    let photos = clusters(5000, 1.2);
    let bootstrap = Bootstrap {
        resamples: 100,
        seed: 1,
    };
    let found = retrieval::measure(&photos, &bootstrap, None).unwrap();
    assert_eq!((found.metrics.queries, found.whales), (5000, 1000));
    let r1 = found.metrics.recall_at_1;
    // Far above the 0.001 of random guessing, and not too easy to get worse.
    assert!(r1 > 0.3 && r1 < 0.99, "{r1}");
    let interval = found.intervals.recall_at_1.unwrap();
    assert!(interval.low < r1 && r1 < interval.high);
    assert!(found.map_at_r < found.metrics.map_at_5);

    let options = open_set::OpenSetOptions {
        trials: 2,
        seed: 1,
        rule: None,
    };
    let open = open_set::measure(&photos, &options, &bootstrap).unwrap();
    assert_eq!((open.known_queries, open.new_queries), (2500.0, 2500.0));
    let (auroc, oscr) = (open.auroc.value, open.oscr_area.value);
    assert!(auroc > 0.6 && auroc < 1.0 && oscr < auroc, "{auroc} {oscr}");
    // Fitted for a false match rate of 5 % on half of the enrolled whales' encounters, the rule
    // stays close to it on others'.
    let on_board = &open.encounters[0];
    let rule = on_board.rule_of_enrolment.as_ref().unwrap();
    assert!(
        rule.false_match_rate > 0.01 && rule.false_match_rate < 0.12,
        "{rule:?}"
    );
}
