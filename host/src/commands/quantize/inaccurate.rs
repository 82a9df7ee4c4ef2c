//! Leaves layers in float where the model would be too inaccurate with all of them in int8.

use super::comparison::{Comparison, embed};
use super::photos::EvalPhotos;
use super::sensitivity::{Sensitivity, worst};
use flukewatch_common::embedding::Embedding;
use flukewatch_inference::engine::tract::TractForm;
use flukewatch_onnx::quantize::{FloatGraph, Quantisation, Ranges, Tick};
use serde::Serialize;
use std::collections::BTreeSet;

/// The mean cosine to the float embedding below which layers stay in float.
pub(super) const MIN_MEAN_COSINE: f32 = 0.995;
/// At most one of this many layers stays in float by itself: each costs time on an int8 engine.
const LAYERS_PER_FLOAT_LAYER: usize = 4;

/// The layers that stay in float by themselves.
#[derive(Debug, Serialize)]
pub(super) struct LeftInFloat {
    #[serde(skip)]
    pub(super) layers: BTreeSet<usize>,
    /// The mean cosine below which layers stay in float.
    pub(super) minimum: f32,
    /// The mean cosine with all layers in int8.
    pub(super) before: f32,
    /// The mean cosine with these layers in float.
    pub(super) after: f32,
}

/// A model in int8 on photos.
pub(super) struct Accuracy<'a> {
    graph: &'a FloatGraph,
    ranges: &'a Ranges,
    photos: &'a EvalPhotos,
    float: Vec<Embedding>,
}

impl<'a> Accuracy<'a> {
    pub(super) fn new(
        graph: &'a FloatGraph,
        ranges: &'a Ranges,
        photos: &'a EvalPhotos,
    ) -> anyhow::Result<Self> {
        let float = embed(&graph.encode(), TractForm::AsIs, photos, &|| {})?;
        Ok(Self {
            graph,
            ranges,
            photos,
            float,
        })
    }

    /// The mean cosine to the float embedding with all layers in int8 that can be, except `float`.
    pub(super) fn mean_cosine(
        &self,
        float: &BTreeSet<usize>,
        tick: Tick<'_>,
    ) -> anyhow::Result<f32> {
        let layers = &self.graph.quantisable() - float;
        let model = self.graph.encode_quantised(Quantisation {
            ranges: self.ranges,
            layers: &layers,
        });
        let embedded = embed(&model, TractForm::AsIs, self.photos, tick)?;
        Ok(Comparison::of(&self.float, &embedded, self.photos)?.mean)
    }

    /// The fewest of the most sensitive layers that must stay in float for [`MIN_MEAN_COSINE`]; where
    /// the allowed number is not enough, that many. `before` is the mean cosine without any.
    pub(super) fn leave_in_float(
        &self,
        measured: &[Sensitivity],
        before: f32,
        tick: Tick<'_>,
    ) -> anyhow::Result<LeftInFloat> {
        let mut most = (measured.len() / LAYERS_PER_FLOAT_LAYER).max(1);
        let mut after = self.mean_cosine(&worst(measured, most), tick)?;
        // With `too_few` it is not accurate enough, with `most` it is.
        let mut too_few = 0;
        while after >= MIN_MEAN_COSINE && most - too_few > 1 {
            let count = usize::midpoint(too_few, most);
            let mean = self.mean_cosine(&worst(measured, count), tick)?;
            if mean >= MIN_MEAN_COSINE {
                (most, after) = (count, mean);
            } else {
                too_few = count;
            }
        }
        Ok(LeftInFloat {
            layers: worst(measured, most),
            minimum: MIN_MEAN_COSINE,
            before,
            after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::quantize::fixtures::photos;
    use crate::commands::quantize::sensitivity::measure;
    use flukewatch_onnx::samples::mean_of_relu;

    /// The scale of the image is so large that 0.4 becomes 0: the convolution loses everything.
    #[test]
    fn the_layer_at_fault_stays_in_float() {
        let graph = mean_of_relu(3.0);
        let photos = photos(&[(0.4, None), (40.0, None)]);
        let ranges = [("image", 127.0), ("flat", 127.0)];
        let ranges: Ranges = ranges.map(|(n, r)| (n.to_owned(), r)).into();
        let accuracy = Accuracy::new(&graph, &ranges, &photos).unwrap();
        let before = accuracy.mean_cosine(&BTreeSet::new(), &|| {}).unwrap();
        assert!(before < 0.7, "{before}");
        let measured = measure(&graph, &ranges, &photos, &|| {}).unwrap();
        let left = accuracy.leave_in_float(&measured, before, &|| {}).unwrap();
        assert_eq!(left.layers, BTreeSet::from([0]));
        assert_eq!(left.before, before);
        assert!(left.after > 0.98, "{left:?}");
    }
}
