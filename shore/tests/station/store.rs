//! The SQLite store: limits, round trips, and folders that it cannot open.

use crate::sample;
use flukewatch_common::bundle_transfer::{ContentId, TransferProgress, TransferReport};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;
use flukewatch_common::{topic, wire};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::{
    BundleTransfer, IncomingMessage, IngestResult, MAX_REJECTED_MESSAGES, MAX_TRANSFERS,
    PictureState, Query, RecordedOffer, RejectReason, SqliteStore, Store, StoreError,
    TransferStage, TransferredBytes,
};
use std::path::Path;
use uuid::Uuid;

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
fn an_unidentified_sighting_is_replaced_by_its_identification() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let recorded = sample::unidentified("balaena", 3);
    let identified = Sighting {
        revision: 1,
        ..sample::sighting("balaena", 3).0
    };
    let batch = [message(&recorded), message(&identified)];
    assert_eq!(
        duplicates(&store, &batch[..1]),
        [Some(false)],
        "stored without a whale"
    );
    let stored = || store.sighting(recorded.id).unwrap().unwrap().sighting;
    assert_eq!(stored(), recorded);
    assert_eq!(duplicates(&store, &batch), [Some(true), Some(false)]);
    assert_eq!(stored(), identified);
    assert_eq!(
        store.earlier_revisions(recorded.id).unwrap()[0].sighting,
        recorded
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

/// Revision `revision` of a sighting: each has another start.
fn revised(sighting: &Sighting, revision: u32) -> Sighting {
    Sighting {
        revision,
        started: sighting.started.plus_millis(i64::from(revision)),
        ..sighting.clone()
    }
}

fn message(sighting: &Sighting) -> IncomingMessage {
    validate(TOPIC, &wire::encode(sighting).unwrap())
}

/// Whether each message had been stored before; `None` for a conflict.
fn duplicates(store: &SqliteStore, batch: &[IncomingMessage]) -> Vec<Option<bool>> {
    let results = store.accept(batch, Timestamp(7)).unwrap();
    let duplicate = |result: IngestResult| match result {
        IngestResult::Stored { duplicate, .. } => Some(duplicate),
        other @ (IngestResult::PartStored { .. }
        | IngestResult::StatusStored
        | IngestResult::TransferStored { .. }
        | IngestResult::UnknownOffer { .. }
        | IngestResult::ChunkStored { .. }
        | IngestResult::UnknownRequest { .. }
        | IngestResult::Quarantined { .. }
        | IngestResult::Failed(_)
        | IngestResult::NotStored) => panic!("sent no such message: {other:?}"),
        IngestResult::Rejected(rejection) => {
            assert_eq!(rejection.reason, RejectReason::Conflict);
            None
        }
    };
    results.into_iter().map(duplicate).collect()
}

/// All 1,024 sequences of five revisions numbered 0 to 3, each sequence for a sighting of its own.
#[test]
fn any_order_and_repetition_of_revisions_ends_in_the_newest() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let order = |n: u32| (0..5).map(move |i| n >> (2 * i) & 3);
    let batch: Vec<_> = (0..1024)
        .flat_map(|n| {
            let (s, _) = sample::sighting("balaena", u64::from(n) + 1);
            order(n).map(move |revision| message(&revised(&s, revision)))
        })
        .collect();
    let stored = duplicates(&store, &batch);
    for (n, stored) in (0..1024).zip(stored.chunks(5)) {
        let (s, _) = sample::sighting("balaena", u64::from(n) + 1);
        let revisions: Vec<u32> = order(n).collect();
        let before = (0..5).map(|i| Some(revisions[..i].contains(&revisions[i])));
        assert_eq!(stored, before.collect::<Vec<_>>(), "{revisions:?}");
        let mut expected = revisions.clone();
        expected.sort_unstable();
        expected.dedup();
        let newest = expected.pop().unwrap();
        let kept = store.sighting(s.id).unwrap().unwrap().sighting;
        assert_eq!(kept, revised(&s, newest), "{revisions:?}");
        let earlier: Vec<Sighting> = store
            .earlier_revisions(s.id)
            .unwrap()
            .into_iter()
            .map(|e| e.sighting)
            .collect();
        let expected: Vec<Sighting> = expected.iter().map(|r| revised(&s, *r)).collect();
        assert_eq!(earlier, expected, "{revisions:?}");
    }
    let boat = store.boats().unwrap().remove(0);
    assert_eq!(
        (boat.sightings, boat.missing, boat.duplicate_sequences),
        (1024, 0, 0),
        "revisions are not counted as sightings"
    );
}

#[test]
fn a_revision_keeps_the_picture_and_cannot_take_another_sightings_place() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let (s, p) = sample::sighting("balaena", 3);
    let picture = validate("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap());
    let batch = [message(&s), picture, message(&revised(&s, 2))];
    store.accept(&batch, Timestamp(0)).unwrap();
    let newest = || store.sighting(s.id).unwrap().unwrap();
    assert_eq!(newest().picture, PictureState::Stored);
    assert_eq!(
        store.earlier_revisions(s.id).unwrap()[0].picture,
        PictureState::Stored
    );

    let mut other_picture = revised(&s, 3);
    other_picture.picture.sha256[0] ^= 1;
    let other_sequence = Sighting {
        sequence: 4,
        ..revised(&s, 3)
    };
    let changed = |revision| Sighting {
        frames: s.frames + 1,
        ..revised(&s, revision)
    };
    let conflicts = [other_picture, other_sequence, changed(0), changed(2)];
    let batch: Vec<_> = conflicts.iter().map(message).collect();
    assert_eq!(duplicates(&store, &batch), [None; 4]);
    assert_eq!(newest().sighting, revised(&s, 2));
    assert_eq!(store.earlier_revisions(s.id).unwrap().len(), 1);
    assert_eq!(store.earlier_revisions(uuid::Uuid::nil()).unwrap(), vec![]);
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
    database_of_version(data.path(), 99);
    for error in [
        SqliteStore::open(data.path()).unwrap_err(),
        SqliteStore::open_read_only(data.path()).unwrap_err(),
    ] {
        assert!(
            matches!(error, StoreError::Newer { found: 99, .. }),
            "{error}"
        );
    }
}

/// The tables of version 7.
const TABLES_OF_7: &str = include_str!("store/version_7.sql");

/// Turns the database of `data` into one of version 6 to 15 with the same content.
fn downgrade(data: &Path, version: i64) {
    let db = rusqlite::Connection::open(data.join("shore.sqlite3")).unwrap();
    db.pragma_update(None, "user_version", version).unwrap();
    db.execute_batch("DROP TABLE picture_parts").unwrap();
    if version == 15 {
        return;
    }
    db.execute_batch("DROP TABLE file_requests; DROP TABLE commands")
        .unwrap();
    if version >= 14 {
        return;
    }
    db.execute_batch("ALTER TABLE status_reports DROP COLUMN settings")
        .unwrap();
    if version == 13 {
        return;
    }
    db.execute_batch("DROP TABLE quarantine").unwrap();
    if version == 12 {
        return;
    }
    db.execute_batch("ALTER TABLE status_reports DROP COLUMN link; DROP TABLE briefs")
        .unwrap();
    if version == 11 {
        return;
    }
    db.execute_batch("DROP TABLE bundle_transfers").unwrap();
    if version == 10 {
        return;
    }
    for column in ["bearing_from_bow", "bearing", "range_metres"] {
        db.execute_batch(&format!("ALTER TABLE sightings DROP COLUMN {column}"))
            .unwrap();
    }
    if version == 9 {
        return;
    }
    db.execute_batch("DROP TABLE status_reports").unwrap();
    if version == 8 {
        return;
    }
    db.execute_batch(
        "PRAGMA foreign_keys = OFF; \
         CREATE TEMP TABLE kept AS SELECT * FROM sightings; \
         ALTER TABLE kept DROP COLUMN reason; \
         CREATE TEMP TABLE kept_candidates AS SELECT * FROM candidates; \
         DROP TABLE candidates; DROP TABLE sightings;",
    )
    .unwrap();
    db.execute_batch(TABLES_OF_7).unwrap();
    db.execute_batch(
        "INSERT INTO sightings SELECT * FROM kept; \
         INSERT INTO candidates SELECT * FROM kept_candidates;",
    )
    .unwrap();
    if version == 6 {
        db.execute_batch("ALTER TABLE sightings DROP COLUMN regions")
            .unwrap();
    }
}

#[test]
fn a_database_of_version_6_to_15_is_upgraded() {
    for version in 6..=15 {
        let data = tempfile::tempdir().unwrap();
        let mut old: Vec<Sighting> = [(1, Verdict::New), (2, Verdict::Review)]
            .into_iter()
            .map(|(sequence, verdict)| {
                let (s, _) = sample::sighting("balaena", sequence);
                let regions = s.regions.clone().filter(|_| version > 6);
                Sighting {
                    verdict,
                    regions,
                    relative_position: None,
                    ..s
                }
            })
            .collect();
        if version > 7 {
            old.push(Sighting {
                relative_position: None,
                ..sample::unidentified("balaena", 5)
            });
        }
        {
            let store = SqliteStore::open(data.path()).unwrap();
            let batch: Vec<_> = old.iter().map(message).collect();
            store.accept(&batch, Timestamp(5)).unwrap();
        }
        downgrade(data.path(), version);
        let error = SqliteStore::open_read_only(data.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::NotUpgraded { found, .. } if found == version),
            "{error}"
        );
        let store = SqliteStore::open(data.path()).unwrap();
        for sighting in &old {
            let stored = store.sighting(sighting.id).unwrap().unwrap();
            assert_eq!(
                (&stored.sighting, stored.received),
                (sighting, Timestamp(5))
            );
        }
        let offer = recorded_offer();
        store
            .record_offers(std::slice::from_ref(&offer), Timestamp(7))
            .unwrap();
        assert_eq!(
            store.last_transfers().unwrap(),
            [BundleTransfer::new(offer)]
        );
        // An identified sighting, one that is not, and a revision of an old one.
        let (new, _) = sample::sighting("balaena", 3);
        let unidentified = sample::unidentified("balaena", 4);
        let revision = Sighting {
            revision: 1,
            verdict: Verdict::New,
            ..old[1].clone()
        };
        let added = [new, unidentified, revision];
        let batch: Vec<_> = added.iter().map(message).collect();
        store.accept(&batch, Timestamp(6)).unwrap();
        for sighting in &added {
            let stored = store.sighting(sighting.id).unwrap().unwrap();
            assert_eq!(stored.sighting, *sighting);
        }
        drop(store);
        // Each table, index and reference is as in a new database.
        let fresh = tempfile::tempdir().unwrap();
        drop(SqliteStore::open(fresh.path()).unwrap());
        assert_eq!(schema(data.path()), schema(fresh.path()));
        let db = rusqlite::Connection::open(data.path().join("shore.sqlite3")).unwrap();
        let mut check = db.prepare("PRAGMA foreign_key_check").unwrap();
        assert!(check.query([]).unwrap().next().unwrap().is_none());
        SqliteStore::open_read_only(data.path()).unwrap();
    }
}

fn recorded_offer() -> RecordedOffer {
    RecordedOffer {
        id: Uuid::from_u128(1),
        boat: "balaena".parse().unwrap(),
        manifest: ContentId::of(b"manifest"),
        name: "azores".into(),
        version: Some(3),
        offered_at: Timestamp(6),
    }
}

/// A boat's report on an offer.
fn transfer_report(offer: &RecordedOffer, progress: TransferProgress) -> IncomingMessage {
    let report = TransferReport {
        boat: offer.boat.clone(),
        offer: offer.id,
        at: Timestamp(100),
        progress,
    };
    let topic = topic::of_requests(&offer.boat);
    validate(&topic, &wire::encode(&report).unwrap())
}

#[test]
fn the_history_of_a_boat_s_bundles_is_kept() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let offer = |number: u128| RecordedOffer {
        id: Uuid::from_u128(number),
        version: (number > 1).then_some(number as u64),
        offered_at: Timestamp(number as i64),
        ..recorded_offer()
    };
    let report = |number, progress, now| {
        let message = transfer_report(&offer(number), progress);
        store.accept(&[message], Timestamp(now)).unwrap().remove(0)
    };
    let record = |open: &[RecordedOffer], now| {
        let transfers = store.record_offers(open, Timestamp(now)).unwrap();
        transfers.iter().map(|t| t.offer.id).collect::<Vec<_>>()
    };
    assert_eq!(record(&[offer(1)], 50), [offer(1).id]);
    let receiving = TransferProgress::Receiving {
        received: 4,
        total: 9,
    };
    report(1, receiving, 60);
    // The second offer replaces the first.
    assert_eq!(record(&[offer(2)], 70), [offer(2).id, offer(1).id]);
    report(2, TransferProgress::Active, 80);
    assert!(record(&[], 90).is_empty());
    let transfers = store.boats().unwrap().remove(0).transfers;
    let [second, first] = &transfers[..] else {
        panic!("{transfers:?}");
    };
    assert_eq!((&first.offer, &second.offer), (&offer(1), &offer(2)));
    let withdrawn = (first.withdrawn_at, second.withdrawn_at);
    assert_eq!(withdrawn, (Some(Timestamp(70)), None));
    assert_eq!(
        first.bytes,
        Some(TransferredBytes {
            received: 4,
            total: 9
        })
    );
    assert_eq!(
        (first.stage, first.since),
        (TransferStage::Receiving, Timestamp(60))
    );
    assert_eq!(
        (second.stage, second.since),
        (TransferStage::Active, Timestamp(80))
    );
    let last = store.last_transfers().unwrap();
    assert_eq!(last, std::slice::from_ref(second));
    // It was on trial when it was replaced.
    let reason = "the camera stopped".to_owned();
    let rolled_back = TransferProgress::RolledBack { reason };
    let stage = TransferStage::RolledBack;
    let (boat, id) = (offer(1).boat, offer(1).id);
    assert_eq!(
        report(1, rolled_back, 95),
        IngestResult::TransferStored {
            boat: boat.clone(),
            offer: id,
            stage
        }
    );
    let first = store.boats().unwrap().remove(0).transfers.remove(1);
    assert_eq!(first.reason.as_deref(), Some("the camera stopped"));
    // Never offered, or to another boat.
    let other = RecordedOffer {
        boat: "mysticeta".parse().unwrap(),
        ..offer(2)
    };
    for unknown in [offer(3), other] {
        let message = transfer_report(&unknown, TransferProgress::Active);
        let result = store.accept(&[message], Timestamp(99)).unwrap().remove(0);
        let (boat, offer) = (unknown.boat, unknown.id);
        assert_eq!(result, IngestResult::UnknownOffer { boat, offer });
    }
    let boats = store.boats().unwrap();
    assert_eq!((boats.len(), boats[0].last_seen), (1, Timestamp(95)));
}

#[test]
fn the_last_offers_of_a_boat_are_listed() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    for number in 1..=12u128 {
        let offer = RecordedOffer {
            id: Uuid::from_u128(number),
            ..recorded_offer()
        };
        let message = transfer_report(&offer, TransferProgress::Testing);
        store.record_offers(&[offer], Timestamp(7)).unwrap();
        store.accept(&[message], Timestamp(8)).unwrap();
    }
    let transfers = store.boats().unwrap().remove(0).transfers;
    assert_eq!(transfers.len(), MAX_TRANSFERS);
    assert_eq!(transfers[0].offer.id, Uuid::from_u128(12));
}

/// What the database of `data` consists of, by name.
fn schema(data: &Path) -> Vec<(String, Option<String>)> {
    let db = rusqlite::Connection::open(data.join("shore.sqlite3")).unwrap();
    let mut statement = db
        .prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_older_database_is_rejected_and_left_unchanged() {
    for version in [1, 2, 3, 4, 5] {
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
