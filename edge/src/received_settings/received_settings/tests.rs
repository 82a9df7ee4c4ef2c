use super::*;
use flukewatch_common::boat_settings::SettingValue;
use flukewatch_common::clock::Timestamp;
use tempfile::TempDir;

fn boat() -> (TempDir, ReceivedSettings) {
    let folder = tempfile::tempdir().unwrap();
    let received = ReceivedSettings::new(&folder.path().join("outbox"), true);
    (folder, received)
}

fn message(revision: u64, values: &[&str]) -> BoatSettings {
    let values: Vec<Setting> = values.iter().map(|text| text.parse().unwrap()).collect();
    let boat = "balaena".parse().unwrap();
    BoatSettings::new(boat, revision, Timestamp(1_795_450_800_000), &values)
}

fn in_use(received: &ReceivedSettings) -> Vec<String> {
    received
        .in_use()
        .1
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn report(received: &ReceivedSettings) -> (u64, u64, SettingsProgress, String) {
    let report = received.health().unwrap().report;
    assert_eq!(report.validate(), Ok(()));
    (
        report.revision,
        report.in_use,
        report.progress,
        report.reason,
    )
}

#[test]
fn settings_that_work_stay_in_use_and_older_ones_are_ignored() {
    let (_folder, received) = boat();
    assert_eq!((received.health(), received.in_use().0), (None, 0));
    let first = message(5, &["clip.days=3", "detector.threshold=0.4"]);
    assert_eq!(received.receive(&first).unwrap(), Taken::Accepted);
    assert_eq!(in_use(&received), ["detector.threshold=0.4", "clip.days=3"]);
    assert_eq!(
        report(&received),
        (5, 5, SettingsProgress::OnTrial, String::new())
    );
    // Another session may have used others.
    received.pass_trial(4).unwrap();
    assert!(received.is_on_trial(5) && !received.is_on_trial(4));
    received.pass_trial(5).unwrap();
    assert!(!received.is_on_trial(5));
    assert_eq!(
        report(&received),
        (5, 5, SettingsProgress::Active, String::new())
    );
    for revision in [0, 4, 5] {
        let older = message(revision, &["clip.days=9"]);
        assert_eq!(received.receive(&older).unwrap(), Taken::Known);
    }
    assert_eq!(received.in_use().0, 5);
    // A message without values returns to the file.
    assert_eq!(received.receive(&message(6, &[])).unwrap(), Taken::Accepted);
    assert_eq!(in_use(&received), [""; 0]);
    assert_eq!(received.in_use().0, 6);
}

#[test]
fn one_invalid_value_rejects_all_and_the_ones_before_stay() {
    let (_folder, received) = boat();
    received.receive(&message(1, &["clip.days=3"])).unwrap();
    received.pass_trial(1).unwrap();
    let invalid = BoatSettings {
        values: vec![
            (1, SettingValue::Number(0.5)),
            (6, SettingValue::Number(-4.0)),
        ],
        ..message(2, &[])
    };
    let reason = "clip.days: must be 0 to 3650, not -4".to_owned();
    let taken = received.receive(&invalid).unwrap();
    assert_eq!(taken, Taken::Rejected(reason.clone()));
    assert_eq!(
        report(&received),
        (2, 1, SettingsProgress::Rejected, reason)
    );
    assert_eq!(in_use(&received), ["clip.days=3"]);
    // It is not examined again.
    assert_eq!(received.receive(&invalid).unwrap(), Taken::Known);
}

#[test]
fn settings_that_do_not_work_are_rolled_back_to_the_last_that_did() {
    let (_folder, received) = boat();
    received.receive(&message(1, &["clip.days=3"])).unwrap();
    received.pass_trial(1).unwrap();
    received.receive(&message(2, &["clip.days=4"])).unwrap();
    // Even newer ones arrive meanwhile.
    received.receive(&message(3, &["clip.days=5"])).unwrap();
    assert!(!received.roll_back(2, "of an earlier session"));
    assert!(received.roll_back(3, "a stage\nrestarted"));
    let reason = "a stage restarted".to_owned();
    assert_eq!(
        report(&received),
        (3, 1, SettingsProgress::RolledBack, reason)
    );
    assert_eq!(in_use(&received), ["clip.days=3"]);
    // Those have worked: whatever happens now is not their fault.
    assert!(!received.roll_back(1, "a stage restarted"));
    assert_eq!(received.receive(&message(3, &[])).unwrap(), Taken::Known);
}

#[test]
fn starts_count_only_on_trial_and_unless_they_end_in_order() {
    let (_folder, received) = boat();
    assert_eq!(received.begin_start().unwrap(), 0);
    received.receive(&message(1, &["clip.days=3"])).unwrap();
    for earlier in 0..3 {
        assert_eq!(received.begin_start().unwrap(), earlier);
    }
    received.end_in_order().unwrap();
    assert_eq!(received.begin_start().unwrap(), 0);
    received.pass_trial(1).unwrap();
    assert_eq!(received.begin_start().unwrap(), 0);
}

#[test]
fn where_the_configuration_forbids_them_none_is_used() {
    let (folder, received) = boat();
    received.receive(&message(1, &["clip.days=3"])).unwrap();
    let forbidding = ReceivedSettings::new(&folder.path().join("outbox"), false);
    assert_eq!(
        (in_use(&forbidding), forbidding.is_on_trial(1)),
        (vec![], false)
    );
    let rejected = (1, 0, SettingsProgress::Rejected, FORBIDDEN.to_owned());
    assert_eq!(report(&forbidding), rejected);
    let taken = forbidding.receive(&message(2, &["clip.days=4"])).unwrap();
    assert_eq!(taken, Taken::Rejected(FORBIDDEN.into()));
    // Permitted again, what was accepted before is used again.
    assert_eq!(in_use(&received), ["clip.days=3"]);
}

#[test]
fn a_damaged_note_or_value_leaves_the_boat_with_the_file_s() {
    let (folder, received) = boat();
    received
        .receive(&message(1, &["clip.days=3", "archive.days=2"]))
        .unwrap();
    let file = folder.path().join("outbox/settings.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let newer = text.replace("clip.days=3", "clip.minutes=3");
    std::fs::write(&file, newer).unwrap();
    assert_eq!(in_use(&received), ["archive.days=2"]);
    for damaged in ["", "[]", "{}", "{\"revision\":-1}"] {
        std::fs::write(&file, damaged).unwrap();
        assert_eq!((in_use(&received), received.health()), (vec![], None));
    }
    let taken = received.receive(&message(1, &["clip.days=3"])).unwrap();
    assert_eq!(taken, Taken::Accepted);
}
