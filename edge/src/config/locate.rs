//! Finds the line and the key of a fault in a TOML file.

use super::fault::Fault;
use flukewatch_common::broker_url::redact;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A TOML text and the places of its keys.
pub(super) struct Document<'a> {
    text: &'a str,
    /// Outer keys before inner ones.
    keys: Vec<Key>,
}

struct Key {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
}

impl<'a> Document<'a> {
    /// Finds the keys of `text`; in malformed TOML, those that can be recovered.
    pub(super) fn new(text: &'a str) -> Self {
        let (table, _) = DeTable::parse_recoverable(text);
        let mut keys = vec![];
        collect(table.get_ref(), "", &mut keys);
        Self { text, keys }
    }

    /// A parser's error with its line and key.
    pub(super) fn fault(&self, error: &toml::de::Error) -> Fault {
        // It may repeat a value, e.g. a broker's URL in the place of a number.
        let message = redact(&error.message().replace('\n', " "));
        let Some(span) = error.span() else {
            return Fault {
                line: None,
                key: String::new(),
                problem: plain(&message, ""),
            };
        };
        let inside = |place: &Range<usize>| place.start <= span.start && span.end <= place.end;
        let key = self
            .keys
            .iter()
            .rev()
            .find(|k| inside(&k.key) || inside(&k.value));
        // None where the file as a whole is at fault.
        let key = key.map_or("", |k| k.path.as_str());
        Fault {
            line: Some(self.line_at(span.start)),
            key: key.to_owned(),
            problem: plain(&message, key),
        }
    }

    /// The line of a key, e.g. `camera.path`, or of its section where the key is not in the file.
    pub(super) fn line_of_key_or_section(&self, path: &str) -> Option<usize> {
        let section = || self.line_of(path.rsplit_once('.')?.0);
        self.line_of(path).or_else(section)
    }

    fn line_of(&self, path: &str) -> Option<usize> {
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

/// The name of table `number`, counted from 1, of several `[[section]]`.
pub(super) fn element(section: &str, number: usize) -> String {
    format!("{section}[{number}]")
}

/// serde's message about `key` in the words of this program.
fn plain(message: &str, key: &str) -> String {
    let quoted = |rest: &str| rest.split('`').next().unwrap_or(rest).to_owned();
    let expected = |rest: &str| match rest.split_once(", expected ") {
        Some((_, expected)) => {
            let expected = expected.trim_start_matches("one of ").replace('`', "\"");
            format!("; expected {expected}")
        }
        None => String::new(),
    };
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        return format!("unknown value '{}'{}", quoted(rest), expected(rest));
    }
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let expected = expected(rest).replace('"', "");
        // A key's name stands in front of the message; a section's does not.
        return if key.is_empty() || !key.ends_with(&quoted(rest)) {
            format!("unknown key '{}'{expected}", quoted(rest))
        } else {
            format!("unknown key{expected}")
        };
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        let what = if key.is_empty() { "section" } else { "key" };
        return format!("missing {what} '{}'", quoted(rest));
    }
    message.to_owned()
}
