//! Where the values of a recipe come from, so that an error can say it.

use toml::de::{DeTable, DeValue};

/// A TOML text that sets values.
pub(super) struct Source {
    name: String,
    text: String,
    /// Whether lines of the text mean something to a reader.
    has_lines: bool,
}

impl Source {
    /// A file or preset.
    pub(super) fn file(name: String, text: String) -> Self {
        Self {
            name,
            text,
            has_lines: true,
        }
    }

    /// A setting from the command line.
    pub(super) fn line(name: String, text: String) -> Self {
        Self {
            name,
            text,
            has_lines: false,
        }
    }

    /// Where it sets `key`, if it does.
    fn place(&self, key: &str) -> Option<String> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table = document.get_ref();
        let mut keys = key.split('.');
        let at = loop {
            let key = keys.next()?;
            let (found, value) = table.iter().find(|(k, _)| k.get_ref() == key)?;
            match value.get_ref() {
                DeValue::Table(inner) if keys.clone().next().is_some() => table = inner,
                // The rest of the key, if any, is within an array.
                _ => break found.span().start,
            }
        };
        Some(if self.has_lines {
            let line = 1 + self.text[..at].matches('\n').count();
            format!("{}:{line}", self.name)
        } else {
            self.name.clone()
        })
    }
}

/// Where the value of `key` comes from: the last source that sets it.
pub(super) fn place(sources: &[Source], key: &str) -> String {
    let last = sources.iter().rev().find_map(|source| source.place(key));
    last.unwrap_or_else(|| "default recipe".to_owned())
}
