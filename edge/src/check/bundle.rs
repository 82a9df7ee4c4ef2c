//! Checks a bundle and its models.

use super::outcome::CheckResult;
use crate::models::describe_detector;
use flukewatch_common::bundle::{Bundle, BundleTrust};
use flukewatch_inference::embedder::Embedder;
use image::RgbImage;
use std::path::Path;
use std::time::Instant;

/// Verifies every part of a bundle, whoever published it, and runs its models once.
pub fn check_bundle(path: &Path) -> Vec<CheckResult> {
    bundle_and_models(path, &BundleTrust::Everyone, true)
}

/// The same for a bundle that `trust` accepts; `detecting` says whether the detector is enabled.
pub(super) fn bundle_and_models(
    path: &Path,
    trust: &BundleTrust,
    detecting: bool,
) -> Vec<CheckResult> {
    let bundle = match Bundle::open_trusted(path, trust) {
        Ok(bundle) => bundle,
        Err(e) => return vec![CheckResult::fail("bundle", e)],
    };
    let catalogue = &bundle.catalogue;
    let signature = bundle.signature().map_or("not signed".into(), |s| {
        format!(
            "version {} signed by {}, expires {}",
            s.version(),
            s.key(),
            s.expires_text()
        )
    });
    let message = format!(
        "{}: '{}' ({}), {} individuals on {} photos; {signature}",
        path.display(),
        bundle.manifest.name,
        bundle.id(),
        catalogue.whales(),
        catalogue.len()
    );
    vec![
        CheckResult::pass("bundle", message),
        model(path, &bundle),
        match describe_detector(&bundle, detecting) {
            Ok(message) => CheckResult::pass("detector", message),
            Err(e) => CheckResult::fail("detector", format!("{}: {e}", path.display())),
        },
    ]
}

fn model(path: &Path, bundle: &Bundle) -> CheckResult {
    let fail = |e: &dyn std::fmt::Display| {
        CheckResult::fail("model", format!("the model of {}: {e}", path.display()))
    };
    let mut embedder = match Embedder::open(bundle) {
        Ok(embedder) => embedder,
        Err(e) => return fail(&e),
    };
    let test_image = RgbImage::from_fn(640, 320, |x, y| {
        image::Rgb([(x / 3) as u8, (y / 2) as u8, (x ^ y) as u8])
    });
    let started = Instant::now();
    match embedder.embed(&test_image, None) {
        Ok(embedding) if embedding.dimension() != bundle.catalogue.dimension() => fail(&format!(
            "its embeddings have {} dimensions, the catalogue's have {}",
            embedding.dimension(),
            bundle.catalogue.dimension()
        )),
        Ok(embedding) => {
            let millis = started.elapsed().as_millis();
            let message = format!(
                "{}: {} dimensions in {millis} ms",
                embedder.engine_name(),
                embedding.dimension()
            );
            CheckResult::pass("model", message)
        }
        Err(e) => fail(&e),
    }
}
