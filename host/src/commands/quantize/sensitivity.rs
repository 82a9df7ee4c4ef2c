//! The sensitivity of each layer: the model with that layer alone in int8, compared with the float
//! model.

use super::comparison::{Comparison, embed, recall_at_1};
use super::photos::EvalPhotos;
use flukewatch_inference::engine::tract::TractForm;
use flukewatch_onnx::quantize::{FloatGraph, Quantisation, Ranges, Tick};
use rayon::prelude::*;
use serde::Serialize;
use std::collections::BTreeSet;

/// The cost of quantising one layer.
#[derive(Debug, Serialize)]
pub(super) struct Sensitivity {
    pub(super) layer: String,
    pub(super) operator: &'static str,
    /// The mean cosine to the float embedding.
    pub(super) mean: f32,
    /// The lowest cosine.
    pub(super) lowest: f32,
    /// R@1 of the float model minus R@1 with this layer in int8; `None` where no whale has two
    /// photos.
    pub(super) recall_lost: Option<f64>,
    #[serde(skip)]
    pub(super) index: usize,
}

/// The sensitivity of each layer that can be quantised, the most sensitive first: by mean cosine,
/// since the lowest depends on one photo.
pub(super) fn measure(
    graph: &FloatGraph,
    ranges: &Ranges,
    photos: &EvalPhotos,
    tick: Tick<'_>,
) -> anyhow::Result<Vec<Sensitivity>> {
    let float = embed(&graph.encode(), TractForm::AsIs, photos, &|| {})?;
    let recall = recall_at_1(photos, &float)?;
    let layers: Vec<usize> = graph.quantisable().into_iter().collect();
    let one = |&index: &usize| -> anyhow::Result<Sensitivity> {
        let layers = &BTreeSet::from([index]);
        let model = graph.encode_quantised(Quantisation { ranges, layers });
        let quantised = embed(&model, TractForm::AsIs, photos, &|| {})?;
        let comparison = Comparison::of(&float, &quantised, photos)?;
        tick();
        Ok(Sensitivity {
            layer: graph.layers()[index].name.clone(),
            operator: graph.layers()[index].operator,
            mean: comparison.mean,
            lowest: comparison.lowest,
            recall_lost: recall.zip(comparison.recall_at_1).map(|(a, b)| a - b),
            index,
        })
    };
    let mut all: Vec<Sensitivity> = layers.par_iter().map(one).collect::<anyhow::Result<_>>()?;
    let worse = |a: &Sensitivity, b: &Sensitivity| {
        let by_lowest = a.lowest.total_cmp(&b.lowest);
        a.mean.total_cmp(&b.mean).then(by_lowest)
    };
    all.sort_by(worse);
    Ok(all)
}

/// The indices of the `count` most sensitive layers.
pub(super) fn worst(measured: &[Sensitivity], count: usize) -> BTreeSet<usize> {
    measured.iter().take(count).map(|s| s.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::quantize::fixtures::photos;
    use flukewatch_onnx::samples::mean_of_relu;

    /// The scale of the image is so large that 0.4 becomes 0: the convolution loses everything, the
    /// matrix nothing.
    #[test]
    fn the_layer_that_loses_the_image_is_the_most_sensitive() {
        let graph = mean_of_relu(3.0);
        let photos = photos(&[
            (0.4, Some("a")),
            (0.4, Some("a")),
            (40.0, Some("b")),
            (40.0, Some("b")),
        ]);
        let ranges = [("image", 127.0), ("flat", 127.0)];
        let ranges: Ranges = ranges.map(|(n, r)| (n.to_owned(), r)).into();
        let found = measure(&graph, &ranges, &photos, &|| {}).unwrap();
        let names: Vec<_> = found.iter().map(|s| s.layer.as_str()).collect();
        assert_eq!(names, ["conv", "fc"]);
        // In float 1.2 makes (1.7, -0.7); 0 makes (0.5, 0.5): the cosine is 0.5 / sqrt(3.38 x 0.5)
        // = 0.3846. Of 40 nothing is lost.
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
