//! Merges several ONNX models: all read the same image, the output is their embeddings side by
//! side.

use flukewatch_common::bundle::{Bundle, Manifest};
use flukewatch_onnx::proto::build::{floats, integer, node, value_info};
use prost::Message;
use std::collections::{BTreeMap, HashSet};
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

const INPUT: &str = "image";
const OUTPUT: &str = "embedding";

/// Errors of merging models.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MergeError {
    /// They prepare photos differently.
    #[error("{first} and {other} cannot be one bundle: {}", .differences.join("; "))]
    Unlike {
        /// Name of the first bundle.
        first: String,
        /// The one that differs from it.
        other: String,
        /// All differences, as text.
        differences: Vec<String>,
    },
    /// A model has a form that is not supported.
    #[error("the model of {bundle} cannot be merged: {why}")]
    Model {
        /// Name of the bundle.
        bundle: String,
        /// What is unsupported.
        why: String,
    },
}

/// Checks that all bundles prepare photos in the same way and embed the same views, so that they
/// can share an input.
///
/// # Errors
/// [`MergeError::Unlike`] for the first bundle that differs, with every difference.
pub fn check_alike(bundles: &[Bundle]) -> Result<(), MergeError> {
    let Some((first, others)) = bundles.split_first() else {
        return Ok(());
    };
    for other in others {
        let differences = differences(&first.manifest, &other.manifest);
        if !differences.is_empty() {
            return Err(MergeError::Unlike {
                first: first.manifest.name.clone(),
                other: other.manifest.name.clone(),
                differences,
            });
        }
    }
    Ok(())
}

fn differences(a: &Manifest, b: &Manifest) -> Vec<String> {
    let (p, q) = (&a.preparation, &b.preparation);
    let size = |p: &flukewatch_common::prepare::Preparation| format!("{} x {}", p.height, p.width);
    let lower = |text: String| text.to_lowercase();
    let pairs = [
        ("size", size(p), size(q)),
        (
            "colour",
            lower(format!("{:?}", p.colour)),
            lower(format!("{:?}", q.colour)),
        ),
        (
            "fit",
            lower(format!("{:?}", p.fit)),
            lower(format!("{:?}", q.fit)),
        ),
        ("padding", p.padding.to_string(), q.padding.to_string()),
        ("mean", format!("{:?}", p.mean), format!("{:?}", q.mean)),
        ("std", format!("{:?}", p.std), format!("{:?}", q.std)),
        (
            "views",
            lower(format!("{:?}", a.views)),
            lower(format!("{:?}", b.views)),
        ),
    ];
    pairs
        .into_iter()
        .filter(|(_, a, b)| a != b)
        .map(|(what, a, b)| format!("{what} is {a} and {b}"))
        .collect()
}

/// Merges the models of `bundles`: each embedding is L2-normalised and multiplied by the square
/// root of its normalised weight (one `weight` per bundle, above 0); their concatenation has length
/// 1, and a dot product is the weighted mean of the cosines.
///
/// # Errors
/// When the bundles prepare photos differently, or a model has a form that is not supported.
pub(super) fn merge(bundles: &[Bundle], weights: &[f32]) -> Result<Vec<u8>, MergeError> {
    check_alike(bundles)?;
    let total: f32 = weights.iter().sum();
    let mut graph = GraphProto {
        name: "flukewatch".into(),
        ..GraphProto::default()
    };
    let mut opsets: BTreeMap<String, i64> = BTreeMap::new();
    let (mut ir_version, mut dimension, mut parts) = (0, 0, vec![]);
    for (i, (bundle, weight)) in bundles.iter().zip(weights).enumerate() {
        let part = prefixed(bundle, &mut opsets, &format!("m{i}."))?;
        ir_version = part.ir_version.max(ir_version);
        graph.node.extend(part.graph.node);
        graph.initializer.extend(part.graph.initializer);
        if i == 0 {
            graph.input = vec![part.image];
        }
        let [unit, share, weighted] = ["unit", "share", "weighted"].map(|n| format!("m{i}.{n}"));
        let attributes = vec![integer("axis", 1), integer("p", 2)];
        graph.node.push(node(
            "LpNormalization",
            &unit,
            &[&part.embedding],
            &unit,
            attributes,
        ));
        graph
            .initializer
            .push(floats(&share, &[], &[(weight / total).sqrt()]));
        graph
            .node
            .push(node("Mul", &weighted, &[&unit, &share], &weighted, vec![]));
        parts.push(weighted);
        dimension += bundle.manifest.dimension / bundle.manifest.views.len();
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.node.push(node(
        "Concat",
        "join",
        &parts,
        OUTPUT,
        vec![integer("axis", 1)],
    ));
    graph.output.push(value_info(OUTPUT, &[1, dimension]));
    Ok(ModelProto {
        ir_version,
        producer_name: "flukewatch".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: opsets
            .into_iter()
            .map(|(domain, version)| OperatorSetIdProto { domain, version })
            .collect(),
        graph: Some(graph),
        ..ModelProto::default()
    }
    .encode_to_vec())
}

/// A model with a prefix before every name except the image's.
struct Part {
    ir_version: i64,
    graph: GraphProto,
    image: tract_onnx::pb::ValueInfoProto,
    embedding: String,
}

fn prefixed(
    bundle: &Bundle,
    opsets: &mut BTreeMap<String, i64>,
    prefix: &str,
) -> Result<Part, MergeError> {
    let unsupported = |why: String| MergeError::Model {
        bundle: bundle.manifest.name.clone(),
        why,
    };
    let model = ModelProto::decode(bundle.model.as_slice())
        .map_err(|e| unsupported(format!("it is not a readable ONNX file ({e})")))?;
    for OperatorSetIdProto { domain, version } in model.opset_import {
        let known = *opsets.entry(domain).or_insert(version);
        if known != version {
            return Err(unsupported(format!(
                "it uses operator set {version}, another model {known}"
            )));
        }
    }
    if !model.functions.is_empty() {
        return Err(unsupported("it defines functions".into()));
    }
    let mut graph = model
        .graph
        .ok_or_else(|| unsupported("it has no graph".into()))?;
    if !graph.sparse_initializer.is_empty() {
        return Err(unsupported("it has sparse weights".into()));
    }
    if let Some(inner) = graph.node.iter().find(|n| {
        n.attribute
            .iter()
            .any(|a| a.g.is_some() || !a.graphs.is_empty())
    }) {
        return Err(unsupported(format!(
            "its node '{}' contains a subgraph",
            inner.name
        )));
    }
    let weights: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let image = graph
        .input
        .iter()
        .find(|i| !weights.contains(i.name.as_str()))
        .cloned()
        .ok_or_else(|| unsupported("it has no input".into()))?;
    let output = graph
        .output
        .first()
        .map(|o| o.name.clone())
        .ok_or_else(|| unsupported("it has no output".into()))?;
    let renamed = |name: &str| match name {
        "" => String::new(),
        name if name == image.name => INPUT.to_owned(),
        name => format!("{prefix}{name}"),
    };
    for node in &mut graph.node {
        rename(node, &renamed, prefix);
    }
    for weights in &mut graph.initializer {
        weights.name = renamed(&weights.name);
    }
    Ok(Part {
        ir_version: model.ir_version,
        embedding: renamed(&output),
        image: tract_onnx::pb::ValueInfoProto {
            name: INPUT.into(),
            ..image.clone()
        },
        graph,
    })
}

fn rename(node: &mut NodeProto, renamed: &impl Fn(&str) -> String, prefix: &str) {
    node.name = format!("{prefix}{}", node.name);
    for name in node.input.iter_mut().chain(&mut node.output) {
        *name = renamed(name);
    }
}
