//! What one message cannot do to others: implausible sightings, damaged rows.

use crate::sample;
use flukewatch_common::brief::Brief;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::position::{TimeBasis, TimeSource};
use flukewatch_common::sighting::Sighting;
use flukewatch_common::wire;
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::{IncomingMessage, IngestResult, Query, SqliteStore, Store};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A minute after the sample sightings.
fn now() -> Timestamp {
    sample::sighting("balaena", 10).0.ended.plus_millis(60_000)
}

fn open() -> (TempDir, SqliteStore) {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    (data, store)
}

fn message(sighting: &Sighting) -> IncomingMessage {
    let topic = format!("flukewatch/v1/{}/sighting", sighting.boat);
    validate(&topic, &wire::encode(sighting).unwrap())
}

fn accept(store: &SqliteStore, sighting: &Sighting) -> IngestResult {
    let mut results = store.accept(&[message(sighting)], now()).unwrap();
    results.pop().unwrap()
}

fn total(store: &SqliteStore) -> u64 {
    store.sightings(&Query::default()).unwrap().total
}

fn at(sighting: Sighting, started: Timestamp, source: TimeSource) -> Sighting {
    Sighting {
        started,
        ended: started,
        time: Some(TimeBasis {
            source,
            uncertainty: None,
        }),
        ..sighting
    }
}

#[test]
fn an_absurd_sequence_number_is_kept_apart() {
    let (_data, store) = open();
    let stored = |sequence| {
        let sighting = sample::sighting("balaena", sequence).0;
        accept(&store, &at(sighting, now(), TimeSource::Gnss))
    };
    for sequence in [1, 2, 1_000_000] {
        assert!(matches!(stored(sequence), IngestResult::Stored { .. }));
    }
    for sequence in [2_000_001, 1 << 40] {
        let result = stored(sequence);
        let IngestResult::Quarantined { reason, .. } = &result else {
            panic!("{result:?}");
        };
        assert!(reason.contains(&sequence.to_string()), "{reason}");
    }
    // Sent again, it is not kept twice.
    stored(2_000_001);
    assert_eq!(store.quarantine().unwrap().len(), 2);
    assert_eq!(total(&store), 3);
    let boats = store.boats().unwrap();
    assert_eq!(boats[0].last_sequence, 1_000_000);
    assert!(matches!(stored(2_000_000), IngestResult::Stored { .. }));
}

#[test]
fn a_time_that_cannot_be_right_is_kept_apart() {
    let (_data, store) = open();
    let day = 86_400_000;
    let early = Timestamp(0);
    for (sequence, started, source, plausible) in [
        (1, now().plus_millis(365 * day), TimeSource::Gnss, true),
        (2, now().plus_millis(367 * day), TimeSource::Gnss, false),
        (7, now().plus_millis(365 * day), TimeSource::System, true),
        (3, now().plus_millis(367 * day), TimeSource::System, false),
        // It does not know the date yet.
        (4, early, TimeSource::System, true),
        (5, early, TimeSource::Replay, true),
        (6, early, TimeSource::Gnss, false),
    ] {
        let sighting = at(sample::sighting("balaena", sequence).0, started, source);
        let result = accept(&store, &sighting);
        let is_stored = matches!(result, IngestResult::Stored { .. });
        assert_eq!(is_stored, plausible, "{sequence}: {result:?}");
    }
    assert_eq!(store.quarantine().unwrap().len(), 3);
    // A station whose own clock is wrong does not judge.
    let (_data, store) = open();
    let sighting = sample::sighting("balaena", 1).0;
    let results = store.accept(&[message(&sighting)], early).unwrap();
    assert!(matches!(results[..], [IngestResult::Stored { .. }]));
}

#[test]
fn a_person_releases_or_deletes_what_is_in_quarantine() {
    let (data, store) = open();
    let far = sample::sighting("balaena", 5_000_000).0;
    accept(&store, &far);
    accept(
        &store,
        &Sighting {
            revision: 1,
            ..far.clone()
        },
    );
    let other = sample::sighting("balaena", 9_000_000).0;
    accept(&store, &other);
    let run = |option: &str, id: &str| quarantine(data.path(), &[option, id]);
    assert!(run("--release", &far.id.to_string()));
    assert!(
        !run("--release", &far.id.to_string()),
        "it is not there any more"
    );
    let found = store.sighting(far.id).unwrap().unwrap();
    assert_eq!(
        (found.sighting.sequence, found.sighting.revision),
        (5_000_000, 1)
    );
    assert_eq!(store.earlier_revisions(far.id).unwrap().len(), 1);
    // Later revisions are stored like those of any other.
    let later = Sighting {
        revision: 2,
        ..far.clone()
    };
    assert!(matches!(
        accept(&store, &later),
        IngestResult::Stored { .. }
    ));
    assert!(run("--delete", &other.id.to_string()));
    assert_eq!(store.quarantine().unwrap(), []);
    assert_eq!(store.sighting(other.id).unwrap(), None);
}

/// Whether `flukewatch-shore quarantine` succeeds with these arguments while the store is open.
fn quarantine(data: &Path, arguments: &[&str]) -> bool {
    let status = Command::new(env!("CARGO_BIN_EXE_flukewatch-shore"))
        .args(["quarantine", "--data"])
        .arg(data)
        .args(arguments)
        .status();
    status.unwrap().success()
}

#[test]
fn an_implausible_brief_counts_nowhere() {
    let (_data, store) = open();
    let sighting = at(
        sample::sighting("balaena", 1 << 40).0,
        now(),
        TimeSource::Gnss,
    );
    let brief = wire::encode(&Brief::of(&sighting)).unwrap();
    let brief = validate("flukewatch/v1/balaena/brief", &brief);
    let results = store.accept(&[brief], now()).unwrap();
    assert!(matches!(results[..], [IngestResult::Stored { .. }]));
    assert_eq!(store.briefs(&Query::default()).unwrap(), []);
    assert_eq!(store.boats().unwrap()[0].missing, 0);
}

#[test]
fn a_picture_that_cannot_be_written_stops_no_other() {
    let (data, store) = open();
    let (first, second) = (
        sample::sighting("balaena", 1),
        sample::sighting("balaena", 2),
    );
    let in_the_way = data.path().join(format!("pictures/{}.jpg", first.0.id));
    std::fs::create_dir(&in_the_way).unwrap();
    std::fs::write(in_the_way.join("file"), "x").unwrap();
    let picture = |picture| {
        let topic = "flukewatch/v1/balaena/picture";
        validate(topic, &wire::encode(picture).unwrap())
    };
    let batch = [
        message(&first.0),
        picture(&first.1),
        message(&second.0),
        picture(&second.1),
    ];
    let results = store.accept(&batch, now()).unwrap();
    let stored = results
        .iter()
        .map(|r| matches!(r, IngestResult::Stored { .. }));
    assert_eq!(stored.collect::<Vec<_>>(), [true, false, true, true]);
    assert_eq!(store.picture(second.0.id).unwrap(), Some(second.1.jpeg));
    std::fs::remove_dir_all(&in_the_way).unwrap();
    store.accept(&batch, now()).unwrap();
    assert_eq!(store.picture(first.0.id).unwrap(), Some(first.1.jpeg));
}

#[test]
fn a_damaged_row_stops_only_what_needs_it() {
    let (data, store) = open();
    let damaged = sample::sighting("balaena", 1).0;
    accept(&store, &damaged);
    let db = rusqlite::Connection::open(data.path().join("shore.sqlite3")).unwrap();
    db.execute("UPDATE sightings SET embedding = x'00', boxes = 'x'", [])
        .unwrap();
    let revised = Sighting {
        revision: 1,
        ..damaged.clone()
    };
    let other = sample::sighting("balaena", 2).0;
    let batch = [message(&revised), message(&other)];
    let results = store.accept(&batch, now()).unwrap();
    assert!(
        matches!(
            results[..],
            [IngestResult::Failed(_), IngestResult::Stored { .. }]
        ),
        "{results:?}"
    );
    let results = store.accept(&batch[1..], now()).unwrap();
    let duplicate = |r: &IngestResult| {
        matches!(
            r,
            IngestResult::Stored {
                duplicate: true,
                ..
            }
        )
    };
    assert!(results.iter().all(duplicate));
}
