//! The values of a table's column `split`.

use std::fmt;

/// A split that commands understand without being told its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableSplit {
    /// Photos to train on.
    Train,
    /// Photos of other whales, which choose the epoch and fit thresholds.
    Validation,
    /// Photos that choose nothing.
    Test,
}

impl TableSplit {
    const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split with this name, or another one for it, in upper or lower case.
    pub(crate) fn named(text: &str) -> Option<Self> {
        let text = canonical(text);
        Self::ALL.into_iter().find(|split| split.name() == text)
    }
}

impl fmt::Display for TableSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name in lower case; of names that mean the same the first.
fn canonical(text: &str) -> String {
    let text = text.trim().to_lowercase();
    match text.as_str() {
        "training" => "train".into(),
        "val" | "valid" => "validation".into(),
        "testing" => "test".into(),
        _ => text,
    }
}

/// Whether two names mean the same split.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::splits;
    use std::collections::BTreeMap;

    fn found(table: &str) -> Result<Option<BTreeMap<TableSplit, usize>>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.csv");
        std::fs::write(&path, table).unwrap();
        splits(&path).map_err(|e| {
            e.to_string()
                .replace(&format!("{}/", dir.path().display()), "")
        })
    }

    #[test]
    fn splits_are_counted_under_all_their_names() {
        let table =
            "image,identity,split\na,A,train\nb,B,Val\nc,C,validation\nd,D,TEST\ne,E,training\n";
        assert_eq!(
            found(table),
            Ok(Some(
                [
                    (TableSplit::Train, 2),
                    (TableSplit::Validation, 2),
                    (TableSplit::Test, 1)
                ]
                .into()
            ))
        );
        assert_eq!(found("image,identity\na,A\n"), Ok(None));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(splits(dir.path()).unwrap(), None);
    }

    #[test]
    fn another_split_is_an_error_with_its_line() {
        for (value, line) in [("fold1", 3), ("", 3)] {
            let error =
                found(&format!("image,identity,split\na,A,train\nb,B,{value}\n")).unwrap_err();
            assert!(
                error.starts_with(&format!(
                    "t.csv:{line}: split '{value}'; expected train, validation or test"
                )),
                "{error}"
            );
        }
    }

    #[test]
    fn splits_of_coco_are_counted() {
        let coco = |more: &str| {
            format!(
                "{{\"images\": [{{\"id\": 1, \"file_name\": \"a.jpg\"}}], \"annotations\": [\n\
                 {{\"image_id\": 1, \"name\": \"A\", \"split\": \"val\"}},\n\
                 {{\"image_id\": 1, \"name\": \"B\"{more}}}]}}"
            )
        };
        let all = found(&coco(", \"split\": \"test\""));
        let counts = [(TableSplit::Validation, 1), (TableSplit::Test, 1)];
        assert_eq!(all, Ok(Some(counts.into())));
        let error = found(&coco("")).unwrap_err();
        assert!(error.starts_with("t.csv:3: split ''; expected"), "{error}");
    }

    #[test]
    fn names_mean_the_same() {
        assert!(is_same("val", "Validation") && is_same("fold1", "FOLD1"));
        assert!(!is_same("train", "test"));
    }
}
