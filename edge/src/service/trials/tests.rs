use super::*;
use crate::received_settings::{overlay, take};
use flukewatch_common::boat_settings::{BoatSettings, SettingsProgress};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::wire;
use tempfile::TempDir;

/// A boat that permits settings, and has accepted revision 1.
fn boat() -> (TempDir, Config, AppState) {
    let folder = tempfile::tempdir().unwrap();
    let text = include_str!("../../../edge.example.toml");
    let permitting = text.replace("# over_the_air = true\n\n", "over_the_air = true\n\n");
    let config = Config::parse(&permitting, &folder.path().join("edge.toml")).unwrap();
    assert!(config.permits_settings());
    let settings = ["clip.days=3".parse().unwrap()];
    let boat = config.boat.name.parse().unwrap();
    let message = BoatSettings::new(boat, 1, Timestamp(5), &settings);
    assert!(take(&wire::encode(&message).unwrap(), &config));
    (folder, config, AppState::default())
}

fn reported(state: &AppState) -> (u64, SettingsProgress, String) {
    let report = state.counters.settings().unwrap().report;
    (report.in_use, report.progress, report.reason)
}

#[test]
fn settings_with_which_no_session_starts_are_rolled_back_once() {
    let (_folder, config, state) = boat();
    let (overlaid, revision) = overlay(&config);
    assert_eq!((overlaid.clip.days, revision), (3.0, 1));
    let error = SessionError::System {
        what: "start a thread",
        why: "no memory".into(),
    };
    assert!(roll_back_after(&error, &overlaid, revision, &state));
    let reason = error.to_string();
    assert_eq!(reported(&state), (0, SettingsProgress::RolledBack, reason));
    assert_eq!(overlay(&config), (config.clone(), 0));
    assert!(!roll_back_after(&error, &config, 0, &state));
}

#[test]
fn settings_with_which_nothing_is_identified_are_rolled_back() {
    let (_folder, config, state) = boat();
    let used = UsedUpdates::of(&config, 1);
    let trials = SessionTrials::begin(&config, &state, used, None);
    state.counters.failed_encounter();
    assert!(!trials.have_failed());
    state.counters.failed_encounter();
    assert!(trials.have_failed());
    let reason = "none of 2 encounters could be identified".to_owned();
    assert_eq!(reported(&state), (0, SettingsProgress::RolledBack, reason));
    // The same session is not judged again.
    assert!(!trials.have_failed() && !trials.roll_back("it ended with an error"));
}

#[test]
fn a_session_with_other_settings_does_not_judge_those_on_trial() {
    let (_folder, config, state) = boat();
    // It began before they arrived.
    let used = UsedUpdates::of(&config, 0);
    let trials = SessionTrials::begin(&config, &state, used, None);
    (0..9).for_each(|_| state.counters.failed_encounter());
    assert!(!trials.have_failed() && !trials.roll_back("it ended with an error"));
    assert!(ReceivedSettings::of(&config).is_on_trial(1));
}

#[test]
fn settings_that_bring_the_program_down_are_rolled_back_at_the_fourth_start() {
    let (_folder, config, state) = boat();
    for _ in 0..MAX_FAILED_STARTS {
        count_start(&config, &state);
        assert_eq!(reported(&state).1, SettingsProgress::OnTrial);
    }
    count_start(&config, &state);
    let (in_use, progress, reason) = reported(&state);
    assert_eq!((in_use, progress), (0, SettingsProgress::RolledBack));
    assert!(reason.contains("3 starts"), "{reason}");
}
