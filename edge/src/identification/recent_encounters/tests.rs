use super::*;
use crate::identification::surfacing::tests::surfacing;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::local_matching::{Descriptors, Layout};
use flukewatch_common::relative_position::RelativePosition;

const MINUTE: i64 = 60_000;

/// Embeddings of a whale at `angle` in degrees, as two crops show it.
fn whale(angle: f32) -> Vec<EmbeddedPhoto> {
    let at = |a: f32| {
        let a = (angle + a).to_radians();
        EmbeddedPhoto {
            embedding: Embedding::normalised(vec![a.cos(), a.sin()]).unwrap(),
            local: None,
        }
    };
    vec![at(-3.0), at(3.0)]
}

fn rule() -> DecisionRule {
    DecisionRule::thresholds(0.9, 0.6, "")
}

fn known(whale: &str) -> Decision {
    Decision::Known {
        whale: whale.into(),
    }
}

/// Recent encounters with encounter 1, from 0 to 3 s, of a whale at 0 degrees with this decision.
fn after(decision: Decision) -> RecentEncounters {
    let mut recent = RecentEncounters::new(Duration::from_secs(600));
    let first = surfacing(4, 0, 3000);
    recent.remember(Uuid::from_u128(1), first, whale(0.0), decision);
    recent
}

fn same(recent: &RecentEncounters, next: &Surfacing, angle: f32, decision: Decision) -> bool {
    let found = recent.find_continued(next, &whale(angle), &decision, &rule(), None);
    found.is_some_and(|e| e.encounter == Uuid::from_u128(1))
}

#[test]
fn a_whale_that_resurfaces_within_minutes_continues_its_encounter() {
    let recent = after(Decision::New);
    for camera in [0, 1] {
        let next = |started| surfacing(5, started, started + 2000).of_camera(camera);
        assert!(same(&recent, &next(5 * MINUTE), 10.0, Decision::New));
        assert!(same(&recent, &next(5 * MINUTE), 10.0, known("W1")));
        assert!(!same(&recent, &next(5 * MINUTE), 40.0, Decision::New));
        assert!(!same(&recent, &next(11 * MINUTE), 10.0, Decision::New));
    }
}

#[test]
fn one_fluke_before_two_cameras_is_one_encounter() {
    let recent = after(Decision::New);
    let next = |started, ended| surfacing(4, started, ended).of_camera(1);
    for (started, ended) in [(1000, 4000), (-500, 3500), (-3000, -1000), (4900, 6000)] {
        assert!(same(&recent, &next(started, ended), 10.0, Decision::New));
        assert!(!same(&recent, &next(started, ended), 40.0, Decision::New));
    }
    assert!(!same(&recent, &next(-9000, -2001), 10.0, Decision::New));
    let without_returns = RecentEncounters::new(Duration::ZERO);
    assert!(!same(
        &without_returns,
        &next(1000, 4000),
        0.0,
        Decision::New
    ));
}

#[test]
fn two_tracks_of_one_camera_at_once_are_two_whales() {
    let mut recent = after(known("W1"));
    for started in [-1000, 0, 2000, 3000] {
        let next = surfacing(5, started, 5000);
        assert!(!same(&recent, &next, 0.0, known("W1")), "{started}");
    }
    // Also where the other camera saw one of them last.
    let id = Uuid::from_u128(1);
    let seen_too = surfacing(7, 1000, 3500).of_camera(1);
    assert!(same(&recent, &seen_too, 0.0, known("W1")));
    recent.remember(id, seen_too, whale(0.0), known("W1"));
    let second = surfacing(5, 2000, 5000);
    assert!(!same(&recent, &second, 0.0, known("W1")));
    assert!(!same(&recent, &second.of_camera(1), 0.0, known("W1")));
    assert!(same(&recent, &second.of_camera(2), 0.0, known("W1")));
}

#[test]
fn bearings_that_are_too_far_apart_are_two_whales() {
    let seen_at = |bearing_from_bow| {
        Some(RelativePosition {
            bearing_from_bow: Some(bearing_from_bow),
            bearing: None,
            range: None,
        })
    };
    let mut recent = RecentEncounters::new(Duration::from_secs(600));
    let first = surfacing(4, 0, 3000).at(seen_at(355.0));
    recent.remember(Uuid::from_u128(1), first, whale(0.0), known("W1"));
    let next = |started, position| {
        let next = surfacing(5, started, started + 2000);
        next.of_camera(1).at(position)
    };
    let is_same = |next| same(&recent, &next, 0.0, known("W1"));
    assert!(is_same(next(1000, seen_at(14.0))));
    assert!(!is_same(next(1000, seen_at(16.0))));
    assert!(is_same(next(1000, None)), "one is unknown");
    // A whale that returns may be anywhere.
    assert!(!is_same(next(4000, seen_at(180.0))));
    assert!(is_same(next(MINUTE, seen_at(180.0))));
}

#[test]
fn parts_of_a_track_belong_together_after_another_track_continued_it() {
    let mut recent = after(Decision::New);
    let id = Uuid::from_u128(1);
    let other = surfacing(8, 3050, 3300).of_camera(1);
    recent.remember(id, other, whale(0.0), Decision::New);
    let part = surfacing(4, 3100, 9000);
    assert!(same(&recent, &part, 90.0, Decision::New));
}

#[test]
fn two_known_individuals_decide() {
    let recent = after(known("W1"));
    let next = surfacing(5, MINUTE, MINUTE + 2000);
    assert!(same(&recent, &next, 80.0, known("W1")));
    assert!(!same(&recent, &next, 0.0, known("W2")));
}

#[test]
fn a_part_continues_its_track_at_any_similarity() {
    let mut recent = RecentEncounters::new(Duration::ZERO);
    let id = Uuid::from_u128(1);
    recent.remember(id, surfacing(4, 0, 3000), whale(0.0), known("W1"));
    let next = surfacing(4, 3100, 5000);
    let found = |camera| {
        let new = Decision::New;
        let next = next.of_camera(camera);
        let found = recent.find_continued(&next, &whale(90.0), &new, &rule(), None);
        found.map(|e| e.encounter)
    };
    assert_eq!((found(0), found(1)), (Some(id), None));
}

#[test]
fn tracks_of_another_run_are_unrelated() {
    let recent = after(Decision::New);
    for number in [4, 5] {
        let next = surfacing(number, MINUTE, MINUTE + 1).of_session(10);
        let new = Decision::New;
        let found = recent.find_continued(&next, &whale(0.0), &new, &rule(), None);
        assert!(found.is_none());
    }
}

#[test]
fn the_most_similar_is_continued_and_time_counts_from_the_last_part() {
    let mut recent = after(Decision::New);
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    recent.remember(other, surfacing(5, 4000, 6000), whale(20.0), Decision::New);
    let next = surfacing(6, MINUTE, MINUTE + 1000);
    let of = |recent: &RecentEncounters, next: &Surfacing, angle| {
        let new = Decision::New;
        let found = recent.find_continued(next, &whale(angle), &new, &rule(), None);
        found.map(|e| e.encounter)
    };
    assert_eq!(of(&recent, &next, 2.0), Some(one));
    assert_eq!(of(&recent, &next, 17.0), Some(other));
    recent.remember(
        one,
        surfacing(7, 9 * MINUTE, 9 * MINUTE + 1),
        whale(0.0),
        Decision::New,
    );
    assert_eq!(
        of(&recent, &surfacing(8, 18 * MINUTE, 18 * MINUTE + 1), 0.0),
        Some(one)
    );
    assert_eq!(
        of(&recent, &surfacing(8, 18 * MINUTE, 18 * MINUTE + 1), 30.0),
        None
    );
}

#[test]
fn descriptors_count_where_the_bundle_has_local_matching() {
    let layout = Layout {
        height: 1,
        width: 1,
        dimension: 2,
        fine: 0,
    };
    let described = |angle, numbers: [f32; 2]| {
        let local = Some(Descriptors::quantised(layout, &numbers).unwrap());
        let embedding = whale(angle)[0].embedding.clone();
        EmbeddedPhoto { embedding, local }
    };
    let score = LocalScore {
        weight: 1.0,
        intercept: 0.0,
        slope: 0.0,
        typical_norm: 0.5,
        whales: 30,
        photos: 2,
        fine: None,
    };
    let one = described(0.0, [1.0, 0.0]);
    let of = |other: &EmbeddedPhoto, local| photo_score(&one, other, local);
    // Equal descriptors add 1 - 0.5, descriptors at a right angle 0 - 0.5.
    let (same, other) = (described(60.0, [1.0, 0.0]), described(60.0, [0.0, 1.0]));
    assert!((of(&same, None) - 0.5).abs() < 1e-6);
    assert!((of(&same, Some(&score)) - 1.0).abs() < 1e-6);
    assert!(of(&other, Some(&score)).abs() < 1e-6);
    let without = EmbeddedPhoto {
        local: None,
        ..same.clone()
    };
    assert_eq!(of(&without, Some(&score)), of(&same, None));
}

#[test]
fn memory_is_bounded() {
    let mut recent = RecentEncounters::new(Duration::from_secs(600));
    for i in 0..100 {
        let one = surfacing(i, 0, 1);
        recent.remember(
            Uuid::from_u128(u128::from(i / 2)),
            one,
            whale(0.0),
            Decision::New,
        );
    }
    assert_eq!(recent.recent.len(), MAX_RECENT);
    for _ in 0..20 {
        recent.remember(
            Uuid::from_u128(49),
            surfacing(9, 0, 1),
            whale(0.0),
            Decision::New,
        );
    }
    assert_eq!(recent.recent.len(), MAX_RECENT);
    assert_eq!(recent.recent.back().unwrap().embedded.len(), MAX_CROPS);
}
