//! Checks a configuration and everything that it names.

use super::bundle::bundle_and_models;
use super::inputs;
use super::outcome::CheckResult;
use crate::config::Config;
use crate::models::engine_log;
use crate::outbox::Listing;
use crate::uplink::BrokerUrl;
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_inference::engine::tensorrt::TensorRt;
use std::path::Path;

/// Checks a configuration and everything that it names, except for the broker: a boat leaves
/// without one, too.
pub fn check_config(file: &Path) -> Vec<CheckResult> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(e) => return vec![CheckResult::fail("config", e)],
    };
    let broker = match config.uplink.broker.parse::<BrokerUrl>() {
        // Without its password.
        Ok(broker) => broker.to_string(),
        Err(e) => return vec![CheckResult::fail("config", e)],
    };
    let message = format!(
        "{}: boat '{}', broker {broker}",
        file.display(),
        config.boat.name,
    );
    let mut results = vec![CheckResult::pass("config", message)];
    results.extend(bundle_and_models(
        &config.bundle.path,
        config.detector.enabled,
    ));
    results.push(engine(&config));
    results.extend(inputs::cameras(&config));
    results.push(inputs::position(&config));
    results.push(outbox(&config));
    results
}

/// Whether TensorRT starts. No plan is built: that takes minutes, and `selftest` does it.
fn engine(config: &Config) -> CheckResult {
    let backend = config.engine.backend;
    if backend == EngineChoice::Tract {
        return CheckResult::pass("engine", "tract, as configured");
    }
    match TensorRt::start(&config.engine.tensorrt(), engine_log()) {
        Ok(tensorrt) => CheckResult::pass("engine", tensorrt.installation().to_string()),
        Err(e) if backend == EngineChoice::Auto => {
            CheckResult::pass("engine", format!("tract: {e}"))
        }
        Err(e) => CheckResult::fail(
            "engine",
            format!("backend 'tensorrt' is required and cannot start: {e}"),
        ),
    }
}

fn outbox(config: &Config) -> CheckResult {
    let path = &config.outbox.path;
    match Listing::read(path) {
        Ok(listing) => {
            let (pending, dead) = (listing.pending.len(), listing.dead_letters.len());
            CheckResult::pass(
                "outbox",
                format!(
                    "{}: {pending} messages pending, {dead} dead letters",
                    path.display()
                ),
            )
        }
        Err(e) => CheckResult::fail("outbox", e),
    }
}
