//! `flukewatch losses`: which losses and miners a recipe may choose. Needs no libtorch.

use super::recipe::about::About;
use super::recipe::{LossChoice, MinerChoice};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;

/// List the losses and miners that a training recipe may choose, with settings and defaults.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch losses
  flukewatch losses --json | jq -r '.losses[].kind'

In a recipe, or with --set; settings that are left out keep their defaults:
  flukewatch train ... --set 'loss={kind=\"proxy-anchor\"}'
  flukewatch train ... --set 'sampler={kind=\"pk\", photos_per_whale=4}' \\
                       --set 'loss={kind=\"triplet\", margin=0.1, miner={kind=\"hard\"}}'")]
pub struct LossesArgs {
    /// Write JSON: losses and miners, each with kind, formula, source and settings (name, default, meaning)
    #[arg(long)]
    json: bool,
}

/// All that can be chosen.
#[derive(Serialize)]
struct Listing {
    losses: Vec<Entry>,
    miners: Vec<Entry>,
}

/// A loss or a miner.
#[derive(Serialize)]
struct Entry {
    kind: &'static str,
    formula: &'static str,
    source: &'static str,
    /// Of losses: whether the sampler must be `pk`.
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
    /// `choice` is the kind with its defaults, as the recipe would write it: the defaults are read off it.
    fn new(
        about: &'static About,
        choice: &impl Serialize,
        needs_pairs: Option<bool>,
    ) -> anyhow::Result<Self> {
        let defaults = toml::Table::try_from(choice)?;
        let settings = about.settings.iter().filter_map(|&(name, meaning)| {
            let default = defaults.get(name)?.clone();
            Some(Setting {
                name,
                default,
                meaning,
            })
        });
        Ok(Self {
            kind: about.kind,
            formula: about.formula,
            source: about.source,
            needs_pairs,
            settings: settings.collect(),
        })
    }

    fn print(&self, text: &mut String) -> std::fmt::Result {
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

impl Listing {
    fn new() -> anyhow::Result<Self> {
        let losses = LossChoice::all();
        let miners = MinerChoice::all();
        Ok(Self {
            losses: losses
                .iter()
                .map(|l| Entry::new(l.about(), l, Some(l.needs_pairs())))
                .collect::<Result<_, _>>()?,
            miners: miners
                .iter()
                .map(|m| Entry::new(m.about(), m, None))
                .collect::<Result<_, _>>()?,
        })
    }

    fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::from("Losses (recipe: loss = {kind = \"...\"})\n");
        for entry in &self.losses {
            text.push('\n');
            entry.print(&mut text)?;
        }
        text.push_str("\nMiners, for triplet and margin (recipe: loss.miner = {kind = \"...\"})\n");
        for entry in &self.miners {
            text.push('\n');
            entry.print(&mut text)?;
        }
        Ok(text)
    }
}

/// Runs the command.
///
/// # Errors
/// Only if the listing could not be written as JSON.
pub fn run(args: &LossesArgs) -> anyhow::Result<()> {
    let listing = Listing::new()?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&listing)?);
    } else {
        print!("{}", listing.text()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use std::collections::BTreeSet;

    /// The kinds that serde knows, out of its complaint about one that it does not.
    fn kinds<T: DeserializeOwned + std::fmt::Debug>() -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(r#"{"kind": "?"}"#).unwrap_err();
        let text = error.to_string();
        let (_, listed) = text.split_once("expected one of").unwrap();
        let quoted = listed.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    /// Each entry must be of its own kind and tell of each setting that the recipe would write, and of no other.
    fn check(entry: &Entry, choice: &impl Serialize) {
        let mut written = toml::Table::try_from(choice).unwrap();
        let kind = written.remove("kind").unwrap();
        assert_eq!(kind.as_str(), Some(entry.kind));
        let told: BTreeSet<&str> = entry.settings.iter().map(|s| s.name).collect();
        let known: BTreeSet<&str> = written.keys().map(String::as_str).collect();
        assert_eq!(told, known, "{}", entry.kind);
        for setting in &entry.settings {
            assert_eq!(setting.default, written[setting.name], "{}", entry.kind);
            assert!(!setting.meaning.is_empty());
        }
    }

    #[test]
    fn every_kind_and_every_setting_is_listed() {
        let listing = Listing::new().unwrap();
        for (entry, choice) in listing.losses.iter().zip(&LossChoice::all()) {
            check(entry, choice);
            assert_eq!(choice.about().settings.len(), entry.settings.len());
        }
        for (entry, choice) in listing.miners.iter().zip(&MinerChoice::all()) {
            check(entry, choice);
            assert_eq!(choice.about().settings.len(), entry.settings.len());
        }
        let listed = |entries: &[Entry]| -> BTreeSet<String> {
            entries.iter().map(|e| e.kind.to_owned()).collect()
        };
        assert_eq!(listed(&listing.losses), kinds::<LossChoice>());
        assert_eq!(listed(&listing.miners), kinds::<MinerChoice>());
    }

    #[test]
    fn the_text_shows_defaults_as_a_recipe_writes_them() {
        let text = Listing::new().unwrap().text().unwrap();
        for line in ["scale = 32.0", "learn_beta = true", "kind = \"semi-hard\""] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
