//! The inner tensors of a float model, photo by photo: they become its outputs, and tract runs it.

use super::onnx::node;
use ndarray::Array3;
use std::sync::Arc;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::*;

/// A model whose outputs are chosen tensors.
pub struct Observed {
    model: Arc<TypedRunnableModel>,
}

impl Observed {
    /// Of a model with one image in; `tensors` are named in the order in which they will come out, each once.
    ///
    /// # Errors
    /// When tract cannot load it.
    pub fn of(mut model: ModelProto, tensors: &[String]) -> TractResult<Self> {
        if let Some(graph) = model.graph.as_mut() {
            // An output must be made by a node; the image is not.
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

    /// The tensors' values and shapes on one image `[C, H, W] f32`.
    ///
    /// # Errors
    /// When the image has another shape than the model's, or tract fails.
    pub fn run(&self, image: &Array3<f32>) -> TractResult<TVec<TValue>> {
        let (c, h, w) = image.dim();
        let numbers: Vec<f32> = image.iter().copied().collect();
        let image = Tensor::from_shape(&[1, c, h, w], &numbers)?;
        self.model.run(tvec![image.into_tvalue()])
    }
}

/// The numbers of a tensor that [`Observed::run`] gave.
///
/// # Errors
/// When they are not 32-bit floats.
pub fn numbers(tensor: &Tensor) -> TractResult<Vec<f32>> {
    let view = tensor.try_as_plain_ram()?;
    Ok(view.as_slice::<f32>()?.to_vec())
}
