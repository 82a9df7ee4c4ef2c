//! Annotations in COCO's JSON, as detection data and exports of Wildbook have them: one line for
//! each annotation.

use crate::csv_table::TableLine;
use crate::{DatasetError, NEW_WHALE, boxes, normalised, table_split, unnamed};
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;

/// Fields of an annotation, or of its `attributes`, with the name of the whale.
const IDENTITY: [&str; 4] = ["identity", "individual_id", "name", "individual"];
/// Fields of an annotation or its image with the date.
const DATE: [&str; 4] = ["date", "date_captured", "datetime", "date_taken"];
/// Fields of an annotation or its image with the encounter; camera traps have sequences.
const ENCOUNTER: [&str; 3] = ["encounter", "encounter_id", "seq_id"];

/// What was read.
#[derive(Debug)]
pub(crate) struct CocoTable {
    pub(crate) lines: Vec<TableLine>,
    /// Number of categories, if they are the names of the whales.
    pub(crate) categories: Option<usize>,
}

/// Whether a table is JSON, not CSV.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    let text = without_mark(bytes);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Reads the annotations. Images without annotations and groups of animals (`iscrowd`) are left
/// out; with `split`, those of other splits too.
///
/// # Errors
/// If it is not COCO, or an annotation is malformed; the line is the one where it begins.
pub(crate) fn parse(
    path: &Path,
    bytes: &[u8],
    split: Option<&str>,
) -> Result<CocoTable, DatasetError> {
    let fault = |line: u64, reason: String| DatasetError::Line {
        path: path.to_owned(),
        line,
        reason,
    };
    let text = without_mark(bytes);
    let document: Value = serde_json::from_slice(text)
        .map_err(|e| fault(e.line().max(1) as u64, format!("invalid JSON: {e}")))?;
    let list = |key: &str| document.get(key).and_then(Value::as_array);
    let (Some(images), Some(annotations)) = (list("images"), list("annotations")) else {
        return Err(fault(
            1,
            "this is JSON, but not COCO: expected an object with the lists 'images' and 'annotations'"
                .into(),
        ));
    };
    let by_id = |all: &'_ [Value]| -> HashMap<String, usize> {
        let ids = all.iter().enumerate();
        ids.filter_map(|(at, entry)| Some((scalar(entry.get("id")?)?, at)))
            .collect()
    };
    let categories = list("categories").map(Vec::as_slice).unwrap_or_default();
    let lookup = Lookup {
        images,
        image_by_id: by_id(images),
        categories,
        category_by_id: by_id(categories),
        has_identities: annotations.iter().any(|a| identity_field(a).is_some()),
    };
    let starts = element_lines(text, b"annotations");
    let (mut lines, mut used, mut splits) = (vec![], BTreeSet::new(), BTreeSet::new());
    for (at, annotation) in annotations.iter().enumerate() {
        let line = starts.get(at).or(starts.last()).copied().unwrap_or(1);
        let fault = |reason: String| {
            let id = annotation.get("id").and_then(scalar);
            fault(
                line,
                format!(
                    "annotation {}: {reason}",
                    id.unwrap_or_else(|| at.to_string())
                ),
            )
        };
        let fields = annotation.as_object();
        let fields = fields.ok_or_else(|| fault("it is not an object".into()))?;
        if matches!(fields.get("iscrowd").and_then(Value::as_u64), Some(1..)) {
            continue;
        }
        let image = lookup.image(fields).map_err(fault)?;
        if let Some(wanted) = split {
            match first(&["split"], [fields, image]) {
                Some(found) if table_split::is_same(&found, wanted) => {}
                Some(found) => {
                    splits.insert(found);
                    continue;
                }
                None => continue,
            }
        }
        let read = lookup.line(line, fields, image).map_err(fault)?;
        used.insert(read.identity.clone());
        lines.push(read);
    }
    if let Some(wanted) = split.filter(|_| lines.is_empty() && !annotations.is_empty()) {
        return Err(DatasetError::NoSplit {
            path: path.to_owned(),
            split: wanted.to_owned(),
            found: if splits.is_empty() {
                "no 'split' in annotations or images".into()
            } else {
                splits.into_iter().collect::<Vec<_>>().join(", ")
            },
        });
    }
    // As in a CSV, a line without a split in a table that has splits has an empty one.
    if lines.iter().any(|line| line.split.is_some()) {
        for line in &mut lines {
            line.split.get_or_insert_default();
        }
    }
    if !lookup.has_identities
        && let (1, Some(only)) = (used.len(), used.first())
    {
        return Err(fault(
            lines.first().map_or(1, |line| line.line),
            format!(
                "no names of whales: no annotation has {}, and all are of the category '{only}'",
                IDENTITY.join(", ")
            ),
        ));
    }
    Ok(CocoTable {
        categories: (!lookup.has_identities).then_some(used.len()),
        lines,
    })
}

struct Lookup<'a> {
    images: &'a [Value],
    image_by_id: HashMap<String, usize>,
    categories: &'a [Value],
    category_by_id: HashMap<String, usize>,
    /// Whether any annotation has a field for the name of the whale; else it is the category.
    has_identities: bool,
}

impl<'a> Lookup<'a> {
    fn image(&self, annotation: &Map<String, Value>) -> Result<&'a Map<String, Value>, String> {
        let id = annotation.get("image_id").and_then(scalar);
        let id = id.ok_or("it has no image_id")?;
        let at = self.image_by_id.get(&id);
        at.and_then(|&at| self.images[at].as_object())
            .ok_or_else(|| format!("its image {id} is not in the list 'images'"))
    }

    fn line(
        &self,
        line: u64,
        annotation: &Map<String, Value>,
        image: &Map<String, Value>,
    ) -> Result<TableLine, String> {
        let name =
            first(&["file_name", "path"], [image, image]).ok_or("its image has no file_name")?;
        let identity = if self.has_identities {
            identity(annotation)?.unwrap_or_else(|| NEW_WHALE.to_owned())
        } else {
            self.category(annotation)?
        };
        for (field, text) in [("file_name", &name), ("identity", &identity)] {
            if text.contains(['\n', '\r']) {
                return Err(format!("the {field} contains a line break"));
            }
        }
        let region = match annotation.get("bbox") {
            None | Some(Value::Null) => None,
            Some(Value::Array(sides)) if sides.is_empty() => None,
            Some(bbox) => {
                let numbers = bbox.as_array().map(|sides| {
                    let numbers = sides.iter().map(Value::as_f64);
                    numbers.collect::<Option<Vec<f64>>>()
                });
                let sides = numbers.flatten().and_then(|n| <[f64; 4]>::try_from(n).ok());
                let sides = sides
                    .ok_or_else(|| format!("bbox {bbox} is not [x, y, width, height] in pixels"))?;
                Some(boxes::sized(sides).map_err(|e| format!("bbox {bbox}: {e}"))?)
            }
        };
        let side = |key: &str| image.get(key).filter(|value| !value.is_null());
        let size = match (region, side("width"), side("height")) {
            (Some(_), Some(width), Some(height)) => {
                let side = |value: &Value| {
                    let number = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 1.0);
                    number
                        .filter(|n| *n < f64::from(u32::MAX))
                        .map(|n| n as u32)
                        .ok_or_else(|| {
                            format!("its image has the size {width} x {height}; expected pixels")
                        })
                };
                Some((side(width)?, side(height)?))
            }
            _ => None,
        };
        Ok(TableLine {
            line,
            image: normalised(&name),
            identity: normalised(&identity),
            region,
            size,
            date: first(&DATE, [annotation, image]),
            encounter: first(&ENCOUNTER, [annotation, image]).map(|e| normalised(&e)),
            split: first(&["split"], [annotation, image]),
        })
    }

    fn category(&self, annotation: &Map<String, Value>) -> Result<String, String> {
        let id = annotation.get("category_id").and_then(scalar);
        let id = id.ok_or("it has neither an identity nor a category_id")?;
        let at = self.category_by_id.get(&id);
        at.and_then(|&at| self.categories[at].get("name").and_then(scalar))
            .filter(|name| !name.is_empty())
            .ok_or_else(|| format!("its category {id} has no name in the list 'categories'"))
    }
}

/// The field with the name of the whale, if there is one, even an empty one.
fn identity_field(annotation: &Value) -> Option<&Value> {
    let attributes = annotation.get("attributes");
    IDENTITY.iter().find_map(|key| {
        annotation
            .get(key)
            .or_else(|| attributes.and_then(|all| all.get(key)))
    })
}

/// The name of the whale; `None` if the field is missing or empty.
fn identity(annotation: &Map<String, Value>) -> Result<Option<String>, String> {
    let attributes = annotation.get("attributes").and_then(Value::as_object);
    let found = IDENTITY.iter().find_map(|key| {
        let here = annotation.get(*key).filter(|value| !value.is_null());
        here.or_else(|| attributes.and_then(|all| all.get(*key)))
    });
    match found {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match scalar(value) {
            Some(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            None => Err(format!("its identity {value} is not a text or a number")),
        },
    }
}

/// The first of these fields that has a value, in the first object that has one.
fn first(keys: &[&str], objects: [&Map<String, Value>; 2]) -> Option<String> {
    objects.into_iter().find_map(|object| {
        let mut values = keys.iter().filter_map(|key| scalar(object.get(*key)?));
        values.find(|text| !unnamed::is_missing(text))
    })
}

/// A text or number as text, without white space around it.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The bytes behind a byte order mark.
fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The lines, as an editor counts them, on which the elements of a list of the outer object begin.
/// The text must be valid JSON.
fn element_lines(text: &[u8], key: &[u8]) -> Vec<u64> {
    let (mut line, mut depth) = (1, 0usize);
    let mut lines = vec![];
    // The last string of the outer object, and whether the list of that name is open.
    let (mut last, mut is_open, mut expects_element) = (&text[..0], false, false);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let starts_value =
            !byte.is_ascii_whitespace() && !matches!(byte, b',' | b']' | b'}' | b':');
        if is_open && depth == 2 && expects_element && starts_value {
            lines.push(line);
            expects_element = false;
        }
        match byte {
            b'"' => {
                let start = at + 1;
                at = start;
                while text.get(at).is_some_and(|&b| b != b'"') {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 1 {
                    last = text.get(start..at).unwrap_or_default();
                }
            }
            b'[' | b'{' => {
                depth += 1;
                if byte == b'[' && depth == 2 && last == key {
                    lines.clear();
                    (is_open, expects_element) = (true, true);
                }
            }
            b']' | b'}' => {
                is_open &= depth != 2;
                depth = depth.saturating_sub(1);
            }
            b',' if depth == 2 => expects_element = true,
            b'\n' => line += 1,
            b'\r' if text.get(at + 1) != Some(&b'\n') => line += 1,
            _ => {}
        }
        at += 1;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::pixel_box::PixelBox;

    fn read(text: &str) -> Result<CocoTable, String> {
        parse(Path::new("c.json"), text.as_bytes(), None).map_err(|e| e.to_string())
    }

    /// A document with this annotation, on line 4, and two images.
    fn with(annotation: &str) -> String {
        format!(
            "{{\"images\": [{{\"id\": 1, \"file_name\": \"a.jpg\", \"width\": 640, \"height\": 320}}, {{\"id\": \"b\", \"file_name\": \"sub/b.jpg\", \"date_captured\": \"2019-07-14 10:11:12\"}}],\n\
             \"categories\": [{{\"id\": 3, \"name\": \"fluke\"}}, {{\"id\": 4, \"name\": \"fin\"}}],\n\
             \"annotations\": [\n{annotation}\n]}}\n"
        )
    }

    #[test]
    fn annotations_of_wildbook_are_lines() {
        let text = with(
            "{\"id\": 1, \"image_id\": 1, \"category_id\": 3, \"bbox\": [10, 40.5, 620, 219.5], \"name\": \"HW-1\", \"viewpoint\": \"back\"},\n\
             {\"id\": 2, \"image_id\": \"b\", \"category_id\": 3, \"bbox\": null, \"name\": \"____\"},\n\n\
             {\"id\": 3, \"image_id\": \"b\", \"iscrowd\": 1, \"bbox\": [0, 0, 1, 0]}, {\"id\": 4, \"image_id\": 1, \"bbox\": [], \"attributes\": {\"identity\": 17}},\n\
             {\"id\": 5, \"image_id\": 1, \"encounter\": \"e1\", \"name\": null}",
        );
        let found = read(&text).unwrap();
        assert_eq!(found.categories, None);
        let lines: Vec<(u64, &str, &str)> = found
            .lines
            .iter()
            .map(|l| (l.line, l.image.as_str(), l.identity.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (4, "a.jpg", "HW-1"),
                (5, "sub/b.jpg", "____"),
                (7, "a.jpg", "17"),
                (8, "a.jpg", "new_whale")
            ]
        );
        let region = PixelBox {
            x0: 10,
            y0: 40,
            x1: 630,
            y1: 260,
        };
        assert_eq!(
            (found.lines[0].region, found.lines[0].size),
            (Some(region), Some((640, 320)))
        );
        assert_eq!((found.lines[1].region, found.lines[1].size), (None, None));
        assert_eq!(found.lines[1].date.as_deref(), Some("2019-07-14 10:11:12"));
        assert_eq!(found.lines[3].encounter.as_deref(), Some("e1"));
    }

    #[test]
    fn without_identities_the_categories_are_the_whales() {
        let two = with(
            "{\"image_id\": 1, \"category_id\": 3}, {\"image_id\": \"b\", \"category_id\": 4}",
        );
        let found = read(&two).unwrap();
        assert_eq!(found.categories, Some(2));
        assert_eq!(found.lines[1].identity, "fin");
        let one = with("{\"image_id\": 1, \"category_id\": 3}");
        let error = read(&one).unwrap_err();
        assert!(
            error.starts_with("c.json:4: no names of whales") && error.contains("'fluke'"),
            "{error}"
        );
    }

    #[test]
    fn a_split_is_selected_by_annotation_or_image() {
        let text = "{\"images\": [{\"id\": 1, \"file_name\": \"a.jpg\", \"split\": \"test\"}], \"annotations\": [\
             {\"image_id\": 1, \"name\": \"A\"}, {\"image_id\": 1, \"name\": \"B\", \"split\": \"Train\"}]}";
        let split = |name| parse(Path::new("c.json"), text.as_bytes(), Some(name));
        assert_eq!(split("train").unwrap().lines[0].identity, "B");
        assert_eq!(split("testing").unwrap().lines[0].identity, "A");
        let error = split("val").err().unwrap().to_string();
        assert!(error.contains("found: Train, test"), "{error}");
        let without = with("{\"image_id\": 1, \"name\": \"A\"}");
        let error = parse(Path::new("c.json"), without.as_bytes(), Some("train"));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("no 'split'"), "{error}");
    }

    #[test]
    fn lines_have_their_split_and_an_empty_one_among_others() {
        let splits = |annotations: &str| -> Vec<Option<String>> {
            let lines = read(&with(annotations)).unwrap().lines;
            lines.into_iter().map(|line| line.split).collect()
        };
        let first = "{\"image_id\": 1, \"name\": \"A\"}";
        let second = "{\"image_id\": 1, \"name\": \"B\", \"split\": \"test\"}";
        assert_eq!(splits(first), [None]);
        assert_eq!(
            splits(&format!("{first},{second}")),
            [Some(String::new()), Some("test".to_owned())]
        );
    }

    #[test]
    fn hostile_documents_are_rejected_with_their_line() {
        for (annotation, line, why) in [
            ("17", 4, "annotation 0: it is not an object"),
            (
                "{\"image_id\": 1, \"name\": \"A\"},\n\n{\"id\": 9, \"name\": \"A\"}",
                6,
                "annotation 9: it has no image_id",
            ),
            (
                "{\"image_id\": 2, \"name\": \"A\"}",
                4,
                "image 2 is not in the list",
            ),
            ("{\"image_id\": [1], \"name\": \"A\"}", 4, "no image_id"),
            (
                "{\"image_id\": 1, \"name\": [\"A\", \"B\"]}",
                4,
                "is not a text or a number",
            ),
            ("{\"image_id\": 1, \"name\": \"A\\nB\"}", 4, "line break"),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": [1, 2, 3]}",
                4,
                "is not [x, y, width, height]",
            ),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": [1, 2, \"3\", 4]}",
                4,
                "is not [x, y, width, height]",
            ),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": \"1 2 3 4\"}",
                4,
                "is not [x, y, width, height]",
            ),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": [1, 2, 0, 4]}",
                4,
                "is empty",
            ),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": [-5, 2, 9, 4]}",
                4,
                "not a pixel number",
            ),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": [1, 2, 1e300, 4]}",
                4,
                "not a pixel number",
            ),
            (
                "{\"image_id\": 1, \"name\": \"A\", \"bbox\": [0.1, 0.2, 0.5, 0.5]}",
                4,
                "fractions of the picture",
            ),
            (
                "{\"image_id\": 1, \"category_id\": 5}",
                4,
                "category 5 has no name",
            ),
            (
                "{\"image_id\": 1}",
                4,
                "neither an identity nor a category_id",
            ),
            ("{\"image_id\": 1,}", 4, "invalid JSON"),
        ] {
            let error = read(&with(annotation)).err().unwrap();
            assert!(error.starts_with(&format!("c.json:{line}: ")), "{error}");
            assert!(error.contains(why), "'{why}' is not in: {error}");
        }
        for text in [
            "{}",
            "[]",
            "{\"images\": {}, \"annotations\": []}",
            "{\"images\": []}",
        ] {
            assert!(read(text).err().unwrap().contains("not COCO"), "{text}");
        }
        let deep = format!("{{\"images\": {}", "[".repeat(100_000));
        assert!(read(&deep).err().unwrap().contains("invalid JSON"));
        let no_name = "{\"images\": [{\"id\": 1, \"file_name\": 5.5, \"width\": -1}, {\"id\": 2}], \"annotations\": [{\"image_id\": 2, \"name\": \"A\"}]}";
        assert!(read(no_name).err().unwrap().contains("no file_name"));
        let size = no_name.replace("\"image_id\": 2", "\"image_id\": 1, \"bbox\": [1, 2, 3, 4]");
        let size = size.replace("\"width\"", "\"height\": 5, \"width\"");
        assert!(read(&size).err().unwrap().contains("size -1 x 5"));
    }

    #[test]
    fn elements_are_found_in_any_layout() {
        let text = "{\"x\": [\n1], \"y\": {\"annotations\": [\n2]},\r\n\"a\\\"\": \"annotations\",\r\"annotations\": [[\n1,\n2], {\"k\": [3,\n4]},\n\n\"five, [\",\n6 ]\n}";
        let lines = element_lines(text.as_bytes(), b"annotations");
        assert_eq!(lines, [5, 7, 10, 11]);
        assert!(element_lines(b"{\"annotations\": [ ]}", b"annotations").is_empty());
        assert!(element_lines(b"{\"annotations\": [\"", b"annotations").len() <= 1);
    }
}
