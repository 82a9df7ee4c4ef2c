//! What each layer costs: that layer alone is rounded, and the embeddings are compared with the float model's.

use super::QuantizeError;
use super::compare::{Comparison, embed, recall_at_1};
use super::float_graph::{FloatGraph, Rounding};
use super::photos::{Looks, Tick};
use crate::export::calibrate::Ranges;
use flukewatch_common::engine::tract::TractForm;
use prost::Message;
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;

/// What rounding one layer costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Its name.
    pub layer: String,
    /// Its operator.
    pub operator: &'static str,
    /// The mean cosine to the float embedding.
    pub mean: f32,
    /// The lowest.
    pub lowest: f32,
    /// R@1 of the float model less R@1 with this layer rounded; none where no whale has two photos.
    pub recall_lost: Option<f64>,
    #[serde(skip)]
    place: usize,
}

/// Of each layer that can be rounded, the most costly first: by mean cosine, since the lowest hangs on one photo.
///
/// # Errors
/// When a model does not load or a photo gives no embedding.
pub fn measure(
    graph: &FloatGraph,
    ranges: &Ranges,
    looks: &Looks,
    tick: Tick<'_>,
) -> Result<Vec<Sensitivity>, QuantizeError> {
    let model = graph.write().encode_to_vec();
    let float = embed(&model, TractForm::AsIs, looks, &|| {})?;
    let found = recall_at_1(looks, &float);
    let places: Vec<usize> = graph.roundable().into_iter().collect();
    let one = |&place: &usize| -> Result<Sensitivity, QuantizeError> {
        let layers = &BTreeSet::from([place]);
        let model = graph.write_rounded(Rounding { ranges, layers });
        let rounded = embed(&model.encode_to_vec(), TractForm::AsIs, looks, &|| {})?;
        let comparison = Comparison::of(&float, &rounded, looks);
        tick();
        Ok(Sensitivity {
            layer: graph.layers[place].name.clone(),
            operator: graph.layers[place].operator,
            mean: comparison.mean,
            lowest: comparison.lowest,
            recall_lost: found.zip(comparison.recall_at_1).map(|(a, b)| a - b),
            place,
        })
    };
    let mut all: Vec<Sensitivity> = places.par_iter().map(one).collect::<Result<_, _>>()?;
    let worse = |a: &Sensitivity, b: &Sensitivity| {
        let by_lowest = a.lowest.total_cmp(&b.lowest);
        a.mean.total_cmp(&b.mean).then(by_lowest)
    };
    all.sort_by(worse);
    Ok(all)
}

/// The places of the `count` most costly layers.
pub fn worst(measured: &[Sensitivity], count: usize) -> BTreeSet<usize> {
    measured.iter().take(count).map(|s| s.place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::fixtures::{looks, mean_of_relu};

    /// The image's steps are so wide that 0.4 becomes 0, those of the matrix fine: the convolution costs all, the matrix nothing.
    #[test]
    fn the_layer_that_loses_the_image_is_the_most_costly() {
        let graph = mean_of_relu(3.0);
        let looks = looks(&[
            (0.4, Some("a")),
            (0.4, Some("a")),
            (40.0, Some("b")),
            (40.0, Some("b")),
        ]);
        let ranges = [("image", 127.0), ("flat", 127.0)];
        let ranges: Ranges = ranges.map(|(n, r)| (n.to_owned(), r)).into();
        let found = measure(&graph, &ranges, &looks, &|| {}).unwrap();
        let names: Vec<_> = found.iter().map(|s| s.layer.as_str()).collect();
        assert_eq!(names, ["conv", "fc"]);
        // In float 1.2 makes (1.7, -0.7); 0 makes (0.5, 0.5): the cosine is 0.5 / sqrt(3.38 x 0.5) = 0.3846. Of 40 nothing is lost.
        assert!((found[0].lowest - 0.3846).abs() < 1e-4, "{found:?}");
        assert!(
            (found[0].mean - (0.3846 + 1.0) / 2.0).abs() < 1e-4,
            "{found:?}"
        );
        assert_eq!(found[0].recall_lost, Some(0.0));
        assert!(found[1].lowest > 0.98, "{found:?}");
        assert_eq!(worst(&found, 1), BTreeSet::from([0]));
        assert_eq!(worst(&found, 9).len(), 2);
    }
}
