//! The shapes of tensors, by tract's analysis of a graph that need not be complete: unknown
//! operators and what depends on them have none.

use super::guarded::guarded;
use super::layers::Shapes;
use crate::proto::build::model_of;
use tract_onnx::pb::GraphProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

/// The known shapes of the tensors of a graph in operator set `opset`.
pub(super) fn static_shapes(graph: &GraphProto, opset: i64) -> Shapes {
    // Shapes that the file declares may be wrong, and its outputs may be missing.
    let analysed = GraphProto {
        output: vec![],
        value_info: vec![],
        ..graph.clone()
    };
    guarded(|| shapes(analysed, opset))
        .and_then(Result::ok)
        .unwrap_or_default()
}

fn shapes(graph: GraphProto, opset: i64) -> TractResult<Shapes> {
    let onnx = tract_onnx::onnx();
    let mut parsed = onnx.parse(&model_of(graph, opset), None)?;
    // Where a node cannot be analysed, the others still are.
    let _ = parsed.model.analyse(true);
    let mut shapes = Shapes::new();
    for (name, outlet) in parsed.outlets_by_name {
        let known = parsed.model.outlet_fact(outlet)?.shape.concretize();
        let sizes = known.and_then(|shape| {
            let sizes = shape.iter().map(|size| size.to_usize().ok());
            sizes.collect::<Option<Vec<usize>>>()
        });
        shapes.extend(sizes.map(|sizes| (name, sizes)));
    }
    Ok(shapes)
}
