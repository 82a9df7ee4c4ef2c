//! Both outputs of a model as one, for engines that return a single vector: the embedding, then the local
//! descriptors, `[1, D + C * H * W]`.

use super::EngineError;
use super::form::declared_shape;
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, ModelProto, NodeProto, TensorShapeProto, ValueInfoProto, type_proto,
};

const PACKED: &str = "flukewatch.packed";
const FLAT: &str = "flukewatch.packed.local";

/// The bytes of the model with its two outputs, the second of `local_numbers` numbers, packed into one.
///
/// # Errors
/// When the first output does not declare its shape `[1, D]`.
pub(super) fn packed(mut model: ModelProto, local_numbers: usize) -> Result<Vec<u8>, EngineError> {
    let graph = model
        .graph
        .as_mut()
        .ok_or_else(|| EngineError::NotOnnx("it holds no graph".into()))?;
    let [embedding, local] = &graph.output[..] else {
        return Err(EngineError::Unsupported("it must have two outputs".into()));
    };
    let dimension = match declared_shape(embedding).as_deref() {
        Some(&[1, dimension]) if dimension > 0 => dimension,
        _ => {
            return Err(EngineError::Unsupported(format!(
                "its output '{}' must declare the shape [1, D] f32",
                embedding.name
            )));
        }
    };
    let node = |op: &str, inputs: &[&str], output: &str| NodeProto {
        op_type: op.into(),
        name: output.into(),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.into()],
        attribute: vec![AttributeProto {
            name: "axis".into(),
            r#type: AttributeType::Int as i32,
            i: 1,
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    };
    let flatten = node("Flatten", &[&local.name], FLAT);
    let concat = node("Concat", &[&embedding.name, FLAT], PACKED);
    let output = ValueInfoProto {
        name: PACKED.into(),
        r#type: embedding.r#type.clone().map(|mut declared| {
            if let Some(type_proto::Value::TensorType(tensor)) = &mut declared.value {
                let sizes = [1, dimension + local_numbers as i64];
                let dim = sizes.map(|size| Dimension {
                    value: Some(dimension::Value::DimValue(size)),
                    ..Dimension::default()
                });
                tensor.shape = Some(TensorShapeProto { dim: dim.into() });
            }
            declared
        }),
        ..ValueInfoProto::default()
    };
    graph.node.extend([flatten, concat]);
    graph.output = vec![output];
    Ok(model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::tract::{TractEngine, TractForm};
    use crate::samples::onnx::{bytes, quantised_model, with_local_output};
    use ndarray::Array3;

    #[test]
    fn the_packed_output_is_the_embedding_and_then_the_descriptors() {
        let model = with_local_output(quantised_model([1, 8, 16]));
        let image =
            Array3::from_shape_fn((1, 8, 16), |(_, y, x)| ((y * 7 + x * 3) % 11) as f32 / 9.0);
        let mut both = TractEngine::load(&bytes(&model), TractForm::Dequantised).unwrap();
        assert_eq!(both.local_shape(), Some([4, 8, 16]));
        let expected = both.run_with_local(image.view()).unwrap();
        let one = packed(model, 4 * 8 * 16).unwrap();
        let mut one = TractEngine::load(&one, TractForm::Dequantised).unwrap();
        assert_eq!((one.local_shape(), one.dimension()), (None, 6 + 512));
        let got = one.run(image.view()).unwrap();
        let expected: Vec<f32> = [expected.embedding, expected.local.unwrap()].concat();
        assert_eq!(got, expected);
    }
}
