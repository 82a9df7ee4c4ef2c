//! Leave-one-out answers for a submission.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::search::score_photos;
use crate::metrics::map_at_5::{GUESSES, guesses};
use flukewatch_dataset::NEW_WHALE;

/// Up to five whales for each unnamed photo and each photo whose whale has another, in the order of
/// the photos, with `new_whale` inserted at a threshold.
pub fn answers(
    photos: &LabelledEmbeddings,
    new_whale_threshold: f32,
) -> Vec<(String, Vec<String>)> {
    let mut queries = photos.with_multiple_photos();
    queries.extend((0..photos.len()).filter(|&i| photos.whale_of(i).is_none()));
    queries.sort_unstable();
    score_photos(photos, &queries, |photo, scores| {
        let top = scores.whales().top(GUESSES, |_| true);
        let ranking = top
            .iter()
            .map(|c| (photos.whales()[c.whale].as_str(), c.score));
        let whales = guesses(ranking, NEW_WHALE, new_whale_threshold)
            .into_iter()
            .map(str::to_owned)
            .collect();
        (photos.label(photo).name.clone(), whales)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::plane;

    #[test]
    fn new_whale_is_inserted_at_the_threshold() {
        let e = plane(&[("A", 0.0), ("A", 10.0), ("B", 60.0), ("?", 100.0)]);
        let found = answers(&e, 0.9);
        let text: Vec<String> = found
            .iter()
            .map(|(p, w)| format!("{p} {}", w.join(" ")))
            .collect();
        assert_eq!(
            text,
            [
                "0.jpg A new_whale B",
                "1.jpg A new_whale B",
                "3.jpg new_whale B A"
            ]
        );
    }
}
