//! The catalogue's photos beside a sighting.

use crate::browse::get;
use crate::fixtures::{Boat, sample};
use crate::sample_bundle::with_photos;
use flukewatch_shore::station::{BrokerConfig, CatalogueSource, Station, StationConfig};

#[tokio::test(flavor = "multi_thread")]
async fn only_photos_of_the_catalogue_are_shown_and_served() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for name in ["a.jpg", "b.jpg"] {
        std::fs::write(photos.join(name), sample::sighting("balaena", 1).1.jpeg).unwrap();
    }
    let path = folder.path().join("whales.flukebundle");
    let bundle = with_photos("test", &["a.jpg", "../data/lock"]);
    bundle.save(&path).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut config =
        StationConfig::new(folder.path().join("data"), any, BrokerConfig::Embedded(any));
    config.catalogue = Some(CatalogueSource {
        bundle: path,
        photos,
    });
    let station = Station::start(config).await.unwrap();
    let (s, _) = sample::sighting("balaena", 1);
    let mut boat = Boat::connect_to(&station, "balaena").await;
    boat.send_sighting(&s).await;
    boat.expect_acks(1).await;
    let page = get(station.http_address(), &format!("/sightings/{}", s.id))
        .await
        .text();
    assert!(
        page.contains("src=\"/photos/a.jpg\"") && page.contains("b.jpg is not in shore"),
        "{page}"
    );
    assert!(page.contains("Best candidate: HW-0042, score 0.75"));
    let photo = get(station.http_address(), "/photos/a.jpg").await;
    assert_eq!(
        (photo.status, photo.header("content-type")),
        (200, Some("image/jpeg"))
    );
    for path in [
        "/photos/b.jpg",
        "/photos/..%2fdata%2flock",
        "/photos/../data/lock",
    ] {
        assert_eq!(
            get(station.http_address(), path).await.status,
            404,
            "{path}"
        );
    }
    station.shutdown().await;
}
