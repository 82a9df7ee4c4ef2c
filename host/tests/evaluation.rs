//! The protocols on thousands of photos, in memory that grows with the photos and not with their square.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::embedding::Embedding;
use flukewatch_host::evaluate::bootstrap::Bootstrap;
use flukewatch_host::evaluate::labelled::{LabelledEmbeddings, PhotoLabel};
use flukewatch_host::evaluate::{open_set, retrieval};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIMENSION: usize = 64;

/// Whales in random directions, five photos each around theirs.
fn clusters(photos: usize, spread: f32) -> LabelledEmbeddings {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut random = |width: f32| {
        (0..DIMENSION)
            .map(|_| rng.random_range(-width..width))
            .collect::<Vec<f32>>()
    };
    let mut numbers = vec![];
    let mut centre = vec![];
    for photo in 0..photos {
        if photo % 5 == 0 {
            centre = random(1.0);
        }
        numbers.extend(centre.iter().zip(random(spread)).map(|(c, n)| c + n));
    }
    let labels = (0..photos)
        .map(|photo| PhotoLabel {
            name: photo.to_string(),
            whale: Some(format!("W{:05}", photo / 5)),
            ..PhotoLabel::default()
        })
        .collect();
    LabelledEmbeddings::new(labels, DIMENSION, numbers).unwrap()
}

/// The blocked search and the boat's search name the same whales.
#[test]
fn the_boats_search_finds_the_same() {
    let photos = clusters(600, 1.2);
    let mut catalogue = Catalogue::new(DIMENSION);
    for photo in 0..photos.len() {
        let entry = Enrolled {
            whale: photos.label(photo).whale.clone().unwrap(),
            photo: photos.label(photo).name.clone(),
            source: String::new(),
        };
        let row = Embedding::normalised(photos.rows().row(photo).to_vec()).unwrap();
        catalogue.enrol(entry, &row).unwrap();
    }
    let looks = retrieval::looks(&photos);
    assert_eq!(looks.len(), 600);
    for look in &looks {
        let query = catalogue.embedding(look.photo);
        let ranking = catalogue
            .search_where(query, 5, |i| i != look.photo)
            .unwrap();
        let ours: Vec<&str> = look
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
    assert_eq!((found.figures.queries, found.whales), (5000, 1000));
    let r1 = found.figures.recall_at_1;
    // Far above the thousandth of chance, and not so easy that nothing could be worse.
    assert!(r1 > 0.3 && r1 < 0.99, "{r1}");
    let interval = found.intervals.recall_at_1.unwrap();
    assert!(interval.low < r1 && r1 < interval.high);
    assert!(found.map_at_r < found.figures.map_at_5);

    let options = open_set::Options {
        draws: 2,
        seed: 1,
        rule: None,
    };
    let open = open_set::measure(&photos, &options, &bootstrap).unwrap();
    assert_eq!((open.known_queries, open.new_queries), (2500.0, 2500.0));
    let (auroc, oscr) = (open.auroc.value, open.oscr_area.value);
    assert!(auroc > 0.6 && auroc < 1.0 && oscr < auroc, "{auroc} {oscr}");
    // Set on the enrolled half to let 5 % through, the rule keeps near to it on whales that it has not seen.
    let rule = open.rule_as_enrolled.unwrap();
    assert!(rule.new_named > 0.01 && rule.new_named < 0.12, "{rule:?}");
}
