//! Which line and key a place in a TOML file belongs to.

use super::Fault;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A TOML text and where its keys stand.
pub(super) struct Document<'a> {
    text: &'a str,
    /// Each key with its section, where key and value stand; the outer before the inner.
    keys: Vec<Key>,
}

struct Key {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl<'a> Document<'a> {
    /// Finds the keys of `text`; of one that is no TOML, those that can be made out.
    pub(super) fn new(text: &'a str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let mut keys = vec![];
        collect(table.get_ref(), "", &mut keys);
        Self { text, keys }
    }

    /// What the parser complains of, with its line and key.
    pub(super) fn fault(&self, error: &toml::de::Error) -> Fault {
        let problem = error.message().replace('\n', " ");
        let Some(span) = error.span() else {
            return Fault {
                line: None,
                key: String::new(),
                problem,
            };
        };
        let inside = |place: &Range<usize>| place.start <= span.start && span.end <= place.end;
        let key = self
            .keys
            .iter()
            .rev()
            .find(|k| inside(&k.key) || inside(&k.value));
        Fault {
            line: Some(self.line_at(span.start)),
            key: key.map(|k| k.path.clone()).unwrap_or_default(),
            problem,
        }
    }

    /// The line of a key like `camera.path`; `None` where it is not written.
    pub(super) fn line_of(&self, path: &str) -> Option<usize> {
        self.keys
            .iter()
            .find(|k| k.path == path)
            .map(|k| self.line_at(k.key.start))
    }

    fn line_at(&self, offset: usize) -> usize {
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|&&b| b == b'\n')
            .count()
    }
}

fn collect(table: &DeTable<'_>, section: &str, keys: &mut Vec<Key>) {
    for (key, value) in table.iter() {
        let path = if section.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{section}.{}", key.get_ref())
        };
        keys.push(Key {
            path: path.clone(),
            key: key.span(),
            value: value.span(),
        });
        match value.get_ref() {
            DeValue::Table(inner) => collect(inner, &path, keys),
            DeValue::Array(elements) => {
                for (element, number) in elements.iter().zip(1..) {
                    if let DeValue::Table(inner) = element.get_ref() {
                        let only = elements.len() == 1;
                        let path = if only {
                            path.clone()
                        } else {
                            self::element(&path, number)
                        };
                        keys.push(Key {
                            path: path.clone(),
                            key: element.span(),
                            value: element.span(),
                        });
                        collect(inner, &path, keys);
                    }
                }
            }
            _ => {}
        }
    }
}

/// What the table `number`, counted from 1, of several `[[section]]` is called.
pub(super) fn element(section: &str, number: usize) -> String {
    format!("{section}[{number}]")
}
