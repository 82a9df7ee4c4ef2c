//! Boat and station, killed once at each point of a sighting's way: after each sync, write, rename and deletion of their files, and
//! after each send. Every accepted sighting arrives on shore once, with its picture, and no file is left over.
//!
//! Of the writes of a database's pages every fourth is a point. `FLUKEWATCH_EVERY_POINT=1 cargo test --release -p flukewatch-tests
//! --test killed_one_by_one` kills after each of them, and while the outbox is created. It needs strace.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::clock::Timestamp;
use flukewatch_common::samples;
use flukewatch_common::sighting::{BoatId, Sighting};
use flukewatch_edge::outbox::{NewEpoch, Outbox};
use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::kill_points::{CallKind, Calls, KillPoint, Killer, Watched, can_kill};
use flukewatch_tests::program::Running;
use flukewatch_tests::station::Station;
use flukewatch_tests::wait::until;
use rusqlite::Connection;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Of the writes of pages, one of this many is a point.
const PAGE_STRIDE: usize = 4;
/// Points that are tried at the same time: the programs wait for each other most of the time.
const WORKERS: usize = 4;
/// Seconds within which a boat has delivered everything.
const DELIVERY: u32 = 40;
/// The files and folders of an outbox that is closed.
const OUTBOX: [&str; 7] = [
    "archive",
    "health.json",
    "outbox.lock",
    "outbox.reserve",
    "outbox.sqlite3",
    "pictures",
    "recordings",
];

/// Whether each write of a page is a point, too.
fn every_point() -> bool {
    std::env::var_os("FLUKEWATCH_EVERY_POINT").is_some()
}

/// Watches a run of a program, and kills it once at each of the calls that it made, several runs at a time. `run` gets the call to
/// kill it at, its number, which is 0 for the run that is only watched, and a worker's number. Prints what was done.
fn kill_at_each(title: &str, run: impl Fn(Option<KillPoint>, usize, usize) -> Watched + Sync) {
    let began = Instant::now();
    let whole = run(None, 0, 0);
    assert!(!whole.killed);
    let points: Vec<KillPoint> = whole
        .made
        .iter()
        .flat_map(|(calls, &made)| points_of(calls, made))
        .collect();
    let next = AtomicUsize::new(0);
    let missed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (run, next, missed, points) = (&run, &next, &missed, &points);
            scope.spawn(move || {
                let _end = EndAll(next);
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let number = 1 + points.iter().take_while(|other| other != &point).count();
                    println!("{title}, point {number}: {point}");
                    let watched = run(Some(point.clone()), number, worker);
                    if !watched.killed {
                        println!("{title}, point {number}: ended before {point}");
                        missed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut kinds: BTreeMap<CallKind, usize> = BTreeMap::new();
    for point in &points {
        *kinds.entry(point.calls.kind).or_default() += 1;
    }
    let missed = missed.into_inner();
    println!(
        "{title}: killed at {} points in {:.0} s, of {kinds:?}; {}",
        points.len() - missed,
        began.elapsed().as_secs_f64(),
        if every_point() {
            "each write of a page is a point".to_owned()
        } else {
            format!("of the writes of pages every {PAGE_STRIDE}th is a point")
        }
    );
    // How often it sends, and how many pages it writes, depends a little on the time that it takes.
    assert!(missed * 10 <= points.len(), "{missed} points were missed");
    for kind in [
        CallKind::Sync,
        CallKind::Write,
        CallKind::Page,
        CallKind::Rename,
        CallKind::Send,
    ] {
        assert!(kinds.contains_key(&kind), "{title}: never after {kind:?}");
    }
}

/// Ends the other workers when one panics.
struct EndAll<'a>(&'a AtomicUsize);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(usize::MAX / 2, Ordering::Relaxed);
        }
    }
}

/// The points among calls that were made `made` times.
fn points_of(calls: &Calls, made: usize) -> Vec<KillPoint> {
    let stride = if calls.kind == CallKind::Page && !every_point() {
        PAGE_STRIDE
    } else {
        1
    };
    let numbers = (1..=made).filter(|number| number.is_multiple_of(stride));
    numbers
        .map(|number| KillPoint {
            calls: calls.clone(),
            number,
        })
        .collect()
}

/// A boat with one fluke before its camera, that sends to `broker`.
fn boat(folder: &Path, name: &str, broker: SocketAddr) -> Boat {
    let boat = Boat::new(folder, name, Camera::Stills(40.0), broker.port());
    let port = broker.port();
    boat.rewrite(|config| config.replace(&format!("127.0.0.1:{port}"), &broker.to_string()));
    boat.set_stills(1);
    boat
}

/// Accepts `count` sightings, which are pending then.
fn accept(boat: &Boat, name: &str, count: u32) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Timestamp(now.as_millis() as i64);
    let id: BoatId = name.parse().unwrap();
    let epoch = NewEpoch {
        id: Uuid::now_v7(),
        now,
    };
    let mut outbox = Outbox::open(&boat.outbox(), &id, 1 << 30, epoch).unwrap();
    for number in 0..count {
        let ended = now.plus_millis(-60_000 * i64::from(count - number));
        let sighting = Sighting {
            id: Uuid::now_v7(),
            boat: id.clone(),
            sequence: 0,
            epoch: None,
            started: ended.plus_millis(-3_500),
            ended,
            ..samples::sighting()
        };
        let jpeg = samples::jpeg(64, 32, number as u8);
        let (sighting, picture) = samples::with_picture(sighting, jpeg, 64, 32);
        outbox.accept(&sighting, &picture.jpeg, ended).unwrap();
    }
}

/// The ids of the sightings in a database after a kill. It is copied, so that the boat finds what the kill left.
fn accepted_ids(boat: &Boat) -> BTreeSet<Uuid> {
    let copy = tempfile::tempdir().unwrap();
    for name in [
        "outbox.sqlite3",
        "outbox.sqlite3-wal",
        "outbox.sqlite3-journal",
    ] {
        let file = boat.outbox().join(name);
        if file.exists() {
            fs::copy(file, copy.path().join(name)).unwrap();
        }
    }
    let database = Connection::open(copy.path().join("outbox.sqlite3")).unwrap();
    let table = "SELECT count(*) FROM sqlite_schema WHERE name = 'sighting'";
    let tables: i64 = database.query_row(table, [], |r| r.get(0)).unwrap();
    if tables == 0 {
        // It was killed while it created the outbox.
        return BTreeSet::new();
    }
    let mut query = database.prepare("SELECT id FROM sighting").unwrap();
    let ids = query.query_map([], |r| r.get::<_, Vec<u8>>(0)).unwrap();
    ids.map(|id| Uuid::from_slice(&id.unwrap()).unwrap())
        .collect()
}

/// The names in a folder.
fn names(folder: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn files_of(ids: &BTreeSet<Uuid>, extension: &str) -> BTreeSet<String> {
    ids.iter().map(|id| format!("{id}.{extension}")).collect()
}

/// Asserts that a boat that has stopped has delivered everything, and has only the files that it should have: the pictures of all
/// sightings in the archive, and the recordings of those that its camera saw.
fn assert_nothing_is_left_over(boat: &Boat, accepted_by_library: usize) {
    let outbox = boat.outbox();
    assert_eq!(names(&outbox), OUTBOX.map(str::to_owned).into());
    // Lists the outbox, which leaves SQLite's shared memory.
    boat.assert_delivered();
    let ids = accepted_ids(boat);
    assert_eq!(names(&outbox.join("archive")), files_of(&ids, "jpg"));
    let recordings = names(&outbox.join("recordings"));
    assert_eq!(recordings.len(), ids.len() - accepted_by_library);
    assert!(
        recordings.is_subset(&files_of(&ids, "tar")),
        "{recordings:?}"
    );
    let set_aside = names(outbox.parent().unwrap());
    let set_aside = set_aside.iter().find(|name| name.contains("set-aside"));
    assert_eq!(set_aside, None, "a kill damages no outbox");
}

/// Asserts that the station has exactly these sightings of a boat, each with a picture and a verdict.
fn assert_stored(station: &Station, boat: &str, ids: &BTreeSet<Uuid>) {
    let stored = station.has_each(boat, ids.len() as u64);
    let stored_ids = stored.iter().map(|s| s["id"].as_str().unwrap());
    let stored_ids: BTreeSet<Uuid> = stored_ids.map(|id| id.parse().unwrap()).collect();
    assert_eq!(&stored_ids, ids, "of {boat}");
    for sighting in &stored {
        assert_ne!(sighting["verdict"], "unidentified", "{sighting}");
    }
}

/// Asserts that a station's folder of pictures has one file for each sighting.
fn assert_one_picture_each(data: &Path, station: &Station) {
    let stored = station.sightings();
    let expected = stored.iter().map(|s| s["id"].as_str().unwrap());
    let expected: BTreeSet<String> = expected.map(|id| format!("{id}.jpg")).collect();
    assert_eq!(names(&data.join("pictures")), expected);
}

/// Kills a boat that sends `pending` sightings and records another, at each of its points. `None` stands for a boat at its first start,
/// without an outbox.
fn kill_boats(title: &str, pending: Option<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let data = folder.join("shore");
    let station = Station::start(&data);
    let boats = Mutex::new(vec![]);
    kill_at_each(title, |point, number, _| {
        let name = format!("boat-{number}");
        let home = folder.join(&name);
        let boat = boat(&home, &name, station.mqtt());
        if let Some(count) = pending {
            accept(&boat, &name, count);
        }
        let killer = Killer::new(point.clone(), boat.outbox(), home.join("trace"));
        killer.arm();
        let running = Running::start(killer.command(&boat.command_until_delivered(DELIVERY)));
        let watched = killer.finish();
        let log = running.finish().stderr;
        let before = accepted_ids(&boat);
        let logged = log.matches("encounter recorded").count();
        let context =
            || format!("{title}, point {number}: {point:?}; log of the killed program: {log}");
        let pending = pending.unwrap_or(0) as usize;
        assert!(before.len() >= pending + logged, "{}", context());

        let seen = if watched.killed {
            // It sees the fluke again.
            let finished = boat.run(DELIVERY);
            assert_eq!(finished.code, Some(0), "{finished:?}; {}", context());
            1
        } else {
            0
        };
        let after = accepted_ids(&boat);
        assert!(after.is_superset(&before), "{}", context());
        assert_eq!(after.len(), before.len() + seen, "{}", context());
        assert_nothing_is_left_over(&boat, pending);
        assert_stored(&station, &name, &after);
        boats.lock().unwrap().push(name);
        watched
    });
    station.misses_nothing_of(boats.into_inner().unwrap().iter().map(String::as_str));
    assert_one_picture_each(&data, &station);
}

#[test]
fn a_boat_killed_after_any_call_loses_and_repeats_nothing() {
    if !can_kill() {
        return;
    }
    kill_boats("boat", Some(1));
    if every_point() {
        kill_boats("boat at its first start", None);
    }
}

#[test]
fn a_station_killed_after_any_call_loses_and_repeats_nothing() {
    const PENDING: u32 = 2;
    if !can_kill() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    kill_at_each("station", |point, number, worker| {
        let data = folder.join(format!("shore-{worker}"));
        // Each worker has an address of its own, so that a port is free again when its station is started again.
        let any = SocketAddr::from(([127, 0, 0, 2 + worker as u8], 0));
        let name = format!("boat-{number}");
        let home = folder.join(&name);
        let killer = Killer::new(
            point.clone(),
            data.clone(),
            folder.join(format!("trace-{number}")),
        );
        let mut station =
            Station::run(&data, killer.command(&Station::command_at(&data, any, any)));
        let boat = boat(&home, &name, station.mqtt());
        accept(&boat, &name, PENDING);
        killer.arm();
        let mut running = boat.start(DELIVERY);
        until("the station or the boat ends", || {
            killer.is_over() || !running.is_running()
        });
        if killer.is_over() {
            until("the station has ended", || !station.program().is_running());
        }
        let (_, http, mqtt) = station.kill();
        let watched = killer.finish();
        let station = Station::start_at(&data, http, mqtt);
        let finished = running.finish();
        assert_eq!(
            finished.code,
            Some(0),
            "{finished:?}; the station was killed at point {number}: {point:?}"
        );
        assert_nothing_is_left_over(&boat, PENDING as usize);
        let ids = accepted_ids(&boat);
        assert_eq!(ids.len(), PENDING as usize + 1);
        assert_stored(&station, &name, &ids);
        station.misses_nothing_of([name.as_str()]);
        assert_one_picture_each(&data, &station);
        watched
    });
}
