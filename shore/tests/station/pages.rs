//! The pages and the API.

use crate::browse::get;
use crate::fixtures::{Boat, sample, start_station};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::position::{TimeBasis, TimeSource};
use flukewatch_common::samples;
use flukewatch_common::sighting::Sighting;
use flukewatch_shore::station::Station;

const SCRIPT_NAME: &str = "<script>document.title='taken'</script>\"'&";

async fn send(sightings: &[Sighting], station: &Station) {
    let mut boat = Boat::connect_to(station, "balaena").await;
    for s in sightings {
        boat.send_sighting(s).await;
    }
    boat.expect_acks(sightings.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_station_explains_the_next_step() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let list = get(station.http_address(), "/").await;
    assert_eq!(list.status, 200);
    assert!(list.text().contains("No sightings yet") && list.text().contains(station.public_url()));
    assert!(
        get(station.http_address(), "/boats")
            .await
            .text()
            .contains("Waiting for boats")
    );
    assert!(
        get(station.http_address(), "/rejected")
            .await
            .text()
            .contains("No rejected messages")
    );
    assert!(
        get(station.http_address(), "/?verdict=new")
            .await
            .text()
            .contains("No matching sightings")
    );
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings")
            .await
            .json(),
        serde_json::json!([])
    );
    let health = get(station.http_address(), "/api/v1/health").await;
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &serde_json::json!("ok"))
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn html_in_names_is_escaped() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (mut s, _) = sample::sighting("balaena", 1);
    s.verdict = Verdict::Known {
        whale: SCRIPT_NAME.into(),
    };
    s.candidates[0].whale = SCRIPT_NAME.into();
    s.candidates[0].photo = format!("{SCRIPT_NAME}.jpg");
    s.camera = SCRIPT_NAME.into();
    send(std::slice::from_ref(&s), &station).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send("flukewatch/v1/<script>/picture", b"x".to_vec())
        .await;
    boat.expect_no_ack().await;
    for path in [
        "/".to_owned(),
        format!("/sightings/{}", s.id),
        "/boats".into(),
        "/rejected".into(),
    ] {
        let page = get(station.http_address(), &path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text().contains("<script>"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let list = get(station.http_address(), "/").await.text();
    assert!(
        list.contains("&#60;script&#62;document.title=&#39;taken&#39;"),
        "{list}"
    );
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings")
            .await
            .json()[0]["whale"],
        SCRIPT_NAME
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_returns_the_documented_fields() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (s, p) = sample::sighting("balaena", 2);
    send(std::slice::from_ref(&s), &station).await;
    let mut one = get(
        station.http_address(),
        &format!("/api/v1/sightings/{}", s.id),
    )
    .await
    .json();
    let list = get(station.http_address(), "/api/v1/sightings").await;
    assert_eq!(list.header("x-total-count"), Some("1"));
    assert_eq!(one["earlier_revisions"], serde_json::json!([]));
    one.as_object_mut().unwrap().remove("earlier_revisions");
    assert_eq!(one["file_requests"], serde_json::json!([]));
    one.as_object_mut().unwrap().remove("file_requests");
    assert_eq!(list.json(), serde_json::json!([one]));
    let mut fields: Vec<&str> = one
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    let mut documented = vec![
        "id",
        "boat",
        "sequence",
        "camera",
        "started",
        "ended",
        "frames",
        "verdict",
        "whale",
        "reason",
        "score",
        "candidates",
        "bundle",
        "engine",
        "probability",
        "position",
        "relative_position",
        "time",
        "encounter",
        "quality_percent",
        "footage",
        "picture_stored",
        "picture",
        "revision",
        "received",
    ];
    documented.sort_unstable();
    assert_eq!(fields, documented);
    assert_eq!(
        (&one["verdict"], &one["whale"], &one["sequence"]),
        (&"known".into(), &"HW-0042".into(), &2.into())
    );
    assert_eq!(
        one["candidates"][1],
        serde_json::json!({
            "whale": "HW-0007", "score": 0.5, "photo": "b.jpg",
            // Cell 13 of 5 x 10 over 576 x 256 of 640 x 320 pixels from (32, 32).
            "matching_regions": [{
                "contribution": 0.3,
                "picture": {
                    "left_percent": 32.0, "top_percent": 26.0, "width_percent": 9.0, "height_percent": 16.0
                },
                "photo": null
            }]
        })
    );
    assert_eq!(
        (
            &one["position"]["longitude"],
            &one["position"]["fix_quality"]
        ),
        (&(-28.625).into(), &"differential".into())
    );
    assert_eq!(
        one["relative_position"],
        serde_json::json!({
            "bearing_degrees": 283.5, "bearing_from_bow_degrees": 13.5, "range_metres": 350.0
        })
    );
    assert_eq!(
        one["time"],
        serde_json::json!({"source": "gnss", "uncertainty_ms": 500})
    );
    assert_eq!(
        (&one["encounter"], &one["quality_percent"]),
        (&s.id.to_string().into(), &48.into())
    );
    assert_eq!(
        one["footage"]["crops"],
        serde_json::json!([{
            "offset_ms": 400, "quality_percent": 48, "sharpness_percent": 62, "size_percent": 80,
            "angle_percent": 100, "exposure_percent": 97
        }])
    );
    let footage = &one["footage"];
    assert_eq!(
        (&footage["frame"]["width"], &footage["config_id"]),
        (&1920.into(), &"0f010203040506ff".into())
    );
    assert_eq!(footage["boxes"][1]["offset_ms"], 3500);
    assert_eq!(
        (&one["started"], &one["picture_stored"]),
        (&"2026-11-23T16:22:00.000Z".into(), &false.into())
    );
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_picture(&p).await;
    boat.expect_acks(1).await;
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings")
            .await
            .json()[0]["picture_stored"],
        true
    );
    let boats = get(station.http_address(), "/api/v1/boats").await.json();
    assert_eq!(
        boats[0]["gaps"],
        serde_json::json!([{"first": 1, "last": 1}])
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_is_shown_with_the_earlier_ones() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (right, _) = sample::sighting("balaena", 2);
    let wrong = Sighting {
        started: Timestamp(0),
        ended: Timestamp(3500),
        time: Some(TimeBasis {
            source: TimeSource::System,
            uncertainty: None,
        }),
        ..right.clone()
    };
    let right = Sighting {
        revision: 1,
        ..right
    };
    let mut boat = Boat::connect_to(&station, "balaena").await;
    for sighting in [&wrong, &right, &wrong] {
        boat.send_sighting(sighting).await;
        let acked = boat.expect_acknowledged(1).await;
        assert_eq!(
            (acked[0].sighting, acked[0].revision),
            (sighting.id, sighting.revision)
        );
    }
    let path = format!("/api/v1/sightings/{}", right.id);
    let one = get(station.http_address(), &path).await.json();
    assert_eq!(
        (&one["revision"], &one["started"], &one["time"]["source"]),
        (
            &1.into(),
            &"2026-11-23T16:22:00.000Z".into(),
            &"gnss".into()
        )
    );
    let earlier = &one["earlier_revisions"];
    assert_eq!(earlier.as_array().unwrap().len(), 1);
    assert_eq!(
        (&earlier[0]["revision"], &earlier[0]["started"]),
        (&0.into(), &"1970-01-01T00:00:00.000Z".into())
    );
    let list = get(station.http_address(), "/api/v1/sightings")
        .await
        .json();
    assert_eq!(
        (list.as_array().unwrap().len(), &list[0]["revision"]),
        (1, &1.into())
    );
    let page = get(station.http_address(), &format!("/sightings/{}", right.id)).await;
    let text = page.text();
    assert!(text.contains("Earlier revisions"), "{text}");
    assert!(text.contains("1970-01-01"), "{text}");
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unidentified_encounter_is_shown_until_its_verdict_arrives() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let recorded = sample::unidentified("balaena", 1);
    send(std::slice::from_ref(&recorded), &station).await;
    let http = station.http_address();
    let path = format!("/api/v1/sightings/{}", recorded.id);
    let one = get(http, &path).await.json();
    assert_eq!(
        (
            &one["verdict"],
            &one["reason"],
            &one["score"],
            &one["whale"]
        ),
        (
            &"unidentified".into(),
            &"the model has not run yet".into(),
            &serde_json::Value::Null,
            &serde_json::Value::Null
        )
    );
    let filtered = "/api/v1/sightings?verdict=unidentified";
    let found = get(http, filtered).await.json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    for page in ["/?verdict=unidentified", &path["/api/v1".len()..]] {
        let text = get(http, page).await.text();
        assert!(text.contains("Not identified"), "{text}");
        assert!(text.contains("the model has not run yet"), "{text}");
    }

    let (identified, _) = sample::sighting("balaena", 1);
    let identified = Sighting {
        revision: 1,
        ..identified
    };
    send(&[identified], &station).await;
    let one = get(http, &path).await.json();
    assert_eq!(
        (&one["verdict"], &one["whale"], &one["reason"]),
        (&"known".into(), &"HW-0042".into(), &serde_json::Value::Null)
    );
    let earlier = &one["earlier_revisions"][0];
    assert_eq!(
        (&earlier["verdict"], &earlier["reason"]),
        (&"unidentified".into(), &"the model has not run yet".into())
    );
    assert_eq!(get(http, filtered).await.json(), serde_json::json!([]));
    let text = get(http, &path["/api/v1".len()..]).await.text();
    assert!(
        text.contains("Not identified: the model has not run yet</li>"),
        "{text}"
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_filters_and_pages() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let sightings: Vec<Sighting> = (1..=30)
        .map(|n| {
            let (mut s, _) = sample::sighting("balaena", n);
            s.verdict = match n % 3 {
                0 => Verdict::New,
                1 => Verdict::Review,
                _ => Verdict::Known {
                    whale: format!("HW-{n}"),
                },
            };
            s
        })
        .collect();
    send(&sightings, &station).await;
    let first = get(station.http_address(), "/").await.text();
    assert!(
        first.contains("30 sightings, page 1 of 2")
            && first.contains("balaena #30")
            && !first.contains("balaena #6<")
    );
    let second = get(station.http_address(), "/?page=2").await.text();
    assert!(second.contains("balaena #6<") && !second.contains("balaena #7<"));
    let new = get(station.http_address(), "/?boat=balaena&verdict=new&page=1")
        .await
        .text();
    assert!(new.contains("10 sightings") && !new.contains("To review</strong>"));
    assert_eq!(
        get(
            station.http_address(),
            "/api/v1/sightings?verdict=review&limit=3"
        )
        .await
        .json()
        .as_array()
        .unwrap()
        .len(),
        3
    );
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings?boat=megaptera")
            .await
            .json(),
        serde_json::json!([])
    );
    assert_eq!(
        get(
            station.http_address(),
            "/api/v1/sightings?limit=18446744073709551615&offset=18446744073709551615"
        )
        .await
        .status,
        200
    );
    for bad in [
        "/?boat=%3Cscript%3E",
        "/?verdict=dolphin",
        "/api/v1/sightings?boat=A/B",
        "/api/v1/sightings?verdict=x",
    ] {
        assert_eq!(get(station.http_address(), bad).await.status, 400, "{bad}");
    }
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn path_traversal_is_rejected() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("secret.jpg"), "secret").unwrap();
    let station = start_station(data.path()).await;
    for path in [
        "/pictures/../secret.jpg",
        "/pictures/..%2fsecret.jpg",
        "/pictures/%2e%2e%2fsecret.jpg",
        "/pictures/secret.jpg",
        "/pictures/00000000-0000-0000-0000-000000000000.jpg",
        "/photos/../shore.sqlite3",
        "/photos/..%2fshore.sqlite3",
        "/photos//etc/passwd",
        "/photos/%2fetc%2fpasswd",
        "/sightings/../../etc/passwd",
        "/sightings/x",
        "/nothing",
    ] {
        let answer = get(station.http_address(), path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.header("content-security-policy").is_some());
    }
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings/x")
            .await
            .json()["error"],
        "page not found"
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_picture_is_stored_but_not_served() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let mut boat = Boat::connect_to(&station, "balaena").await;
    let (s, mut p) = sample::sighting("balaena", 1);
    p.jpeg.truncate(100);
    let (s, p) = samples::with_picture(s, p.jpeg, 64, 32);
    boat.send_sighting(&s).await;
    boat.send_picture(&p).await;
    boat.expect_acks(2).await;
    let page = get(station.http_address(), &format!("/sightings/{}", s.id))
        .await
        .text();
    assert!(page.contains("not a readable JPEG") && !page.contains("<img"));
    assert_eq!(
        get(station.http_address(), &format!("/pictures/{}.jpg", s.id))
            .await
            .status,
        404
    );
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings")
            .await
            .json()[0]["picture"],
        "unreadable"
    );
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sightings_of_one_encounter_are_shown_together() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (first, _) = sample::sighting("balaena", 1);
    let (mut resighting, _) = sample::sighting("balaena", 2);
    // Another camera saw the fluke at once, a little earlier than the first.
    resighting.camera = "port".into();
    resighting.started = first.started.plus_millis(-500);
    resighting.ended = first.ended.plus_millis(-500);
    let (other, _) = sample::sighting("balaena", 3);
    let footage = resighting.footage.as_mut().unwrap();
    (footage.encounter, footage.earlier_crops) = (first.id, 1);
    send(
        &[first.clone(), resighting.clone(), other.clone()],
        &station,
    )
    .await;
    let of_encounter = format!("/api/v1/sightings?encounter={}", first.id);
    let found = get(station.http_address(), &of_encounter).await.json();
    let ids: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [first.id.to_string(), resighting.id.to_string()]);
    assert_eq!(
        get(station.http_address(), "/api/v1/sightings?encounter=x")
            .await
            .status,
        400
    );
    let page = get(
        station.http_address(),
        &format!("/sightings/{}", resighting.id),
    )
    .await;
    let page = page.text();
    assert!(
        page.contains("Same encounter")
            && page.contains("UTC, camera port: HW-0042</strong> (this sighting)")
            && page.contains("UTC, camera bow: HW-0042</a>")
            && page.contains(&format!("href=\"/sightings/{}\"", first.id))
            && page.contains("1, and 1 of earlier sightings of the encounter"),
        "{page}"
    );
    let alone = get(station.http_address(), &format!("/sightings/{}", other.id)).await;
    let alone = alone.text();
    assert!(!alone.contains("Same encounter"));
    let relative = "bearing 284°, 014° from the bow, about 350 m away";
    assert!(
        alone.contains("Whale from the boat") && alone.contains(relative),
        "{alone}"
    );
    let list = get(station.http_address(), "/").await.text();
    assert_eq!(list.matches("re-sighting · balaena #2").count(), 1);
    assert_eq!(list.matches("re-sighting · ").count(), 1, "{list}");
    station.shutdown().await;
}
