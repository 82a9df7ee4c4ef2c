//! What is on trial: a bundle that was received, settings from shore, or both.
//!
//! Where something goes wrong while both are, the settings are rolled back first: it costs less, and the bundle
//! stays on trial.

use crate::app_state::AppState;
use crate::bundle_trust::{AcceptedFile, VerifiedSignature};
use crate::bundle_update::{Observed, TrialResult, UpdateTrial, roll_back};
use crate::config::Config;
use crate::models::ModelsError;
use crate::received_bundles::{ReceivedBundle, ReceivedBundles};
use crate::received_settings::ReceivedSettings;
use crate::session::SessionError;
use flukewatch_common::clock::SystemClock;
use std::sync::atomic::{AtomicBool, Ordering};

/// So often a new configuration, bundle or settings may bring the program down before the ones before are used.
pub(super) const MAX_FAILED_STARTS: u32 = 3;

/// Counts this start of the program while something is on trial, and returns to what was before where it brings
/// the program down.
pub(super) fn count_start(config: &Config, state: &AppState) {
    let (bundles, settings) = (ReceivedBundles::of(config), ReceivedSettings::of(config));
    let reason =
        |earlier, what| format!("the program ended at each of {earlier} starts with {what}");
    match settings.begin_start() {
        Ok(earlier) if earlier >= MAX_FAILED_STARTS => {
            settings.roll_back(settings.in_use().0, &reason(earlier, "them"));
            // Starts count from now on.
            note_end(&bundles, &settings);
        }
        Ok(_) => match bundles.begin_start() {
            Ok(earlier) if earlier >= MAX_FAILED_STARTS => {
                roll_back(config, &reason(earlier, "it"), &SystemClock);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot count the starts with the bundle on trial")
            }
        },
        Err(error) => tracing::warn!(%error, "cannot count the starts with the settings on trial"),
    }
    settings.publish(&state.counters);
}

/// The program ends in order: that does not count against what is on trial.
pub(super) fn end_in_order(config: &Config) {
    note_end(&ReceivedBundles::of(config), &ReceivedSettings::of(config));
}

fn note_end(bundles: &ReceivedBundles, settings: &ReceivedSettings) {
    if let Err(error) = bundles
        .end_in_order()
        .and_then(|()| settings.end_in_order())
    {
        tracing::warn!(%error, "cannot note that the program ended in order");
    }
}

/// Returns to what was before where a session with `config` and the settings of this revision cannot start.
/// Returns whether it did.
pub(super) fn roll_back_after(
    error: &SessionError,
    config: &Config,
    settings: u64,
    state: &AppState,
) -> bool {
    let reason = error.to_string();
    match error {
        // An engine that does not start, e.g. since its driver fails, says nothing against a bundle that has
        // worked.
        SessionError::Models(ModelsError::Engine { .. }) => {
            ReceivedBundles::of(config).is_on_trial() && roll_back(config, &reason, &SystemClock)
        }
        SessionError::Models(_) => roll_back(config, &reason, &SystemClock),
        _ => roll_back_settings(config, settings, &reason, state),
    }
}

fn roll_back_settings(config: &Config, revision: u64, reason: &str, state: &AppState) -> bool {
    let settings = ReceivedSettings::of(config);
    let is_rolled_back = settings.roll_back(revision, reason);
    settings.publish(&state.counters);
    is_rolled_back
}

/// What came over the air and is used in a session.
pub(super) struct UsedUpdates {
    /// The bundle, where that arrived over the air.
    pub(super) bundle: Option<ReceivedBundle>,
    /// The revision of the settings; 0 for the values of the file.
    settings: u64,
    bundle_on_trial: bool,
    settings_on_trial: bool,
}

impl UsedUpdates {
    /// Those of a session with `config`, which has the settings of this revision.
    pub(super) fn of(config: &Config, settings: u64) -> Self {
        let bundles = ReceivedBundles::of(config);
        Self {
            bundle: bundles.in_use(),
            settings,
            bundle_on_trial: bundles.is_on_trial(),
            settings_on_trial: ReceivedSettings::of(config).is_on_trial(settings),
        }
    }
}

/// The trials of a session.
pub(super) struct SessionTrials<'a> {
    config: &'a Config,
    state: &'a AppState,
    used: UsedUpdates,
    /// The signature of the bundle.
    signature: Option<VerifiedSignature>,
    /// `None` where everything has worked before.
    trial: Option<UpdateTrial>,
    /// Whether that is passed, or something was rolled back.
    is_over: AtomicBool,
}

impl<'a> SessionTrials<'a> {
    /// Those of a session with `config` that begins now.
    pub(super) fn begin(
        config: &'a Config,
        state: &'a AppState,
        used: UsedUpdates,
        signature: Option<VerifiedSignature>,
    ) -> Self {
        let is_on_trial = used.bundle_on_trial || used.settings_on_trial;
        let trial = is_on_trial.then(|| UpdateTrial::begin(observed(state), config.bundle.trial()));
        Self {
            config,
            state,
            used,
            signature,
            trial,
            is_over: AtomicBool::new(false),
        }
    }

    /// The bundle in use, where that arrived over the air.
    pub(super) fn bundle(&self) -> Option<&ReceivedBundle> {
        self.used.bundle.as_ref()
    }

    /// Whether something was on trial and has just been rolled back. What has worked is noted.
    pub(super) fn have_failed(&self) -> bool {
        let Some(trial) = &self.trial else {
            return false;
        };
        if self.is_over.load(Ordering::SeqCst) {
            return false;
        }
        match trial.result(observed(self.state)) {
            TrialResult::Running => false,
            TrialResult::Failed(reason) => self.roll_back(&reason),
            TrialResult::Passed => {
                if self.pass_settings() && self.pass_bundle() {
                    self.is_over.store(true, Ordering::SeqCst);
                }
                false
            }
        }
    }

    /// Returns to what was before, if this session uses something on trial. Returns whether it did; once only.
    pub(super) fn roll_back(&self, reason: &str) -> bool {
        if self.is_over.load(Ordering::SeqCst) {
            return false;
        }
        let Self { config, used, .. } = self;
        let settings =
            used.settings_on_trial && roll_back_settings(config, used.settings, reason, self.state);
        let is_rolled_back =
            settings || (self.uses_bundle_on_trial() && roll_back(config, reason, &SystemClock));
        self.is_over.store(is_rolled_back, Ordering::SeqCst);
        is_rolled_back
    }

    /// The configuration has worked: so has its bundle, unless that is on trial.
    pub(super) fn note_proven_bundle(&self) {
        if !self.used.bundle_on_trial {
            self.note_bundle();
        }
    }

    /// Returns whether nothing is left to do for the settings.
    fn pass_settings(&self) -> bool {
        if !self.used.settings_on_trial {
            return true;
        }
        let settings = ReceivedSettings::of(self.config);
        let passed = settings.pass_trial(self.used.settings);
        if let Err(error) = &passed {
            tracing::warn!(%error, "cannot note that the settings work");
        }
        settings.publish(&self.state.counters);
        passed.is_ok()
    }

    /// Returns whether nothing is left to do for the bundle.
    fn pass_bundle(&self) -> bool {
        if !self.uses_bundle_on_trial() {
            return true;
        }
        tracing::info!("received bundle works; trial passed");
        // First what rejects older ones: after a power cut in between, the trial is repeated.
        self.note_bundle();
        let passed = ReceivedBundles::of(self.config).pass_trial();
        if let Err(error) = &passed {
            tracing::warn!(%error, "cannot note that the bundle works");
        }
        passed.is_ok()
    }

    /// Whether a bundle is on trial, and this session uses it: a newer one may have been installed meanwhile.
    fn uses_bundle_on_trial(&self) -> bool {
        let bundles = ReceivedBundles::of(self.config);
        self.used.bundle_on_trial && bundles.is_on_trial() && bundles.in_use() == self.used.bundle
    }

    /// From now on, older bundles are rejected.
    fn note_bundle(&self) {
        let Some(signature) = &self.signature else {
            return;
        };
        let noted = AcceptedFile::new(&self.config.outbox.path);
        if let Err(error) = noted.note(&signature.accepted()) {
            tracing::warn!(%error, "cannot note the bundle in use; older ones will be accepted");
        }
    }
}

/// What is judged.
fn observed(state: &AppState) -> Observed<'_> {
    Observed {
        counters: &state.counters,
        stages: &state.stages,
        detector: &state.detector,
    }
}

#[cfg(test)]
mod tests;
