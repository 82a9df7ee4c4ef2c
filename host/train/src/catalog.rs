//! The losses and miners that a recipe may choose, for people and programs.

use crate::about::About;
use crate::loss::LossSettings;
use crate::miner::MinerSettings;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Losses and miners with their settings; [`Display`] writes them as text.
#[derive(Serialize)]
pub struct Catalog {
    losses: Vec<Entry>,
    miners: Vec<Entry>,
}

/// A loss or a miner.
#[derive(Serialize)]
struct Entry {
    kind: &'static str,
    formula: &'static str,
    source: &'static str,
    /// For losses: whether the sampler must be `pk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_pairs: Option<bool>,
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Setting {
    name: &'static str,
    default: toml::Value,
    meaning: &'static str,
}

impl Entry {
    /// `choice` is the kind with its defaults.
    fn new(about: &'static About, choice: &impl Serialize, needs_pairs: Option<bool>) -> Self {
        let defaults = toml::Table::try_from(choice).expect("settings can be written as TOML");
        let settings = about.settings.iter().map(|&(name, meaning)| Setting {
            name,
            default: defaults[name].clone(),
            meaning,
        });
        Self {
            kind: about.kind,
            formula: about.formula,
            source: about.source,
            needs_pairs,
            settings: settings.collect(),
        }
    }
}

impl Display for Entry {
    fn fmt(&self, text: &mut Formatter<'_>) -> fmt::Result {
        writeln!(text, "{}", self.kind)?;
        writeln!(text, "  formula   {}", self.formula)?;
        writeln!(text, "  source    {}", self.source)?;
        if self.needs_pairs == Some(true) {
            writeln!(
                text,
                "  sampler   pk (several photos of a whale in a batch)"
            )?;
        }
        for (i, setting) in self.settings.iter().enumerate() {
            let head = if i == 0 { "settings" } else { "" };
            let value = format!("{} = {}", setting.name, setting.default);
            writeln!(text, "  {head:<10}{value:<22}  {}", setting.meaning)?;
        }
        Ok(())
    }
}

impl Catalog {
    /// All losses and miners.
    pub fn new() -> Self {
        Self {
            losses: LossSettings::all()
                .iter()
                .map(|l| Entry::new(l.about(), l, Some(l.needs_pairs())))
                .collect(),
            miners: MinerSettings::all()
                .iter()
                .map(|m| Entry::new(m.about(), m, None))
                .collect(),
        }
    }
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Display for Catalog {
    fn fmt(&self, text: &mut Formatter<'_>) -> fmt::Result {
        writeln!(text, "Losses (recipe: loss = {{kind = \"...\"}})")?;
        for entry in &self.losses {
            write!(text, "\n{entry}")?;
        }
        writeln!(
            text,
            "\nMiners, for triplet and margin (recipe: loss.miner = {{kind = \"...\"}})"
        )?;
        for entry in &self.miners {
            write!(text, "\n{entry}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use std::collections::BTreeSet;

    /// The kinds that serde knows, from its error about an unknown one.
    fn kinds<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(r#"{"kind": "?"}"#).unwrap_err();
        let text = error.to_string();
        let (_, listed) = text.split_once("expected one of").unwrap();
        let quoted = listed.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    /// An entry must have its own kind, and exactly the settings that the recipe would write.
    fn check(entry: &Entry, choice: &impl Serialize) {
        let mut written = toml::Table::try_from(choice).unwrap();
        let kind = written.remove("kind").unwrap();
        assert_eq!(kind.as_str(), Some(entry.kind));
        let listed: BTreeSet<&str> = entry.settings.iter().map(|s| s.name).collect();
        let known: BTreeSet<&str> = written.keys().map(String::as_str).collect();
        assert_eq!(listed, known, "{}", entry.kind);
        for setting in &entry.settings {
            assert_eq!(setting.default, written[setting.name], "{}", entry.kind);
            assert!(!setting.meaning.is_empty());
        }
    }

    #[test]
    fn every_kind_and_every_setting_is_listed() {
        let listing = Catalog::new();
        for (entry, choice) in listing.losses.iter().zip(&LossSettings::all()) {
            check(entry, choice);
            assert_eq!(choice.about().settings.len(), entry.settings.len());
        }
        for (entry, choice) in listing.miners.iter().zip(&MinerSettings::all()) {
            check(entry, choice);
            assert_eq!(choice.about().settings.len(), entry.settings.len());
        }
        let listed = |entries: &[Entry]| -> BTreeSet<String> {
            entries.iter().map(|e| e.kind.to_owned()).collect()
        };
        assert_eq!(listed(&listing.losses), kinds::<LossSettings>());
        assert_eq!(listed(&listing.miners), kinds::<MinerSettings>());
    }

    #[test]
    fn the_text_shows_defaults_as_a_recipe_writes_them() {
        let text = Catalog::new().to_string();
        for line in ["scale = 32.0", "learn_beta = true", "kind = \"semi-hard\""] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
