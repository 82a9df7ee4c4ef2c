//! Answers in the form of the humpback contests, leave one out.

use super::labelled::LabelledEmbeddings;
use super::open_set::place_new_whale;
use super::retrieval::KEPT;
use super::search::{WhaleScores, look_up};
use crate::dataset::NEW_WHALE;

/// For each photo whose whale has another, and each without a name: up to five whales, with `new_whale` behind those that score
/// `new_whale_at` or more. In the order of the photos.
pub fn answers(photos: &LabelledEmbeddings, new_whale_at: f32) -> Vec<(String, Vec<String>)> {
    let mut queries = photos.with_company();
    queries.extend((0..photos.len()).filter(|&i| photos.whale_of(i).is_none()));
    queries.sort_unstable();
    look_up(photos, &queries, |photo, scores| {
        let top = WhaleScores::of(photos, scores, |other| other != photo).top(KEPT, |_| true);
        let mut whales: Vec<String> = top
            .iter()
            .map(|c| photos.whales()[c.whale].clone())
            .collect();
        if let Some(place) = place_new_whale(&top, new_whale_at) {
            whales.insert(place, NEW_WHALE.to_owned());
            whales.truncate(KEPT);
        }
        (photos.label(photo).name.clone(), whales)
    })
}

#[cfg(test)]
mod tests {
    use super::super::labelled::tests::plane;
    use super::*;

    #[test]
    fn new_whale_stands_where_the_threshold_says() {
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
