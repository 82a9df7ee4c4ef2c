//! Boats publish to a station over MQTT, through the embedded broker.

use crate::fixtures::{Boat, TIMEOUT, sample, start_station, wait_until};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::presence::Presence;
use flukewatch_common::samples;
use flukewatch_common::sighting::{MAX_REASON_BYTES, MessageKind, Picture};
use flukewatch_common::{topic, wire};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::{
    Gap, IngestResult, PictureState, Query, SqliteStore, Store, StoredSighting,
};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

fn all(store: &dyn Store) -> Vec<StoredSighting> {
    store
        .sightings(&Query {
            limit: 1000,
            ..Query::default()
        })
        .unwrap()
        .sightings
}

fn rejected(store: &dyn Store, reason: &str) -> u64 {
    store
        .rejected_counts()
        .unwrap()
        .into_iter()
        .find(|c| c.reason == reason)
        .map_or(0, |c| c.total)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sighting_is_stored_once_and_acknowledged_each_time() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    for _ in 0..3 {
        boat.send_sighting(&s).await;
        boat.send_picture(&p).await;
        let mut messages = boat.expect_acks(2).await;
        messages.sort();
        assert_eq!(
            messages,
            [(s.id, MessageKind::Sighting), (s.id, MessageKind::Picture)]
        );
    }
    let stored = all(station.store().as_ref());
    assert_eq!(stored.len(), 1);
    assert_eq!(
        (&stored[0].sighting, stored[0].picture),
        (&s, PictureState::Stored)
    );
    let served =
        crate::browse::get(station.http_address(), &format!("/pictures/{}.jpg", s.id)).await;
    assert_eq!(
        (served.status, served.header("content-type"), &served.body),
        (200, Some("image/jpeg"), &p.jpeg)
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_boats_lose_nothing() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let names = ["balaena", "megaptera-2", "song-of-the-whale"];
    let mut boats = tokio::task::JoinSet::new();
    for name in names {
        let mut boat = Boat::connect_to(&station, name).await;
        boats.spawn(async move {
            for sequence in 1..=40 {
                let (s, p) = sample::sighting(name, sequence);
                boat.send_sighting(&s).await;
                boat.send_picture(&p).await;
            }
            boat.expect_acks(80).await;
        });
    }
    while let Some(done) = boats.join_next().await {
        done.unwrap();
    }
    assert_eq!(all(station.store().as_ref()).len(), 120);
    for b in station.store().boats().unwrap() {
        assert_eq!(
            (b.sightings, b.last_sequence, b.missing, b.pictures_missing),
            (40, 40, 0, 0),
            "{}",
            b.boat
        );
    }
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_may_arrive_before_its_sighting() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    boat.send_picture(&p).await;
    assert_eq!(boat.expect_acks(1).await, [(s.id, MessageKind::Picture)]);
    assert_eq!(
        station.store().boats().unwrap()[0].pictures_without_sighting,
        1
    );
    assert_eq!(
        station.store().picture(s.id).unwrap(),
        None,
        "its sighting is missing"
    );
    boat.send_sighting(&s).await;
    assert_eq!(boat.expect_acks(1).await, [(s.id, MessageKind::Sighting)]);
    assert_eq!(station.store().picture(s.id).unwrap().unwrap(), p.jpeg);
    assert_eq!(
        station.store().boats().unwrap()[0].pictures_without_sighting,
        0
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mismatched_picture_is_rejected_or_replaced() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    let (other, wrong) = (
        sample::sighting("balaena", 2).0,
        sample::sighting("balaena", 3).1.jpeg,
    );

    boat.send_sighting(&s).await;
    boat.expect_acks(1).await;
    boat.send_picture(&Picture {
        jpeg: wrong.clone(),
        ..p.clone()
    })
    .await;
    boat.expect_no_ack().await;
    assert_eq!(rejected(station.store().as_ref(), "picture_mismatch"), 1);
    boat.send_picture(&p).await;
    boat.expect_acks(1).await;
    assert_eq!(station.store().picture(s.id).unwrap().unwrap(), p.jpeg);

    // The mismatched picture arrives before its sighting.
    let right = sample::sighting("balaena", 2).1;
    boat.send_picture(&Picture {
        jpeg: wrong,
        ..right.clone()
    })
    .await;
    boat.expect_acks(1).await;
    boat.send_sighting(&other).await;
    boat.expect_acks(1).await;
    assert_eq!(
        station.store().sighting(other.id).unwrap().unwrap().picture,
        PictureState::Mismatched
    );
    assert_eq!(station.store().picture(other.id).unwrap(), None);
    boat.send_picture(&right).await;
    boat.expect_acks(1).await;
    assert_eq!(
        station.store().picture(other.id).unwrap().unwrap(),
        right.jpeg
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reduced_copy_serves_until_the_picture_arrives() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let stored = |id| station.store().picture(id).unwrap().unwrap();
    let copy_of = |p: &Picture, announced| Picture {
        jpeg: samples::jpeg(16, 8, 1),
        original: Some(announced),
        ..p.clone()
    };
    let (s, p) = sample::sighting("balaena", 1);
    let copy = copy_of(&p, s.picture.sha256);
    assert!(copy.jpeg.len() < p.jpeg.len());
    boat.send_sighting(&s).await;
    boat.expect_acks(1).await;
    // A copy of another picture, and one that is not smaller.
    let other = copy_of(&p, [7; 32]);
    let not_smaller = Picture {
        jpeg: p.jpeg.clone(),
        ..copy.clone()
    };
    for invalid in [&other, &not_smaller] {
        boat.send_picture(invalid).await;
    }
    boat.expect_no_ack().await;
    assert_eq!(rejected(station.store().as_ref(), "picture_mismatch"), 2);
    for (sent, shown) in [
        (&copy, &copy),
        (&copy, &copy),
        (&p, &p),
        (&copy, &p),
        (&p, &p),
    ] {
        boat.send_picture(sent).await;
        boat.expect_acks(1).await;
        assert_eq!(stored(s.id), shown.jpeg);
    }

    // The copy arrives before its sighting.
    let (s, p) = sample::sighting("balaena", 2);
    let copy = copy_of(&p, s.picture.sha256);
    boat.send_picture(&copy).await;
    boat.expect_acks(1).await;
    boat.send_sighting(&s).await;
    boat.expect_acks(1).await;
    assert_eq!(stored(s.id), copy.jpeg);
    boat.send_picture(&p).await;
    boat.expect_acks(1).await;
    assert_eq!(stored(s.id), p.jpeg);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicting_content_under_one_id_is_rejected() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, _) = sample::sighting("balaena", 1);
    boat.send_sighting(&s).await;
    boat.expect_acks(1).await;
    let mut changed = s.clone();
    changed.frames += 1;
    boat.send_sighting(&changed).await;
    boat.send_sighting(&changed).await;
    boat.expect_no_ack().await;
    let store = station.store().as_ref();
    assert_eq!(
        all(store)
            .iter()
            .map(|k| k.sighting.clone())
            .collect::<Vec<_>>(),
        [s]
    );
    assert_eq!(rejected(store, "conflict"), 2);
    let messages = store.rejected_messages(10).unwrap();
    assert_eq!(
        (messages.len(), messages[0].count),
        (1, 2),
        "a duplicate is counted, not listed again"
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boat_is_answered_what_is_rejected_and_why() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let mut other = Boat::connect_to(&station, "megaptera").await;
    let (s, p) = sample::sighting("balaena", 1);
    let valid = wire::encode(&s).unwrap();
    let mut newer = valid.clone();
    newer[5] = 99;
    let mut invalid = sample::sighting("balaena", 2).0;
    invalid.probability = Some(7.0);
    let invalid = wire::encode(&invalid).unwrap();
    let mut long = sample::sighting("balaena", 3).0;
    long.boat = "x".repeat(32).parse().unwrap();
    let long = wire::encode(&long).unwrap();
    let [sightings, pictures] =
        [MessageKind::Sighting, MessageKind::Picture].map(|k| topic::of_message(&boat.name, k));
    let messages = [
        (MessageKind::Sighting, &sightings, b"noise".to_vec()),
        (MessageKind::Sighting, &sightings, newer),
        (MessageKind::Sighting, &sightings, invalid),
        (MessageKind::Sighting, &sightings, long),
        (MessageKind::Picture, &pictures, valid.clone()),
    ];
    for (_, topic, message) in &messages {
        boat.send(topic, message.clone()).await;
    }
    // Interleaved with valid ones, which are acknowledged as ever.
    boat.send_sighting(&s).await;
    boat.send_picture(&p).await;
    let mut acked = boat.expect_acks(2).await;
    acked.sort();
    assert_eq!(
        acked,
        [(s.id, MessageKind::Sighting), (s.id, MessageKind::Picture)]
    );
    let rejected = boat.expect_rejected(messages.len()).await;
    for (kind, _, message) in &messages {
        let digest = MessageDigest::of(message);
        let of_message = rejected.iter().filter(|r| r.message == digest);
        let of_message: Vec<_> = of_message.collect();
        assert_eq!((of_message.len(), of_message[0].kind), (1, *kind));
        assert!(of_message[0].reason.len() <= MAX_REASON_BYTES);
    }
    let reason = |message: &[u8]| {
        let digest = MessageDigest::of(message);
        &rejected
            .iter()
            .find(|r| r.message == digest)
            .unwrap()
            .reason
    };
    assert_eq!(
        *reason(&messages[2].2),
        "invalid: match probability outside [0, 1]"
    );
    assert!(reason(&messages[1].2).contains("update the program"));
    assert!(reason(&messages[3].2).starts_with("wrong_boat: "));
    other.expect_no_ack().await;
    assert_eq!(other.expect_rejected(0).await, []);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequence_gaps_are_reported_until_filled() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    for sequence in [2, 3, 7, 9] {
        boat.send_sighting(&sample::sighting("balaena", sequence).0)
            .await;
    }
    boat.expect_acks(4).await;
    let status = || station.store().boats().unwrap().remove(0);
    let gap = |first, last| Gap { first, last };
    assert_eq!(
        (status().gaps, status().missing),
        (vec![gap(1, 1), gap(4, 6), gap(8, 8)], 5)
    );
    for sequence in [1, 4, 5, 6, 8] {
        boat.send_sighting(&sample::sighting("balaena", sequence).0)
            .await;
    }
    boat.expect_acks(5).await;
    assert_eq!(
        (status().gaps, status().missing, status().last_sequence),
        (vec![], 0, 9)
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_counted_in_each_outbox_and_repeated_ones_listed() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let sighting = |sequence, id: u128, epoch: u128| {
        let mut sighting = sample::sighting("balaena", sequence).0;
        sighting.id = Uuid::from_u128(id);
        sighting.epoch = Some(Uuid::from_u128(epoch));
        sighting
    };
    for (sequence, id, epoch) in [(1, 11, 1), (2, 12, 1), (3, 13, 1), (1, 21, 2), (3, 23, 2)] {
        boat.send_sighting(&sighting(sequence, id, epoch)).await;
    }
    boat.expect_acks(5).await;
    let status = || station.store().boats().unwrap().remove(0);
    let gap = |first, last| Gap { first, last };
    let found = status();
    assert_eq!((found.outboxes, found.missing), (2, 1));
    assert_eq!(found.gaps, [gap(2, 2)], "of the second outbox");
    assert_eq!(
        (found.duplicate_sequences, found.duplicates_in_outbox),
        (2, 0)
    );
    assert_eq!(found.repeated, [gap(1, 1), gap(3, 3)]);

    // A twin, with the same epoch.
    boat.send_sighting(&sighting(2, 99, 1)).await;
    boat.expect_acks(1).await;
    let found = status();
    assert_eq!(
        (found.duplicate_sequences, found.duplicates_in_outbox),
        (3, 1)
    );
    assert_eq!(found.repeated, [gap(1, 3)]);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_computers_of_one_boat_are_named() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&sample::sighting("balaena", 1).0).await;
    boat.expect_acks(1).await;
    let topic = topic::of_presence(&boat.name);
    let presence = |instance: u128| {
        let presence = Presence {
            boat: boat.name.clone(),
            instance: Uuid::from_u128(instance),
            epoch: Uuid::nil(),
        };
        wire::encode(&presence).unwrap()
    };
    boat.send(&topic, b"no presence".to_vec()).await;
    boat.send("flukewatch/v1/megaptera/presence", presence(7))
        .await;
    for instance in [1, 2] {
        boat.send(&topic, presence(instance)).await;
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(station.health().twins(), [], "it may be a restart");
    boat.send(&topic, presence(1)).await;
    let health = station.health().clone();
    wait_until("the twin is recognised", || {
        health.twins() == [boat.name.clone()]
    })
    .await;
    let http = station.http_address();
    let document = crate::browse::get(http, "/api/v1/health").await.json();
    assert_eq!(document["twins"], serde_json::json!(["balaena"]));
    let page = crate::browse::get(http, "/boats").await;
    assert!(page.text().contains("Two computers"), "{}", page.text());
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_messages_are_rejected_and_do_not_disturb_ingest() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, _) = sample::sighting("balaena", 1);
    let valid = wire::encode(&s).unwrap();
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
    let mut newer = valid.clone();
    newer[5] = 99;
    boat.send(topic, newer).await;
    boat.send("flukewatch/v1/megaptera/sighting", valid.clone())
        .await;
    boat.send("flukewatch/v1/Ocean!/sighting", valid.clone())
        .await;
    boat.send("flukewatch/v1/balaena/picture", valid.clone())
        .await;
    boat.send("ä/ö", valid).await;
    boat.expect_no_ack().await;

    let sent = send_100_megabytes(station.mqtt_address().unwrap()).await;
    assert!(
        sent < 16 << 20,
        "the broker read {sent} bytes of an oversized packet"
    );

    let store = station.store().clone();
    wait_until("the packet is rejected", || {
        rejected(store.as_ref(), "too_large") == 1
    })
    .await;
    // Of the six random messages the empty one counts as truncated, the others as an unknown
    // format.
    for (reason, count) in [
        ("unknown_format", 5),
        ("corrupt", 1),
        ("unsupported_version", 1),
        ("wrong_boat", 1),
        ("unknown_topic", 1),
        ("wrong_kind", 1),
    ] {
        assert_eq!(rejected(store.as_ref(), reason), count, "{reason}");
    }
    let newest = store.rejected_messages(100).unwrap();
    assert!(newest.iter().all(|m| m.head.len() <= 512));
    assert!(newest.iter().any(|m| m.detail.contains("version 99")));

    // Ingest continues.
    boat.send_sighting(&s).await;
    boat.expect_acks(1).await;
    assert_eq!(all(store.as_ref()).len(), 1);
    let page = crate::browse::get(station.http_address(), "/rejected").await;
    assert!(page.status == 200 && page.text().contains("unsupported version"));
    drop(store);
    station.shutdown().await;
}

/// Tries to publish 100 MB in one packet; returns how many bytes were sent.
async fn send_100_megabytes(address: std::net::SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03big")
        .await
        .unwrap();
    let mut conn_ack = [0; 4];
    stream.read_exact(&mut conn_ack).await.unwrap();
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
        match tokio::time::timeout(TIMEOUT, stream.write(&chunk))
            .await
            .expect("the broker neither reads nor closes the connection")
        {
            Ok(n) if n > 0 => sent += n,
            _ => break,
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_commit_and_acknowledgement_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (s, p) = sample::sighting("balaena", 1);
    {
        // The state after a crash: both on disk, no acknowledgement sent.
        let store = SqliteStore::open(data.path()).unwrap();
        let batch = [
            validate("flukewatch/v1/balaena/sighting", &wire::encode(&s).unwrap()),
            validate("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap()),
        ];
        let results = store.accept(&batch, Timestamp(0)).unwrap();
        assert!(results.iter().all(|r| matches!(
            r,
            IngestResult::Stored {
                duplicate: false,
                ..
            }
        )));
    }
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&s).await;
    boat.send_picture(&p).await;
    assert_eq!(boat.expect_acks(2).await.len(), 2);
    assert_eq!(all(station.store().as_ref()).len(), 1);
    assert_eq!(station.store().picture(s.id).unwrap().unwrap(), p.jpeg);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_failure_is_not_acknowledged_and_degrades_health_until_resolved() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, p) = sample::sighting("balaena", 1);
    let pictures = data.path().join("pictures");
    std::fs::remove_dir(&pictures).unwrap();
    std::fs::write(&pictures, "in the way").unwrap();
    boat.send_picture(&p).await;
    boat.expect_no_ack().await;
    let health = crate::browse::get(station.http_address(), "/api/v1/health").await;
    assert_eq!(health.status, 503);
    assert!(
        health.json()["issue"]
            .as_str()
            .unwrap()
            .contains("pictures"),
        "{}",
        health.text()
    );
    assert!(
        crate::browse::get(station.http_address(), "/")
            .await
            .text()
            .contains("Ingest is down")
    );

    wait_until("ingest is reconnected", || station.health().is_connected()).await;
    assert!(
        station.health().issue().is_some(),
        "nothing has been stored yet"
    );
    std::fs::remove_file(&pictures).unwrap();
    std::fs::create_dir(&pictures).unwrap();
    boat.send_sighting(&s).await;
    boat.send_picture(&p).await;
    boat.expect_acks(2).await;
    assert_eq!(station.health().issue(), None);
    assert_eq!(
        crate::browse::get(station.http_address(), "/api/v1/health")
            .await
            .status,
        200
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_sent_again_is_acknowledged_again() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (s, _) = sample::sighting("balaena", 1);
    let disconnecting = Boat::connect_to(&station, "balaena").await;
    disconnecting.send_sighting(&s).await;
    let store = station.store().clone();
    wait_until("the sighting is stored", || all(store.as_ref()).len() == 1).await;
    drop(disconnecting);
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&s).await;
    assert_eq!(boat.expect_acks(1).await, [(s.id, MessageKind::Sighting)]);
    assert_eq!(all(store.as_ref()).len(), 1);
    drop(store);
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_station_keeps_its_data() {
    let data = tempfile::tempdir().unwrap();
    for sequence in 1..=3 {
        let station = start_station(data.path()).await;
        let mut boat = Boat::connect_to(&station, "balaena").await;
        boat.send_sighting(&sample::sighting("balaena", sequence).0)
            .await;
        boat.expect_acks(1).await;
        assert_eq!(all(station.store().as_ref()).len() as u64, sequence);
        station.shutdown().await;
    }
}
