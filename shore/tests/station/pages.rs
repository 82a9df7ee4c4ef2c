//! The pages and the API, by HTTP.

use crate::boat::{Boat, sample, station};
use crate::browse::get;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::Sighting;
use flukewatch_shore::serve::Running;

const EVIL: &str = "<script>document.title='taken'</script>\"'&";

async fn with(sightings: &[Sighting], running: &Running) {
    let mut boat = Boat::at(running, "balaena").await;
    for s in sightings {
        boat.sighting(s).await;
    }
    boat.receipted(sightings.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_station_says_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let list = get(running.http(), "/").await;
    assert_eq!(list.status, 200);
    assert!(
        list.text().contains("No sighting has arrived yet")
            && list.text().contains(&running.broker().to_string())
    );
    assert!(
        get(running.http(), "/boats")
            .await
            .text()
            .contains("No boat has been heard yet")
    );
    assert!(
        get(running.http(), "/refused")
            .await
            .text()
            .contains("Nothing was refused")
    );
    assert!(
        get(running.http(), "/?verdict=new")
            .await
            .text()
            .contains("No sighting matches")
    );
    assert_eq!(
        get(running.http(), "/api/sightings").await.json(),
        serde_json::json!([])
    );
    let health = get(running.http(), "/api/health").await;
    assert_eq!(
        (health.status, &health.json()["status"]),
        (200, &serde_json::json!("ok"))
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whale_named_like_a_script_stays_a_name() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let (mut s, _) = sample::sighting("balaena", 1);
    s.verdict = Verdict::Known { whale: EVIL.into() };
    s.candidates[0].whale = EVIL.into();
    s.candidates[0].photo = format!("{EVIL}.jpg");
    s.camera = EVIL.into();
    with(std::slice::from_ref(&s), &running).await;
    let mut boat = Boat::at(&running, "balaena").await;
    boat.send("flukewatch/v1/<script>/picture", b"x".to_vec())
        .await;
    boat.nothing().await;
    for path in [
        "/".to_owned(),
        format!("/sightings/{}", s.id),
        "/boats".into(),
        "/refused".into(),
    ] {
        let page = get(running.http(), &path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.text().contains("<script>"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    let list = get(running.http(), "/").await.text();
    assert!(
        list.contains("&#60;script&#62;document.title=&#39;taken&#39;"),
        "{list}"
    );
    assert_eq!(
        get(running.http(), "/api/sightings").await.json()[0]["whale"],
        EVIL
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_gives_the_documented_fields() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let (s, p) = sample::sighting("balaena", 2);
    with(std::slice::from_ref(&s), &running).await;
    let one = get(running.http(), &format!("/api/sightings/{}", s.id))
        .await
        .json();
    let list = get(running.http(), "/api/sightings").await;
    assert_eq!(list.header("x-total-count"), Some("1"));
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
        "score",
        "candidates",
        "bundle",
        "engine",
        "chance",
        "position",
        "time",
        "encounter",
        "quality",
        "footage",
        "picture_stored",
        "picture",
        "received",
    ];
    documented.sort_unstable();
    assert_eq!(fields, documented);
    assert_eq!(
        (&one["verdict"], &one["whale"], &one["sequence"]),
        (&"known".into(), &"HW-1".into(), &2.into())
    );
    assert_eq!(
        one["candidates"][1],
        serde_json::json!({"whale": "HW-2", "score": 0.4, "photo": "HW-2.jpg"})
    );
    assert_eq!(
        (&one["position"]["longitude"], &one["position"]["quality"]),
        (&(-28.625).into(), &"differential".into())
    );
    assert_eq!(
        one["time"],
        serde_json::json!({"source": "satellites", "uncertainty": 500})
    );
    assert_eq!(
        (&one["encounter"], &one["quality"]),
        (&s.id.to_string().into(), &48.into())
    );
    assert_eq!(
        one["footage"]["crops"],
        serde_json::json!([{
            "after": 1200, "quality": 48, "sharpness": 62, "size": 80, "angle": 100, "exposure": 97
        }])
    );
    let footage = &one["footage"];
    assert_eq!(
        (&footage["frame"]["width"], &footage["config"]),
        (&1920.into(), &"0102030405060708".into())
    );
    assert_eq!(footage["places"][1]["after"], 2900);
    assert_eq!(
        (&one["started"], &one["picture_stored"]),
        (&"2026-11-23T16:22:00.000Z".into(), &false.into())
    );
    let mut boat = Boat::at(&running, "balaena").await;
    boat.picture(&p).await;
    boat.receipted(1).await;
    assert_eq!(
        get(running.http(), "/api/sightings").await.json()[0]["picture_stored"],
        true
    );
    let boats = get(running.http(), "/api/boats").await.json();
    assert_eq!(
        boats[0]["gaps"],
        serde_json::json!([{"first": 1, "last": 1}])
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_filters_and_turns_pages() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
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
    with(&sightings, &running).await;
    let first = get(running.http(), "/").await.text();
    assert!(
        first.contains("30 sightings, page 1 of 2")
            && first.contains("balaena #30")
            && !first.contains("balaena #6<")
    );
    let second = get(running.http(), "/?page=2").await.text();
    assert!(second.contains("balaena #6<") && !second.contains("balaena #7<"));
    let new = get(running.http(), "/?boat=balaena&verdict=new&page=1")
        .await
        .text();
    assert!(new.contains("10 sightings") && !new.contains("For review</strong>"));
    assert_eq!(
        get(running.http(), "/api/sightings?verdict=review&limit=3")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_eq!(
        get(running.http(), "/api/sightings?boat=megaptera")
            .await
            .json(),
        serde_json::json!([])
    );
    assert_eq!(
        get(
            running.http(),
            "/api/sightings?limit=18446744073709551615&offset=18446744073709551615"
        )
        .await
        .status,
        200
    );
    for bad in [
        "/?boat=%3Cscript%3E",
        "/?verdict=dolphin",
        "/api/sightings?boat=A/B",
        "/api/sightings?verdict=x",
    ] {
        assert_eq!(get(running.http(), bad).await.status, 400, "{bad}");
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("secret.jpg"), "secret").unwrap();
    let running = station(data.path()).await;
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
        let answer = get(running.http(), path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.header("content-security-policy").is_some());
    }
    assert_eq!(
        get(running.http(), "/api/sightings/x").await.json()["error"],
        "there is nothing at this address"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_picture_is_stored_but_never_shown() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let mut boat = Boat::at(&running, "balaena").await;
    let (s, p) = sample::broken("balaena", 1);
    boat.sighting(&s).await;
    boat.picture(&p).await;
    boat.receipted(2).await;
    let page = get(running.http(), &format!("/sightings/{}", s.id))
        .await
        .text();
    assert!(page.contains("no readable JPEG") && !page.contains("<img"));
    assert_eq!(
        get(running.http(), &format!("/pictures/{}.jpg", s.id))
            .await
            .status,
        404
    );
    assert_eq!(
        get(running.http(), "/api/sightings").await.json()[0]["picture"],
        "broken"
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sightings_of_one_encounter_are_shown_together() {
    let data = tempfile::tempdir().unwrap();
    let running = station(data.path()).await;
    let (first, _) = sample::sighting("balaena", 1);
    let (mut back, _) = sample::sighting("balaena", 2);
    let (other, _) = sample::sighting("balaena", 3);
    let footage = back.footage.as_mut().unwrap();
    (footage.encounter, footage.earlier_crops) = (first.id, 1);
    with(&[first.clone(), back.clone(), other.clone()], &running).await;
    let of_encounter = format!("/api/sightings?encounter={}", first.id);
    let found = get(running.http(), &of_encounter).await.json();
    let ids: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [back.id.to_string(), first.id.to_string()]);
    assert_eq!(
        get(running.http(), "/api/sightings?encounter=x")
            .await
            .status,
        400
    );
    let page = get(running.http(), &format!("/sightings/{}", back.id)).await;
    let page = page.text();
    assert!(
        page.contains("The same encounter")
            && page.contains(&format!("href=\"/sightings/{}\"", first.id))
            && page.contains("1, and 1 of the encounter&#39;s earlier sightings"),
        "{page}"
    );
    let alone = get(running.http(), &format!("/sightings/{}", other.id)).await;
    assert!(!alone.text().contains("The same encounter"));
    let list = get(running.http(), "/").await.text();
    assert_eq!(list.matches("return · balaena #2").count(), 1);
    assert_eq!(list.matches("return · ").count(), 1, "{list}");
    running.stop().await;
}
