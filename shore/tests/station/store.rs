//! The SQLite store: limits, round trips, and folders that it cannot open.

use crate::sample;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::wire;
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::{
    MAX_REJECTED_MESSAGES, PictureState, Query, SqliteStore, Store, StoreError,
};
use std::path::Path;

const TOPIC: &str = "flukewatch/v1/balaena/sighting";

#[test]
fn the_latest_rejected_messages_are_kept_and_all_are_counted() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let many = MAX_REJECTED_MESSAGES + 50;
    let batch: Vec<_> = (0..many)
        .map(|n| validate(TOPIC, format!("garbage {n}").as_bytes()))
        .collect();
    for (n, message) in (0..).zip(&batch) {
        // Several batches, so that the times differ.
        if n % 100 == 0 {
            let end = (n + 100).min(batch.len());
            store.accept(&batch[n..end], Timestamp(n as i64)).unwrap();
        }
        assert!(message.content.is_err());
    }
    let kept = store.rejected_messages(10_000).unwrap();
    assert_eq!(kept.len() as i64, MAX_REJECTED_MESSAGES);
    assert_eq!(kept[0].bytes, format!("garbage {}", many - 1).len() as u64);
    let counts = store.rejected_counts().unwrap();
    assert_eq!(
        (counts.len(), counts[0].reason.as_str(), counts[0].total),
        (1, "unknown_format", many as u64)
    );
}

#[test]
fn a_sighting_survives_the_round_trip() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (mut s, _) = sample::sighting("balaena", 3);
    s.candidates[0].score = -0.123_456_79;
    s.embedding.values = vec![-128, -1, 0, 1, 127];
    store
        .accept(&[validate(TOPIC, &wire::encode(&s).unwrap())], Timestamp(5))
        .unwrap();
    let kept = store.sighting(s.id).unwrap().unwrap();
    assert_eq!(
        (kept.sighting, kept.received, kept.picture),
        (s, Timestamp(5), PictureState::Missing)
    );
}

#[test]
fn a_deleted_picture_file_is_rewritten_on_redelivery() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (s, p) = sample::sighting("balaena", 3);
    let batch = [
        validate(TOPIC, &wire::encode(&s).unwrap()),
        validate("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap()),
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
fn a_failed_write_rolls_the_batch_back() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (s, p) = sample::sighting("balaena", 3);
    let pictures = data.path().join("pictures");
    std::fs::remove_dir(&pictures).unwrap();
    std::fs::write(&pictures, "in the way").unwrap();
    let batch = [
        validate(TOPIC, &wire::encode(&s).unwrap()),
        validate("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap()),
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
        "nothing of the batch is stored"
    );
    std::fs::remove_file(&pictures).unwrap();
    std::fs::create_dir(&pictures).unwrap();
    store.accept(&batch, Timestamp(0)).unwrap();
    assert_eq!(store.sightings(&all).unwrap().total, 1);
}

#[test]
fn unusable_folders_are_errors() {
    let data = tempfile::tempdir().unwrap();
    let nothing = SqliteStore::open_read_only(&data.path().join("nothing"));
    assert!(matches!(nothing, Err(StoreError::NoData(folder)) if folder.ends_with("nothing")));

    let file = data.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(
        SqliteStore::open(&file),
        Err(StoreError::Folder { .. })
    ));

    let used = data.path().join("used");
    let _first = SqliteStore::open(&used).unwrap();
    assert!(matches!(
        SqliteStore::open(&used),
        Err(StoreError::InUse(_))
    ));
}

/// Changes the version of an empty database.
fn database_of_version(data: &Path, version: i64) {
    drop(SqliteStore::open(data).unwrap());
    let db = rusqlite::Connection::open(data.join("shore.sqlite3")).unwrap();
    db.pragma_update(None, "user_version", version).unwrap();
}

#[test]
fn a_newer_database_is_rejected() {
    let data = tempfile::tempdir().unwrap();
    database_of_version(data.path(), 9);
    for error in [
        SqliteStore::open(data.path()).unwrap_err(),
        SqliteStore::open_read_only(data.path()).unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::Newer { found: 9, .. }),
            "{error}"
        );
    }
}

#[test]
fn an_older_database_is_rejected_and_left_unchanged() {
    for version in [1, 2, 3, 4] {
        let data = tempfile::tempdir().unwrap();
        database_of_version(data.path(), version);
        for error in [
            SqliteStore::open(data.path()).unwrap_err(),
            SqliteStore::open_read_only(data.path()).unwrap_err(),
        ] {
            assert!(
                matches!(error, StoreError::Older { found, .. } if found == version),
                "{error}"
            );
        }
        let db = rusqlite::Connection::open(data.path().join("shore.sqlite3")).unwrap();
        let found: i64 = db
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(found, version);
    }
}
