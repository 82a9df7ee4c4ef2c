//! The columns of a table of embeddings.

/// Names of the column with the photo.
const PHOTO: [&str; 3] = ["image", "path", "photo"];
/// Names of a column that has the whole embedding.
const LIST: [&str; 5] = ["embedding", "embeddings", "feature", "features", "vector"];
/// What stands before the number in the name of a column with one value.
const PREFIXES: [&str; 11] = [
    "e",
    "",
    "e_",
    "emb_",
    "embedding_",
    "dim_",
    "d",
    "f",
    "feature_",
    "v",
    "x_",
];
/// Edges of the box, in the order of the columns.
const SIDES: [&str; 4] = ["x0", "y0", "x1", "y1"];

/// Positions of the columns with the embedding.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// One column with a list.
    List(usize),
    /// One column per value.
    Scalars(Vec<usize>),
}

/// Position of the column with the photo.
pub(super) fn photo(names: &[String]) -> Result<usize, String> {
    at(names, &PHOTO).ok_or_else(|| {
        format!(
            "no column 'image' (or path, photo) with the name of the photo; found {}",
            names.join(",")
        )
    })
}

/// Positions of the columns with the box, if there are all four.
pub(super) fn sides(names: &[String]) -> Option<[usize; 4]> {
    let mut sides = [0; 4];
    for (side, name) in sides.iter_mut().zip(SIDES) {
        *side = at(names, &[name])?;
    }
    Some(sides)
}

/// Positions of the columns with the embedding: a list, or the longest of numbered columns, from
/// 0 or 1 on, e.g. `e0,e1,...`
pub(super) fn values(names: &[String]) -> Result<Values, String> {
    if let Some(list) = at(names, &LIST) {
        return Ok(Values::List(list));
    }
    let mut longest: Vec<(usize, usize)> = vec![];
    for prefix in PREFIXES {
        let mut numbered: Vec<(usize, usize)> = names
            .iter()
            .enumerate()
            .filter_map(|(column, name)| {
                let number = name.to_ascii_lowercase();
                let number = number.strip_prefix(prefix)?;
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                Some((digits.then(|| number.parse().ok())??, column))
            })
            .collect();
        numbered.sort_unstable();
        if numbered.len() > longest.len() {
            longest = numbered;
        }
    }
    let Some(&(first, column)) = longest.first() else {
        return Err(format!(
            "no embedding; expected numbered columns e0, e1, ... or a column 'embedding' with lists; found {}",
            names.join(",")
        ));
    };
    let gap = longest
        .iter()
        .zip(first..)
        .find(|((number, _), expected)| number != expected);
    match gap {
        Some((_, expected)) => Err(format!(
            "the numbered columns from '{}' on do not have exactly one number {expected}",
            names[column]
        )),
        None if first > 1 => Err(format!(
            "the numbered columns begin with '{}'; expected the number 0 or 1",
            names[column]
        )),
        None => Ok(Values::Scalars(
            longest.into_iter().map(|(_, column)| column).collect(),
        )),
    }
}

fn at(names: &[String], wanted: &[&str]) -> Option<usize> {
    wanted
        .iter()
        .find_map(|w| names.iter().position(|n| n.eq_ignore_ascii_case(w)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn numbered_columns_are_sorted_and_complete() {
        let found = |text: &str| values(&names(text));
        assert_eq!(found("image,e1,e0"), Ok(Values::Scalars(vec![2, 1])));
        assert_eq!(found("0,1,2"), Ok(Values::Scalars(vec![0, 1, 2])));
        assert_eq!(
            found("x0,y0,x1,y1,emb_1,emb_2,emb_3"),
            Ok(Values::Scalars(vec![4, 5, 6]))
        );
        // Ten columns and more are sorted by number, not by text.
        let many: Vec<String> = (0..12).rev().map(|i| format!("f{i}")).collect();
        assert_eq!(values(&many), Ok(Values::Scalars((0..12).rev().collect())));
        assert_eq!(found("image,Embedding"), Ok(Values::List(1)));
        for (bad, why) in [
            ("image,x0,y0,x1,y1", "no embedding"),
            ("image,e0,e1,e3", "number 2"),
            ("image,e0,e1,e1", "number 2"),
            ("image,e2,e3", "begin with 'e2'"),
        ] {
            assert!(found(bad).unwrap_err().contains(why), "{bad}");
        }
    }
}
