//! Bundles for tests; their model is never run.

use flukewatch_common::bundle::{Bundle, ModelInfo, NewBundle, Precision, SignatureTerms, View};
use flukewatch_common::catalogue::{Catalogue, Enrolled};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_trust::SigningKey;
use std::path::Path;

/// A bundle with this name and a catalogue of these photos.
pub(crate) fn with_photos(name: &str, photos: &[&str]) -> Bundle {
    let mut catalogue = Catalogue::new(2);
    for photo in photos {
        let entry = Enrolled {
            whale: "HW-1".into(),
            photo: (*photo).into(),
            source: "test".into(),
            ..Enrolled::default()
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
        padding: 0.0,
        mean: vec![127.0],
        std: vec![128.0],
    };
    let model = ModelInfo {
        architecture: "none".into(),
        precision: Precision::F32,
        opset: 17,
        trained_on: "nothing".into(),
    };
    let rule = DecisionRule::thresholds(0.6, 0.4, "test");
    let card = "For tests.".into();
    Bundle::new(NewBundle {
        name,
        created: "2026-11-23",
        preparation,
        views: vec![View::Plain],
        model_info: model,
        // More than one piece.
        model: vec![7; 150_000],
        catalogue,
        decision: rule,
        card,
    })
    .unwrap()
}

/// A bundle with this name.
pub(crate) fn bundle(name: &str) -> Bundle {
    with_photos(name, &["a.jpg"])
}

/// Signs the bundle at `path` with this version, and a far expiry.
pub(crate) fn sign(path: &Path, version: u64) {
    let terms = SignatureTerms {
        version,
        expires: Timestamp(4_102_444_800_000),
    };
    let key = SigningKey::from_seed([5; 32]);
    flukewatch_common::bundle::sign(path, &key, terms).unwrap();
}
