//! The protocols on thousands of photos; memory must be linear in their number, not quadratic.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::{
    Descriptors, EmbeddedPhoto, Layout, LocalCatalogue, LocalPhotos, LocalScore, search_encounter,
};
use flukewatch_common::whale_score::WhaleScore;
use flukewatch_eval::gallery::label::PhotoLabel;
use flukewatch_eval::gallery::labelled::LabelledEmbeddings;
use flukewatch_eval::gallery::local::LocalGallery;
use flukewatch_eval::gallery::matching::with_local;
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

/// Descriptors that are the same for photos of a whale but for noise.
fn descriptors(photos: usize) -> Vec<Descriptors> {
    let layout = Layout {
        height: 2,
        width: 3,
        dimension: 16,
        fine: 0,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut random = || -> Vec<f32> {
        (0..layout.locations() * layout.dimension)
            .map(|_| rng.random_range(-1.0..1.0))
            .collect()
    };
    let mut whale = vec![];
    (0..photos)
        .map(|photo| {
            if photo % 5 == 0 {
                whale = random();
            }
            let values: Vec<f32> = whale.iter().zip(random()).map(|(w, n)| w + n).collect();
            Descriptors::quantised(layout, &values).unwrap()
        })
        .collect()
}

/// The evaluation and the boat rank the same whales by local matching.
#[test]
fn the_boats_local_matching_ranks_the_same() {
    let score = LocalScore {
        weight: 1.5,
        intercept: 0.02,
        slope: 0.3,
        typical_norm: 0.3,
        whales: 12,
        photos: 2,
        fine: None,
    };
    let gallery = LocalGallery::new(descriptors(200), score);
    let photos = clusters(200, 1.6).scored_by(WhaleScore::BLEND);
    let by_cosine = retrieval::retrieve(&photos);
    let photos = with_local(photos, gallery);
    let queries = retrieval::retrieve(&photos);
    let right =
        |queries: &[retrieval::QueryResult]| queries.iter().filter(|query| query.rank == 1).count();
    assert!(
        right(&queries) > right(&by_cosine) + 5,
        "local matching finds more"
    );
    let described = photos.local().unwrap();
    for query in queries.iter().step_by(7) {
        let mut catalogue = Catalogue::new(DIMENSION);
        let mut local = LocalPhotos::new(described.descriptors()[0].layout());
        let others = || (0..photos.len()).filter(|photo| *photo != query.photo);
        let embedding = |photo: usize| Embedding::normalised(photos.rows().row(photo).to_vec());
        for photo in others() {
            let entry = Enrolled {
                whale: photos.label(photo).whale.clone().unwrap(),
                photo: photos.label(photo).name.clone(),
                source: String::new(),
                ..Enrolled::default()
            };
            local.push(&entry, &described.descriptors()[photo]).unwrap();
            catalogue.enrol(entry, &embedding(photo).unwrap()).unwrap();
        }
        let norms: Vec<f32> = others()
            .map(|photo| {
                let others = |other: usize| other != query.photo;
                photos.norms().seen(photo, &score, others)
            })
            .collect();
        local.set_norms(&norms);
        let photo = EmbeddedPhoto {
            embedding: embedding(query.photo).unwrap(),
            local: Some(described.descriptors()[query.photo].clone()),
        };
        let local = LocalCatalogue {
            photos: &local,
            score: &score,
        };
        let found =
            search_encounter(&catalogue, Some(local), &[photo], WhaleScore::BLEND, 5).unwrap();
        assert_eq!(found.len(), query.top.len());
        for (boat, here) in found.iter().zip(&query.top).take(3) {
            assert!((boat.score - here.score).abs() < 1e-4, "{boat:?} {here:?}");
            assert_eq!(boat.whale, photos.whales()[here.whale]);
            assert_eq!(boat.photo, photos.label(here.photo).name);
        }
    }
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
