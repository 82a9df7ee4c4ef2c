//! Words that people and programs write where there is no name.

use crate::{LabelledPhoto, NEW_WHALE, normalised};
use std::collections::BTreeMap;

/// Lower case, with spaces for `_` and `-`; the docs list them in docs/tables.md. Names without a
/// letter or digit, e.g. `-` and `?`, are not listed.
const WORDS: [&str; 100] = [
    // English, and what programs write.
    "new whale",
    "newwhale",
    "unknown",
    "unknown whale",
    "unknown individual",
    "unk",
    "unkn",
    "unidentified",
    "unidentified whale",
    "unidentified individual",
    "not identified",
    "unid",
    "unnamed",
    "no name",
    "noname",
    "no id",
    "noid",
    "no match",
    "nomatch",
    "unmatched",
    "unassigned",
    "undefined",
    "undetermined",
    "indeterminate",
    "not available",
    "not applicable",
    "missing",
    "none",
    "null",
    "nil",
    "nan",
    "nat",
    "na",
    "n/a",
    "n.a.",
    "n.a",
    "#n/a",
    "#na",
    "<na>",
    "<none>",
    "<null>",
    "tbd",
    "t.b.d.",
    // Spanish and Portuguese.
    "desconocido",
    "desconocida",
    "no identificado",
    "no identificada",
    "sin identificar",
    "sin nombre",
    "ninguno",
    "ninguna",
    "desconhecido",
    "desconhecida",
    "não identificado",
    "não identificada",
    "nao identificado",
    "nao identificada",
    "sem nome",
    "nenhum",
    "nenhuma",
    // French.
    "inconnu",
    "inconnue",
    "non identifié",
    "non identifiée",
    "non identifie",
    "non identifiee",
    "sans nom",
    "aucun",
    "aucune",
    // German and Dutch.
    "unbekannt",
    "nicht identifiziert",
    "unidentifiziert",
    "ohne name",
    "keine",
    "k.a.",
    "k. a.",
    "onbekend",
    "geen",
    // Italian.
    "sconosciuto",
    "sconosciuta",
    "ignoto",
    "ignota",
    "non identificato",
    "non identificata",
    // Norwegian, Danish, Swedish, Icelandic, Finnish, Polish, Russian.
    "ukjent",
    "ukendt",
    "okänd",
    "ingen",
    "óþekkt",
    "óþekktur",
    "tuntematon",
    "nieznany",
    "неизвестно",
    "неизвестный",
    // Chinese, Japanese, Korean.
    "未知",
    "不明",
    "未同定",
    "未确认",
    "未確認",
    "미상",
];

/// Whether a field has no value: empty, or one of the words.
pub(crate) fn is_missing(field: &str) -> bool {
    field.is_empty() || is_unnamed(field)
}

/// Whether a name means a whale without one.
pub(crate) fn is_unnamed(name: &str) -> bool {
    let name = name.trim();
    let number = matches!(name, "-1" | "-1.0");
    number || !name.chars().any(char::is_alphanumeric) || WORDS.contains(&plain(name).as_str())
}

/// Composed and in lower case, with single spaces for `_`, `-` and white space.
fn plain(name: &str) -> String {
    let lower = normalised(&name.to_lowercase());
    let words: Vec<&str> = lower
        .split(|c: char| c.is_whitespace() || c == '_' || c == '-')
        .filter(|w| !w.is_empty())
        .collect();
    words.join(" ")
}

/// Takes the name from photos whose name means none, unless it is one of `allowed`; returns how
/// often each such name occurs, except for the contest's own [`NEW_WHALE`].
pub(crate) fn unname<'a>(
    photos: impl Iterator<Item = &'a mut LabelledPhoto>,
    allowed: &[String],
) -> BTreeMap<String, usize> {
    let same = |a: &str, b: &str| normalised(a).to_lowercase() == normalised(b).to_lowercase();
    let mut counts = BTreeMap::new();
    for photo in photos {
        let Some(name) = photo.whale.as_mut() else {
            continue;
        };
        *name = normalised(name);
        if name == NEW_WHALE {
            photo.whale = None;
        } else if is_unnamed(name) && !allowed.iter().any(|a| same(a, name)) {
            *counts.entry(std::mem::take(name)).or_default() += 1;
            photo.whale = None;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_no_name_are_recognised() {
        for name in [
            "unknown",
            "UNKNOWN",
            "Unidentified",
            "new_whale",
            "New Whale",
            "not_identified",
            "NA",
            "N/A",
            "#N/A",
            "NaN",
            "<NA>",
            "None",
            "null",
            "-1",
            "-1.0",
            "-",
            "\u{2014}",
            "?",
            "???",
            "____",
            "Desconocida",
            "n\u{e3}o identificado",
            "na\u{303}o identificado",
            "Inconnu",
            "UNBEKANNT",
            "OK\u{c4}ND",
            "\u{4e0d}\u{660e}",
        ] {
            assert!(is_unnamed(name), "{name}");
        }
        for name in [
            "HW-1",
            "1",
            "0",
            "-2",
            "Nana",
            "Nan-1",
            "unknown 3",
            "w_1",
            "Nil\u{e1}",
        ] {
            assert!(!is_unnamed(name), "{name}");
        }
    }

    #[test]
    fn words_are_written_as_they_are_compared() {
        for word in WORDS {
            assert_eq!(plain(word), word);
            assert_eq!(WORDS.iter().filter(|w| **w == word).count(), 1, "{word}");
        }
    }
}
