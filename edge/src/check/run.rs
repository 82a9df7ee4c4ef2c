//! Checks a configuration and everything that it names.

use super::bundle::bundle_and_models;
use super::inputs;
use super::outcome::CheckResult;
use crate::bundle_trust::bundle_trust;
use crate::config::Config;
use crate::health::SettingsHealth;
use crate::models::engine_log;
use crate::outbox::{self, Listing, NewEpoch};
use crate::received_bundles::ReceivedBundles;
use crate::received_settings::ReceivedSettings;
use crate::session::random_id;
use flukewatch_common::broker_url::BrokerEnvironment;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::sighting::BoatId;
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_inference::engine::tensorrt::TensorRt;
use std::error::Error;
use std::path::Path;

/// Checks a configuration and everything that it names, except for the broker: a boat leaves
/// without one, too.
pub fn check_config(file: &Path, environment: &BrokerEnvironment) -> Vec<CheckResult> {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(e) => return vec![CheckResult::fail("config", e)],
    };
    let broker = match config.uplink.access(environment) {
        Ok(access) => {
            let signed = match access.identity {
                Some(_) => "messages are signed",
                None => "messages are not signed",
            };
            // Without its password.
            format!("{} ({signed})", access.broker)
        }
        Err(e) => return vec![CheckResult::fail("config", e)],
    };
    let message = format!(
        "{}: boat '{}', broker {broker}",
        file.display(),
        config.boat.name,
    );
    let mut results = vec![CheckResult::pass("config", message)];
    results.extend(settings(&config));
    results.extend(bundle_and_models(
        &ReceivedBundles::of(&config).path_in_use(),
        &bundle_trust(&config, &SystemClock),
        config.detector.enabled,
    ));
    results.push(engine(&config));
    results.extend(inputs::cameras(&config));
    results.push(inputs::position(&config));
    results.push(outbox(&config));
    results
}

/// The settings from shore; `None` where none has arrived.
fn settings(config: &Config) -> Option<CheckResult> {
    let SettingsHealth { report, values } = ReceivedSettings::of(config).health()?;
    let progress = report.progress.as_str();
    let mut message = format!("revision {} from shore {progress}", report.revision);
    if !report.reason.is_empty() {
        message += &format!(" ({})", report.reason);
    }
    message += &if values.is_empty() {
        "; all values are those of the file".to_owned()
    } else {
        format!("; in place of the file's values: {}", values.join(", "))
    };
    Some(CheckResult::pass("settings", message))
}

/// What runs the model and the detector: whether TensorRT starts. No plan is built: that takes minutes, and `selftest` does it.
fn engine(config: &Config) -> CheckResult {
    let backend = config.engine.backend;
    if backend == EngineChoice::Tract {
        return CheckResult::pass("engine", "tract for model and detector, as configured");
    }
    match TensorRt::start(&config.engine.tensorrt(), engine_log()) {
        Ok(tensorrt) => {
            let installation = tensorrt.installation();
            CheckResult::pass("engine", format!("{installation}, for model and detector"))
        }
        Err(e) if backend == EngineChoice::Auto => {
            CheckResult::pass("engine", format!("tract for model and detector: {e}"))
        }
        Err(e) => CheckResult::fail(
            "engine",
            format!("backend 'tensorrt' is required and cannot start: {e}"),
        ),
    }
}

fn outbox(config: &Config) -> CheckResult {
    let path = &config.outbox.path;
    match rehearse_outbox(config).and_then(|()| Ok(Listing::read(path)?)) {
        Ok(listing) => {
            let (pending, dead) = (listing.pending.len(), listing.dead_letters.len());
            let mut message = format!(
                "{}: writable, {pending} messages pending, {dead} dead letters",
                path.display()
            );
            for aside in &listing.set_aside {
                message += &format!("; set aside in {}", aside.folder.display());
            }
            CheckResult::pass("outbox", message)
        }
        Err(e) => CheckResult::fail("outbox", e),
    }
}

/// Tries what `run` does with the outbox.
fn rehearse_outbox(config: &Config) -> Result<(), Box<dyn Error>> {
    let boat: BoatId = config.boat.name.parse()?;
    let fresh = NewEpoch {
        id: random_id()?,
        now: SystemClock.now(),
    };
    Ok(outbox::rehearse(&config.outbox.path, &boat, fresh)?)
}
