//! Built-in recipes: `flukewatch train --preset NAME`.

use super::error::RecipeError;

/// A recipe that is part of the program.
pub struct Preset {
    /// Its name on the command line.
    pub name: &'static str,
    text: &'static str,
}

/// All presets.
pub const ALL: [Preset; 5] = [
    Preset {
        name: "dnc-bf16",
        text: include_str!("../../../../recipes/dnc-bf16.toml"),
    },
    Preset {
        name: "edge-lite0",
        text: include_str!("../../../../recipes/edge-lite0.toml"),
    },
    Preset {
        name: "kaggle-arcface",
        text: include_str!("../../../../recipes/kaggle-arcface.toml"),
    },
    Preset {
        name: "paper-dnc",
        text: include_str!("../../../../recipes/paper-dnc.toml"),
    },
    Preset {
        name: "quick",
        text: include_str!("../../../../recipes/quick.toml"),
    },
];

impl Preset {
    /// Its purpose: the comment at the top of the file.
    pub fn purpose(&self) -> String {
        let lines = self.text.lines().map_while(|l| l.strip_prefix('#'));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }

    fn text(&self) -> &'static str {
        self.text
    }
}

/// The TOML of the preset `name`.
///
/// # Errors
/// If there is no such preset; lists the names.
pub(super) fn text(name: &str) -> Result<&'static str, RecipeError> {
    ALL.iter()
        .find(|p| p.name == name)
        .map(Preset::text)
        .ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|p| p.name).collect();
            RecipeError::Value(format!(
                "unknown preset '{name}'; expected one of {}",
                names.join(", ")
            ))
        })
}
