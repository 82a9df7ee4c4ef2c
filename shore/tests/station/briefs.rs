//! Sightings of which only the identity has arrived.

use crate::browse::get;
use crate::fixtures::{Boat, start_station};
use crate::sample;
use flukewatch_common::brief::{Brief, BriefIdentity};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::{topic, wire};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::{
    IngestResult, Query, RejectReason, SqliteStore, Store, StoredBrief, VerdictKind,
};

fn known(sequence: u64) -> Sighting {
    Sighting {
        verdict: Verdict::Known {
            whale: "HW-0042".into(),
        },
        ..sample::sighting("balaena", sequence).0
    }
}

fn all(store: &dyn Store) -> Vec<StoredBrief> {
    let query = Query {
        limit: 100,
        ..Query::default()
    };
    store.briefs(&query).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brief_is_acknowledged_and_shown_until_its_sighting_arrives() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&known(1)).await;
    boat.expect_acks(1).await;
    let sighting = known(2);
    let brief = wire::encode(&Brief::of(&sighting)).unwrap();
    let topic = topic::of_message(&boat.name, MessageKind::Brief);
    for _ in 0..2 {
        boat.send(&topic, brief.clone()).await;
        let acks = boat.expect_acks(1).await;
        assert_eq!(acks, [(sighting.id, MessageKind::Brief)]);
    }
    let http = station.http_address();
    let boats = get(http, "/api/v1/boats").await.json()[0].clone();
    assert_eq!(
        (
            &boats["sightings"],
            &boats["briefs"],
            &boats["last_sequence"],
            &boats["missing"]
        ),
        (&1.into(), &1.into(), &2.into(), &0.into())
    );
    let page = get(http, "/").await.text();
    assert!(
        page.contains("Without details yet") && page.contains("balaena #2"),
        "{page}"
    );
    assert!(page.contains("1 sighting,"), "the other one: {page}");
    let other = get(http, "/?verdict=new").await.text();
    assert!(!other.contains("Without details yet"), "{other}");
    let json = get(http, "/api/v1/briefs").await.json();
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(
        (&json[0]["id"], &json[0]["whale"], &json[0]["verdict"]),
        (
            &sighting.id.to_string().into(),
            &"HW-0042".into(),
            &"known".into()
        )
    );
    assert!(
        get(http, "/boats")
            .await
            .text()
            .contains("and 1 without details yet")
    );

    boat.send_sighting(&sighting).await;
    boat.expect_acks(1).await;
    assert_eq!(
        get(http, "/api/v1/briefs").await.json(),
        serde_json::json!([])
    );
    let boats = get(http, "/api/v1/boats").await.json()[0].clone();
    assert_eq!(
        (&boats["sightings"], &boats["briefs"]),
        (&2.into(), &0.into())
    );
    // Late.
    boat.send(&topic, brief).await;
    boat.expect_acks(1).await;
    assert_eq!(all(station.store().as_ref()), []);
    station.shutdown().await;
}

#[test]
fn the_latest_revision_counts_whatever_the_order() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let topic = "flukewatch/v1/balaena/brief";
    let accept = |brief: &Brief| {
        let message = validate(topic, &wire::encode(brief).unwrap());
        let result = store.accept(&[message], Timestamp(7)).unwrap().remove(0);
        match result {
            IngestResult::Stored { duplicate, .. } => Ok(duplicate),
            IngestResult::Rejected(rejection) => Err(rejection.reason),
            other => panic!("{other:?}"),
        }
    };
    let sighting = known(3);
    let revised = Brief {
        revision: 2,
        identity: BriefIdentity::New,
        ..Brief::of(&sighting)
    };
    assert_eq!(accept(&revised), Ok(false));
    assert_eq!(accept(&Brief::of(&sighting)), Ok(true), "an earlier one");
    let stored = all(&store);
    assert_eq!(
        (stored[0].verdict, stored[0].revision),
        (VerdictKind::New, 2)
    );
    let (latitude, longitude) = stored[0].position.unwrap();
    let position = sighting.position.unwrap();
    assert!((latitude - position.latitude).abs() < 6e-6);
    assert!((longitude - position.longitude).abs() < 6e-6);
    // The sighting arrives in an earlier revision: the brief says more.
    let of_sighting = "flukewatch/v1/balaena/sighting";
    let message = |sighting: &Sighting| validate(of_sighting, &wire::encode(sighting).unwrap());
    store.accept(&[message(&sighting)], Timestamp(8)).unwrap();
    assert_eq!(all(&store).len(), 1);
    assert_eq!(store.boats().unwrap()[0].briefs, 0, "its details are there");
    let last = Sighting {
        revision: 2,
        ..sighting.clone()
    };
    store.accept(&[message(&last)], Timestamp(9)).unwrap();
    assert_eq!(all(&store), []);
    // Of another sighting under the same id.
    let forged = Brief {
        sequence: 9,
        revision: 5,
        ..revised
    };
    assert_eq!(accept(&forged), Err(RejectReason::Conflict));
    let invalid = Brief {
        sequence: 0,
        ..Brief::of(&known(4))
    };
    assert_eq!(accept(&invalid), Err(RejectReason::Invalid));
}
