//! Reads the inner tensors of a model on one image at a time: they become its outputs, and tract
//! runs it.

use crate::proto::build::node;
use ndarray::Array3;
use std::sync::Arc;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::*;

/// A model whose outputs are chosen tensors.
pub(crate) struct Observed {
    model: Arc<TypedRunnableModel>,
}

impl Observed {
    /// `tensors` name the outputs in order, each once.
    pub(crate) fn of(mut model: ModelProto, tensors: &[String]) -> TractResult<Self> {
        if let Some(graph) = model.graph.as_mut() {
            // tract needs a node for each output; the image has none.
            let mut outputs = vec![];
            for name in tensors {
                let copy = format!("{name}.observed");
                graph
                    .node
                    .push(node("Identity", &copy, &[name], &copy, vec![]));
                outputs.push(ValueInfoProto {
                    name: copy,
                    ..Default::default()
                });
            }
            graph.output = outputs;
        }
        let model = tract_onnx::onnx()
            .model_for_proto_model(&model)?
            .into_optimized()?
            .into_runnable()?;
        Ok(Self { model })
    }

    /// The tensors on one image `[C, H, W] f32`.
    pub(crate) fn run(&self, image: &Array3<f32>) -> TractResult<TVec<TValue>> {
        let (c, h, w) = image.dim();
        let numbers: Vec<f32> = image.iter().copied().collect();
        let image = Tensor::from_shape(&[1, c, h, w], &numbers)?;
        self.model.run(tvec![image.into_tvalue()])
    }
}

/// The numbers of a tensor of 32-bit floats.
pub(super) fn numbers(tensor: &Tensor) -> TractResult<Vec<f32>> {
    let view = tensor.try_as_plain_ram()?;
    Ok(view.as_slice::<f32>()?.to_vec())
}
