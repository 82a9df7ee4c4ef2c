use super::*;
use crate::link_class::LinkClass;
use crate::samples;
use crate::wire;
use proptest::prelude::*;

fn message(values: Vec<(u8, SettingValue)>) -> BoatSettings {
    BoatSettings {
        boat: samples::boat(),
        revision: 3,
        issued: Timestamp(5),
        values,
    }
}

#[test]
fn keys_have_names_and_numbers_of_their_own() {
    for (index, key) in SettingKey::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(key.number()), index + 1);
        assert_eq!(SettingKey::from_number(key.number()), Some(key));
        assert_eq!(SettingKey::parse(key.as_str()), Some(key));
    }
    assert_eq!(SettingKey::from_number(0), None);
    assert_eq!(SettingKey::from_number(200), None);
    assert_eq!(SettingKey::parse("uplink.broker"), None);
}

#[test]
fn a_setting_is_read_as_it_is_written() {
    for text in [
        "detector.threshold=0.4",
        "archive.max_megabytes=0",
        "uplink.link=iridium",
        "uplink.bytes_per_hour.vsat=20000000",
    ] {
        let setting: Setting = text.parse().unwrap();
        assert_eq!(setting.to_string(), text);
    }
    let spaced: Setting = " uplink.link = vsat ".parse().unwrap();
    assert_eq!(spaced.value(), SettingValue::Link(LinkClass::Vsat));
}

#[test]
fn an_invalid_setting_names_its_key_and_what_is_expected() {
    for (text, said) in [
        (
            "detector.threshold",
            "'detector.threshold': expected KEY=VALUE",
        ),
        (
            "detector.threshold=1.5",
            "detector.threshold: must be 0 to 1, not 1.5",
        ),
        (
            "detector.threshold=NaN",
            "detector.threshold: must be 0 to 1, not NaN",
        ),
        (
            "track.confirm_score=0",
            "track.confirm_score: must be 0.01 to 1, not 0",
        ),
        (
            "clip.max_megabytes=1.5",
            "clip.max_megabytes: must be a whole number, not 1.5",
        ),
        (
            "uplink.bytes_per_hour.iridium=9999",
            "uplink.bytes_per_hour.iridium: must be 0, or 10000 to 1000000000000000, not 9999",
        ),
        (
            "uplink.link=carrier-pigeon",
            "uplink.link: expected one of harbour, lte, starlink, vsat, iridium, not 'carrier-pigeon'",
        ),
        (
            "archive.days=two",
            "archive.days: expected 0 to 3650, not 'two'",
        ),
    ] {
        let error = text.parse::<Setting>().unwrap_err();
        assert_eq!(error.to_string(), said);
    }
    let error = "uplink.broker=mqtt://x".parse::<Setting>().unwrap_err();
    assert_eq!(error, InvalidSetting::Unknown("uplink.broker".into()));
    let swapped = Setting::new(SettingKey::Link, SettingValue::Number(1.0));
    assert!(matches!(swapped, Err(InvalidSetting::Value(..))));
    let swapped = Setting::new(SettingKey::ClipDays, SettingValue::Link(LinkClass::Lte));
    assert!(matches!(swapped, Err(InvalidSetting::Value(..))));
}

#[test]
fn a_message_is_validated_as_a_whole() {
    let settings: Vec<Setting> = ["clip.days=3", "uplink.link=lte"]
        .map(|text| text.parse().unwrap())
        .into();
    let sent = BoatSettings::new(samples::boat(), 3, Timestamp(5), &settings);
    assert_eq!(sent.validate(), Ok(settings));
    assert_eq!(message(vec![]).validate(), Ok(vec![]));
    let number = SettingValue::Number;
    for (values, expected) in [
        (
            vec![(1, number(0.5)), (99, number(1.0))],
            InvalidSetting::Newer(99),
        ),
        (
            vec![(1, number(0.5)), (1, number(0.5))],
            InvalidSetting::Repeated(SettingKey::DetectorThreshold),
        ),
        (
            vec![(6, number(-1.0))],
            InvalidSetting::Range(SettingKey::ClipDays, -1.0),
        ),
    ] {
        assert_eq!(message(values).validate(), Err(expected));
    }
}

#[test]
fn a_report_is_bounded() {
    let report = SettingsReport {
        revision: 3,
        in_use: 2,
        progress: SettingsProgress::Rejected,
        reason: "x".repeat(MAX_SETTINGS_REASON_BYTES),
    };
    assert_eq!(report.validate(), Ok(()));
    let changes: [fn(&mut SettingsReport); 5] = [
        |r| r.revision = u64::MAX,
        |r| (r.revision, r.in_use) = (0, 0),
        |r| r.in_use = 4,
        |r| r.reason.push('x'),
        |r| r.reason = "a\nb".into(),
    ];
    for change in changes {
        let mut invalid = report.clone();
        change(&mut invalid);
        assert_eq!(invalid.validate(), Err(InvalidSettingsReport));
    }
}

fn any_value() -> impl Strategy<Value = SettingValue> {
    prop_oneof![
        any::<f64>().prop_map(SettingValue::Number),
        (0..LinkClass::ALL.len()).prop_map(|index| SettingValue::Link(LinkClass::ALL[index])),
    ]
}

proptest! {
    /// What is valid can be sent, written and read again; what is not, is rejected with a reason that fits into
    /// a report.
    #[test]
    fn any_values_are_accepted_as_they_are_or_rejected(values in prop::collection::vec((0u8..20, any_value()), 0..20)) {
        let message = message(values);
        let decoded: BoatSettings = wire::decode(&wire::encode(&message).unwrap()).unwrap();
        match decoded.validate() {
            Ok(settings) => {
                for setting in &settings {
                    let parsed = setting.to_string().parse::<Setting>();
                    prop_assert_eq!(parsed.as_ref(), Ok(setting));
                }
                let again = BoatSettings::new(samples::boat(), 3, Timestamp(5), &settings);
                prop_assert_eq!(again.validate(), Ok(settings));
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}
