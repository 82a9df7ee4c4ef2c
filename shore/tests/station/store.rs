//! The SQLite store by itself: what it keeps within bounds and what it refuses to open.

use crate::sample;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::wire;
use flukewatch_shore::ingest::judge;
use flukewatch_shore::store::sqlite::{KEPT_REFUSED, SqliteStore};
use flukewatch_shore::store::{PictureState, Query, Store};

const TOPIC: &str = "flukewatch/v1/balaena/sighting";

#[test]
fn refused_messages_are_kept_within_bounds_and_counted_beyond() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let many = KEPT_REFUSED + 50;
    let batch: Vec<_> = (0..many)
        .map(|n| judge(TOPIC, format!("nonsense {n}").as_bytes()))
        .collect();
    for (n, arrival) in (0..).zip(&batch) {
        // One batch would do, but the times must differ.
        if n % 100 == 0 {
            let end = (n + 100).min(batch.len());
            store.accept(&batch[n..end], Timestamp(n as i64)).unwrap();
        }
        assert!(arrival.content.is_err());
    }
    let kept = store.refused(10_000).unwrap();
    assert_eq!(kept.len() as i64, KEPT_REFUSED);
    assert_eq!(kept[0].bytes, format!("nonsense {}", many - 1).len() as u64);
    let counts = store.refused_counts().unwrap();
    assert_eq!(
        (counts.len(), counts[0].reason.as_str(), counts[0].total),
        (1, "foreign", many as u64)
    );
}

#[test]
fn a_sighting_comes_back_as_it_was() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (mut s, _) = sample::sighting("balaena", 3);
    s.candidates[0].score = -0.123_456_79;
    s.embedding.values = vec![-128, -1, 0, 1, 127];
    store
        .accept(&[judge(TOPIC, &wire::encode(&s).unwrap())], Timestamp(5))
        .unwrap();
    let kept = store.sighting(s.id).unwrap().unwrap();
    assert_eq!(
        (kept.sighting, kept.received, kept.picture),
        (s, Timestamp(5), PictureState::Missing)
    );
}

#[test]
fn a_picture_file_taken_away_is_written_again_when_it_comes_again() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (s, p) = sample::sighting("balaena", 3);
    let batch = [
        judge(TOPIC, &wire::encode(&s).unwrap()),
        judge("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap()),
    ];
    store.accept(&batch, Timestamp(0)).unwrap();
    let file = data.path().join("pictures").join(format!("{}.jpg", s.id));
    assert_eq!(std::fs::read(&file).unwrap(), p.jpeg);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(store.picture(s.id).unwrap(), None);
    store.accept(&batch, Timestamp(1)).unwrap();
    assert_eq!(store.picture(s.id).unwrap().unwrap(), p.jpeg);
}

#[test]
fn what_cannot_be_written_is_not_said_to_be_stored() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (s, p) = sample::sighting("balaena", 3);
    let pictures = data.path().join("pictures");
    std::fs::remove_dir(&pictures).unwrap();
    std::fs::write(&pictures, "in the way").unwrap();
    let batch = [
        judge(TOPIC, &wire::encode(&s).unwrap()),
        judge("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap()),
    ];
    let error = store.accept(&batch, Timestamp(0)).unwrap_err().to_string();
    assert!(error.contains("pictures"), "{error}");
    let all = Query {
        limit: 9,
        ..Query::default()
    };
    assert_eq!(
        store.sightings(&all).unwrap().total,
        0,
        "none of the batch is there"
    );
    std::fs::remove_file(&pictures).unwrap();
    std::fs::create_dir(&pictures).unwrap();
    store.accept(&batch, Timestamp(0)).unwrap();
    assert_eq!(store.sightings(&all).unwrap().total, 1);
}

#[test]
fn folders_that_cannot_serve_are_named() {
    let data = tempfile::tempdir().unwrap();
    let error = SqliteStore::look(&data.path().join("nothing"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("nothing") && error.contains("serve --data"),
        "{error}"
    );

    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(
        SqliteStore::open(&file)
            .unwrap_err()
            .to_string()
            .contains("cannot be used")
    );

    let used = data.path().join("used");
    let _first = SqliteStore::open(&used).unwrap();
    assert!(
        SqliteStore::open(&used)
            .unwrap_err()
            .to_string()
            .contains("in use by another")
    );

    let newer = data.path().join("newer");
    drop(SqliteStore::open(&newer).unwrap());
    let db = rusqlite::Connection::open(newer.join("shore.sqlite3")).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    assert!(
        SqliteStore::open(&newer)
            .unwrap_err()
            .to_string()
            .contains("version 9")
    );
    assert!(
        SqliteStore::look(&newer)
            .unwrap_err()
            .to_string()
            .contains("update it")
    );
}

/// Columns that version 4 added.
const SINCE_4: [&str; 8] = [
    "encounter",
    "frame_width",
    "frame_height",
    "places",
    "crops",
    "earlier_crops",
    "detector",
    "config",
];
/// Columns that version 3 added.
const SINCE_3: [&str; 11] = [
    "latitude",
    "longitude",
    "fix_quality",
    "fix_age",
    "satellites",
    "hdop",
    "speed",
    "course",
    "heading",
    "time_source",
    "time_uncertainty",
];

#[test]
fn an_older_database_is_brought_up_to_date_and_keeps_what_it_has() {
    for version in [1, 2, 3] {
        let data = tempfile::tempdir().unwrap();
        let (s, _) = sample::sighting("balaena", 3);
        let batch = [judge(TOPIC, &wire::encode(&s).unwrap())];
        let store = SqliteStore::open(data.path()).unwrap();
        store.accept(&batch, Timestamp(5)).unwrap();
        drop(store);
        let db = rusqlite::Connection::open(data.path().join("shore.sqlite3")).unwrap();
        db.execute_batch("DROP INDEX sightings_by_encounter")
            .unwrap();
        let third = SINCE_3.into_iter().filter(|_| version < 3);
        let newer = SINCE_4.into_iter().chain(third);
        for column in newer.chain((version == 1).then_some("chance")) {
            db.execute_batch(&format!("ALTER TABLE sightings DROP COLUMN {column}"))
                .unwrap();
        }
        db.pragma_update(None, "user_version", version).unwrap();
        drop(db);
        // Whoever only reads does not change it.
        let error = SqliteStore::look(data.path()).unwrap_err().to_string();
        assert!(error.contains("serve"), "{error}");
        let store = SqliteStore::open(data.path()).unwrap();
        let kept = store.sighting(s.id).unwrap().unwrap().sighting;
        assert_eq!(kept.chance, s.chance.filter(|_| version >= 2));
        let (position, time) = (s.position, s.time);
        let of_third = (version == 3).then_some((position, time));
        let had = of_third.unwrap_or((None, None));
        assert_eq!(
            (kept.position, kept.time, kept.footage),
            (had.0, had.1, None)
        );
        assert_eq!(kept.candidates, s.candidates);
        let (next, _) = sample::sighting("balaena", 4);
        let batch = [judge(TOPIC, &wire::encode(&next).unwrap())];
        store.accept(&batch, Timestamp(6)).unwrap();
        assert_eq!(store.sighting(next.id).unwrap().unwrap().sighting, next);
    }
}
