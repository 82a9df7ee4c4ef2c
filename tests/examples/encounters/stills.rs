//! What the boat says of single photos of the same whales, boxes given: what a film's decisions are held against.

use flukewatch_common::decision::Verdict;
use flukewatch_edge::encounter::{Encounters, Found, Grouping};
use flukewatch_edge::identify::Identifier;
use flukewatch_edge::time::Moment;
use flukewatch_host::dataset::Dataset;
use std::collections::BTreeMap;
use std::path::Path;

/// The verdict on the first photo of each whale in `table`.
pub fn verdicts(
    table: &Path,
    identifier: &mut Identifier,
    margin: f32,
) -> BTreeMap<String, Verdict> {
    let dataset = Dataset::open(table, None).unwrap();
    let mut verdicts = BTreeMap::new();
    for photo in &dataset.photos {
        let whale = photo.whale.clone().unwrap_or_default();
        if verdicts.contains_key(&whale) {
            continue;
        }
        let picture = photo.decode().unwrap();
        let mut encounters = Encounters::new(Grouping::Stills, 1, margin);
        let boxes = photo.region.map(|region| [region]);
        let found = boxes.as_ref().map_or(Found::Whole, |b| Found::Told(b));
        let over = encounters.see(&picture, found, Moment::default());
        let embedded = identifier.embed(&over[0].crops).unwrap();
        let identity = identifier.identify(&embedded.embeddings).unwrap();
        verdicts.insert(whale, identity.verdict);
    }
    verdicts
}
