//! Boats talk to a station over real MQTT, through the embedded broker.

use crate::boat::{Boat, PATIENCE, sample, station, until};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{Part, Picture};
use flukewatch_common::wire;
use flukewatch_shore::ingest::judge;
use flukewatch_shore::store::arrival::Outcome;
use flukewatch_shore::store::sqlite::SqliteStore;
use flukewatch_shore::store::{Gap, PictureState, Query, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn all(store: &dyn Store) -> Vec<flukewatch_shore::store::StoredSighting> {
    store
        .sightings(&Query {
            limit: 1000,
            ..Query::default()
        })
        .unwrap()
        .sightings
}

fn refused(store: &dyn Store, reason: &str) -> u64 {
    store
        .refused_counts()
        .unwrap()
        .into_iter()
        .find(|c| c.reason == reason)
        .map_or(0, |c| c.total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sighting_is_stored_receipted_and_kept_once() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    for _ in 0..3 {
        boat.sighting(&s).await;
        boat.picture(&p).await;
        let mut parts = boat.receipted(2).await;
        parts.sort();
        assert_eq!(parts, [(s.id, Part::Sighting), (s.id, Part::Picture)]);
    }
    let stored = all(running.store().as_ref());
    assert_eq!(stored.len(), 1);
    assert_eq!(
        (&stored[0].sighting, stored[0].picture),
        (&s, PictureState::Stored)
    );
    let served = crate::browse::get(running.http(), &format!("/pictures/{}.jpg", s.id)).await;
    assert_eq!(
        (served.status, served.header("content-type"), &served.body),
        (200, Some("image/jpeg"), &p.jpeg)
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_boats_at_once_lose_nothing() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let names = ["balaena", "megaptera-2", "song-of-the-whale"];
    let mut sailing = tokio::task::JoinSet::new();
    for name in names {
        let mut boat = Boat::at(&running, name).await;
        sailing.spawn(async move {
            for sequence in 1..=40 {
                let (s, p) = sample::sighting(name, sequence);
                boat.sighting(&s).await;
                boat.picture(&p).await;
            }
            boat.receipted(80).await;
        });
    }
    while let Some(done) = sailing.join_next().await {
        done.unwrap();
    }
    assert_eq!(all(running.store().as_ref()).len(), 120);
    for b in running.store().boats().unwrap() {
        assert_eq!(
            (
                b.sightings,
                b.highest_sequence,
                b.missing,
                b.pictures_missing
            ),
            (40, 40, 0, 0),
            "{}",
            b.boat
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_may_come_before_its_sighting() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    boat.picture(&p).await;
    assert_eq!(boat.receipted(1).await, [(s.id, Part::Picture)]);
    assert_eq!(running.store().boats().unwrap()[0].pictures_waiting, 1);
    assert_eq!(
        running.store().picture(s.id).unwrap(),
        None,
        "nothing to show it with"
    );
    boat.sighting(&s).await;
    assert_eq!(boat.receipted(1).await, [(s.id, Part::Sighting)]);
    assert_eq!(running.store().picture(s.id).unwrap().unwrap(), p.jpeg);
    assert_eq!(running.store().boats().unwrap()[0].pictures_waiting, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_picture_is_not_receipted_and_gives_way_to_the_right_one() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    let (other, wrong) = (
        sample::sighting("balaena", 2).0,
        sample::sighting("balaena", 3).1.jpeg,
    );

    boat.sighting(&s).await;
    boat.receipted(1).await;
    boat.picture(&Picture {
        jpeg: wrong.clone(),
        ..p.clone()
    })
    .await;
    boat.nothing().await;
    assert_eq!(refused(running.store().as_ref(), "wrong-picture"), 1);
    boat.picture(&p).await;
    boat.receipted(1).await;
    assert_eq!(running.store().picture(s.id).unwrap().unwrap(), p.jpeg);

    // The wrong one first, before its sighting could say so.
    let right = sample::sighting("balaena", 2).1;
    boat.picture(&Picture {
        jpeg: wrong,
        ..right.clone()
    })
    .await;
    boat.receipted(1).await;
    boat.sighting(&other).await;
    boat.receipted(1).await;
    assert_eq!(
        running.store().sighting(other.id).unwrap().unwrap().picture,
        PictureState::Mismatched
    );
    assert_eq!(running.store().picture(other.id).unwrap(), None);
    boat.picture(&right).await;
    boat.receipted(1).await;
    assert_eq!(
        running.store().picture(other.id).unwrap().unwrap(),
        right.jpeg
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_contents_under_one_id_the_first_stays() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, _) = sample::sighting("balaena", 1);
    boat.sighting(&s).await;
    boat.receipted(1).await;
    let mut changed = s.clone();
    changed.frames += 1;
    boat.sighting(&changed).await;
    boat.sighting(&changed).await;
    boat.nothing().await;
    let store = running.store().as_ref();
    assert_eq!(
        all(store)
            .iter()
            .map(|k| k.sighting.clone())
            .collect::<Vec<_>>(),
        [s]
    );
    assert_eq!(refused(store, "conflict"), 2);
    let listed = store.refused(10).unwrap();
    assert_eq!(
        (listed.len(), listed[0].times),
        (1, 2),
        "a repetition is counted, not listed again"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gaps_in_a_boats_numbers_are_seen_and_close() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    for sequence in [2, 3, 7, 9] {
        boat.sighting(&sample::sighting("balaena", sequence).0)
            .await;
    }
    boat.receipted(4).await;
    let seen = || running.store().boats().unwrap().remove(0);
    let gap = |first, last| Gap { first, last };
    assert_eq!(
        (seen().gaps, seen().missing),
        (vec![gap(1, 1), gap(4, 6), gap(8, 8)], 5)
    );
    for sequence in [1, 4, 5, 6, 8] {
        boat.sighting(&sample::sighting("balaena", sequence).0)
            .await;
    }
    boat.receipted(5).await;
    assert_eq!(
        (seen().gaps, seen().missing, seen().highest_sequence),
        (vec![], 0, 9)
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_messages_are_listed_and_harm_nothing() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, _) = sample::sighting("balaena", 1);
    let honest = wire::encode(&s).unwrap();
    let topic = "flukewatch/v1/balaena/sighting";
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    for length in [0, 1, 10, 11, 500, 200_000] {
        let bytes = (0..length).map(|_| {
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (noise >> 56) as u8
        });
        boat.send(topic, bytes.collect()).await;
    }
    let mut newer = honest.clone();
    newer[5] = 7;
    boat.send(topic, newer).await;
    boat.send("flukewatch/v1/megaptera/sighting", honest.clone())
        .await;
    boat.send("flukewatch/v1/Ocean!/sighting", honest.clone())
        .await;
    boat.send("flukewatch/v1/balaena/picture", honest.clone())
        .await;
    boat.send("ä/ö", honest).await;
    boat.nothing().await;

    let sent = hundred_megabytes(running.mqtt().unwrap()).await;
    assert!(
        sent < 16 << 20,
        "the broker took {sent} bytes of a packet that it had to refuse"
    );

    let store = running.store().clone();
    until("the refusals are listed", || {
        refused(store.as_ref(), "too-large") == 1
    })
    .await;
    // Of the six random messages the empty one counts as cut off, the others as foreign.
    for (reason, count) in [
        ("foreign", 5),
        ("damaged", 1),
        ("newer-version", 1),
        ("wrong-boat", 1),
        ("topic", 1),
        ("wrong-kind", 1),
    ] {
        assert_eq!(refused(store.as_ref(), reason), count, "{reason}");
    }
    let newest = store.refused(100).unwrap();
    assert!(newest.iter().all(|m| m.head.len() <= 512));
    assert!(newest.iter().any(|m| m.detail.contains("version 7")));

    // And it goes on as if nothing had been.
    boat.sighting(&s).await;
    boat.receipted(1).await;
    assert_eq!(all(store.as_ref()).len(), 1);
    let listed = crate::browse::get(running.http(), "/refused").await;
    assert!(listed.status == 200 && listed.text().contains("newer-version"));
    drop(store);
    running.stop().await;
}

/// Tries to publish 100 MB in one packet; says how many bytes it got rid of.
async fn hundred_megabytes(address: std::net::SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03big")
        .await
        .unwrap();
    let mut accepted = [0; 4];
    stream.read_exact(&mut accepted).await.unwrap();
    let total = 100_000_000usize;
    let mut header = vec![0x32];
    let mut rest = total;
    while rest > 0 {
        let more = if rest > 127 { 0x80 } else { 0 };
        header.push((rest % 128) as u8 | more);
        rest /= 128;
    }
    header.extend_from_slice(b"\x00\x1eflukewatch/v1/balaena/sighting\x00\x01");
    let _ = stream.write_all(&header).await;
    let chunk = vec![0xab; 64 * 1024];
    let mut sent = header.len();
    while sent < total {
        match tokio::time::timeout(PATIENCE, stream.write(&chunk))
            .await
            .expect("the broker neither reads nor closes")
        {
            Ok(n) if n > 0 => sent += n,
            _ => break,
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_receipt_costs_a_repetition() {
    let data = tempfile::tempdir().unwrap();
    let (s, p) = sample::sighting("balaena", 1);
    {
        // What a crash leaves: both on disk, no receipt sent.
        let store = SqliteStore::open(data.path()).unwrap();
        let batch = [
            judge("flukewatch/v1/balaena/sighting", &wire::encode(&s).unwrap()),
            judge("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap()),
        ];
        let outcomes = store.accept(&batch, Timestamp(0)).unwrap();
        assert!(
            outcomes
                .iter()
                .all(|o| matches!(o, Outcome::Stored { again: false, .. }))
        );
    }
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    boat.sighting(&s).await;
    boat.picture(&p).await;
    assert_eq!(boat.receipted(2).await.len(), 2);
    assert_eq!(all(running.store().as_ref()).len(), 1);
    assert_eq!(running.store().picture(s.id).unwrap().unwrap(), p.jpeg);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_not_receipted_and_the_station_says_so_until_it_can() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    let pictures = data.path().join("pictures");
    std::fs::remove_dir(&pictures).unwrap();
    std::fs::write(&pictures, "in the way").unwrap();
    boat.picture(&p).await;
    boat.nothing().await;
    let health = crate::browse::get(running.http(), "/api/health").await;
    assert_eq!(health.status, 503);
    assert!(
        health.json()["trouble"]
            .as_str()
            .unwrap()
            .contains("pictures"),
        "{}",
        health.text()
    );
    assert!(
        crate::browse::get(running.http(), "/")
            .await
            .text()
            .contains("No sightings come in at the moment")
    );

    until("it listens again", || running.health().is_connected()).await;
    assert!(
        running.health().trouble().is_some(),
        "nothing was stored yet"
    );
    std::fs::remove_file(&pictures).unwrap();
    std::fs::create_dir(&pictures).unwrap();
    boat.sighting(&s).await;
    boat.picture(&p).await;
    boat.receipted(2).await;
    assert_eq!(running.health().trouble(), None);
    assert_eq!(
        crate::browse::get(running.http(), "/api/health")
            .await
            .status,
        200
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_receipt_is_given_again_to_who_asks_again() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let (s, _) = sample::sighting("balaena", 1);
    let deaf = Boat::at(&running, "balaena").await;
    deaf.sighting(&s).await;
    let store = running.store().clone();
    until("the sighting is stored", || all(store.as_ref()).len() == 1).await;
    drop(deaf);
    let mut boat = Boat::at(&running, "balaena").await;
    boat.sighting(&s).await;
    assert_eq!(boat.receipted(1).await, [(s.id, Part::Sighting)]);
    assert_eq!(all(store.as_ref()).len(), 1);
    drop(store);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_stops_starts_again_and_still_has_everything() {
    let data = tempfile::tempdir().unwrap();
    for sequence in 1..=3 {
        let running = station(data.path()).await;
        let mut boat = Boat::at(&running, "balaena").await;
        boat.sighting(&sample::sighting("balaena", sequence).0)
            .await;
        boat.receipted(1).await;
        assert_eq!(all(running.store().as_ref()).len() as u64, sequence);
        running.stop().await;
    }
}
