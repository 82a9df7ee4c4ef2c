//! Ready recipes, to begin with: `flukewatch train --preset NAME`.

use super::RecipeError;

/// A recipe that comes with the program.
pub struct Preset {
    /// What it is called.
    pub name: &'static str,
    text: &'static str,
}

/// All of them.
pub const ALL: [Preset; 4] = [
    Preset {
        name: "edge-lite0",
        text: include_str!("../../../recipes/edge-lite0.toml"),
    },
    Preset {
        name: "kaggle-arcface",
        text: include_str!("../../../recipes/kaggle-arcface.toml"),
    },
    Preset {
        name: "paper-dnc",
        text: include_str!("../../../recipes/paper-dnc.toml"),
    },
    Preset {
        name: "quick",
        text: include_str!("../../../recipes/quick.toml"),
    },
];

impl Preset {
    /// What it is for: the comment at its head.
    pub fn about(&self) -> String {
        let lines = self.text.lines().map_while(|l| l.strip_prefix('#'));
        lines.map(str::trim).collect::<Vec<_>>().join(" ")
    }

    /// Its TOML.
    pub fn text(&self) -> &'static str {
        self.text
    }
}

/// The TOML of the preset `name`.
///
/// # Errors
/// When there is none of that name; names those that there are.
pub fn text(name: &str) -> Result<&'static str, RecipeError> {
    ALL.iter()
        .find(|p| p.name == name)
        .map(Preset::text)
        .ok_or_else(|| {
            let names: Vec<_> = ALL.iter().map(|p| p.name).collect();
            RecipeError::Value(format!("no preset '{name}': choose {}", names.join(", ")))
        })
}
