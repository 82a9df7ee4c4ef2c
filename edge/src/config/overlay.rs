//! The values that came from shore, in place of the file's.

use super::load::identity;
use super::root::Config;
use flukewatch_common::boat_settings::{Setting, SettingKey, SettingValue};

impl Config {
    /// Whether settings from shore are used.
    pub fn permits_settings(&self) -> bool {
        let is_signed = !self.uplink.identity.as_os_str().is_empty();
        self.settings.over_the_air.unwrap_or(is_signed)
    }

    /// This configuration with `settings` in place of the file's values. Its identity is another one.
    #[must_use]
    pub fn with_settings(mut self, settings: &[Setting]) -> Self {
        if settings.is_empty() {
            return self;
        }
        let mut text = self.identity.to_string();
        for setting in settings {
            self.set(setting);
            text += &format!("\n{setting}");
        }
        self.identity = identity(&text);
        self
    }

    fn set(&mut self, setting: &Setting) {
        let number = match setting.value() {
            SettingValue::Link(class) => {
                self.uplink.link = class;
                return;
            }
            SettingValue::Number(number) => number,
        };
        // Whole, and in range.
        let whole = number as u64;
        match setting.key() {
            SettingKey::DetectorThreshold => self.detector.threshold = number,
            SettingKey::ConfirmScore => self.track.confirm_score = number,
            SettingKey::MinWidthFraction => self.track.min_width_fraction = number,
            SettingKey::RecordingDays => self.recording.days = number,
            SettingKey::RecordingMegabytes => self.recording.max_megabytes = whole,
            SettingKey::ClipDays => self.clip.days = number,
            SettingKey::ClipMegabytes => self.clip.max_megabytes = whole,
            SettingKey::ArchiveDays => self.archive.days = number,
            SettingKey::ArchiveMegabytes => self.archive.max_megabytes = whole,
            SettingKey::BytesPerHour(class) => *self.uplink.bytes_per_hour.of_mut(class) = whole,
            // A number is not its value.
            SettingKey::Link => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::link_class::LinkClass;
    use std::path::Path;

    const EXAMPLE: &str = include_str!("../../edge.example.toml");

    fn parse(text: &str) -> Config {
        Config::parse(text, Path::new("edge.toml")).unwrap()
    }

    fn settings(texts: &[&str]) -> Vec<Setting> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn each_setting_replaces_its_key_and_no_other() {
        let class = LinkClass::Vsat;
        for key in SettingKey::ALL {
            let value = match key {
                SettingKey::Link => format!("\"{class}\""),
                SettingKey::BytesPerHour(_) => "12345".to_owned(),
                SettingKey::RecordingMegabytes
                | SettingKey::ClipMegabytes
                | SettingKey::ArchiveMegabytes => "123".to_owned(),
                _ => "0.25".to_owned(),
            };
            // The same by another text of the file.
            let (section, name) = key.as_str().rsplit_once('.').unwrap();
            let mut table: toml::Table = EXAMPLE.parse().unwrap();
            let mut inner = &mut table;
            for name in section.split('.') {
                inner = inner[name].as_table_mut().unwrap();
            }
            let parsed: toml::Table = format!("value = {value}").parse().unwrap();
            inner.insert(name.to_owned(), parsed["value"].clone());
            let mut expected = parse(&table.to_string());
            let setting = format!("{}={}", key.as_str(), value.trim_matches('"'));
            let overlaid = parse(EXAMPLE).with_settings(&settings(&[&setting]));
            assert_ne!(overlaid.identity, parse(EXAMPLE).identity);
            expected.identity = overlaid.identity;
            assert_eq!(overlaid, expected, "{setting}");
        }
    }

    #[test]
    fn the_identity_depends_on_the_settings() {
        let with = |texts: &[&str]| parse(EXAMPLE).with_settings(&settings(texts)).identity;
        assert_eq!(with(&[]), parse(EXAMPLE).identity);
        assert_eq!(with(&["clip.days=3"]), with(&["clip.days=3"]));
        assert_ne!(with(&["clip.days=3"]), with(&["clip.days=4"]));
    }

    #[test]
    fn settings_are_permitted_where_messages_are_signed_or_the_file_says_so() {
        let example = parse(EXAMPLE);
        assert!(!example.permits_settings());
        let signed = EXAMPLE.replace("identity = \"\"", "identity = \"balaena\"");
        assert!(parse(&signed).permits_settings());
        let says = |text: &str, value: bool| {
            let key = format!("over_the_air = {value}\n\n[recording]");
            parse(&text.replace("# over_the_air = true\n\n[recording]", &key)).permits_settings()
        };
        assert!(!says(&signed, false));
        assert!(says(EXAMPLE, true));
    }
}
