//! A sighting beside the catalogue's photos.

use crate::boat::{Boat, sample};
use crate::browse::get;
use flukewatch_common::bundle::{Bundle, ModelInfo, Precision, View};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_shore::serve::{self, BrokerChoice, Reference, Settings};

/// A bundle whose catalogue names `photos`; the model is never run here.
fn bundle(photos: &[&str]) -> Bundle {
    let mut catalogue = Catalogue::new(2);
    for photo in photos {
        let entry = Enrolled {
            whale: "HW-1".into(),
            photo: (*photo).into(),
            source: "test".into(),
        };
        catalogue
            .enrol(entry, &Embedding::normalised(vec![1.0, 0.0]).unwrap())
            .unwrap();
    }
    let preparation = Preparation {
        height: 32,
        width: 64,
        colour: Colour::Grey,
        fit: Fit::Stretch,
        margin: 0.0,
        mean: vec![127.0],
        deviation: vec![128.0],
    };
    let model = ModelInfo {
        architecture: "none".into(),
        precision: Precision::F32,
        opset: 17,
        trained_on: "nothing".into(),
    };
    let rule = DecisionRule::thresholds(0.6, 0.4, "test");
    let card = "For tests.".into();
    Bundle::new(
        "test",
        "2026-11-23",
        preparation,
        vec![View::Plain],
        model,
        vec![1],
        catalogue,
        rule,
        card,
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_shown_with_the_catalogues_photos_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for name in ["HW-1.jpg", "HW-2.jpg"] {
        std::fs::write(photos.join(name), sample::sighting("balaena", 1).1.jpeg).unwrap();
    }
    let path = folder.path().join("whales.flukebundle");
    bundle(&["HW-1.jpg", "../data/lock"]).save(&path).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let mut settings = Settings::new(folder.path().join("data"), any, BrokerChoice::Embedded(any));
    settings.reference = Some(Reference {
        bundle: path,
        photos,
    });
    let running = serve::start(settings).await.unwrap();
    let (s, _) = sample::sighting("balaena", 1);
    let mut boat = Boat::at(&running, "balaena").await;
    boat.sighting(&s).await;
    boat.receipted(1).await;
    let page = get(running.http(), &format!("/sightings/{}", s.id))
        .await
        .text();
    assert!(
        page.contains("src=\"/photos/HW-1.jpg\"") && page.contains("HW-2.jpg is not in shore"),
        "{page}"
    );
    assert!(page.contains("Best candidate: HW-1, score 0.81"));
    let photo = get(running.http(), "/photos/HW-1.jpg").await;
    assert_eq!(
        (photo.status, photo.header("content-type")),
        (200, Some("image/jpeg"))
    );
    for path in [
        "/photos/HW-2.jpg",
        "/photos/..%2fdata%2flock",
        "/photos/../data/lock",
    ] {
        assert_eq!(get(running.http(), path).await.status, 404, "{path}");
    }
    running.stop().await;
}
