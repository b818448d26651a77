//! What of an ONNX file this host takes: operators by domain and name, versions, attributes and their values.

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};

use super::attributes::{Attributes, shown};
use super::table;
use crate::runtime::LoadError;

/// The versions of ONNX's operators that the table of operators was tested with. Older ones broadcast differently.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=28;

/// Attributes of old versions that change nothing in a run.
const WITHOUT_MEANING: [&str; 2] = ["consumed_inputs", "is_test"];

pub(super) fn is_onnx(domain: &str) -> bool {
    ["", "ai.onnx"].contains(&domain)
}

/// Refuses everything in a file whose meaning would be lost.
pub(super) fn check(model: &ModelProto) -> Result<(), LoadError> {
    let Some(graph) = &model.graph else { return Ok(()) };
    let opset = super::opset(model);
    if !OPSETS.contains(&opset) && graph.node.iter().any(|node| is_onnx(&node.domain)) {
        return Err(LoadError::Opset { version: opset, first: *OPSETS.start(), last: *OPSETS.end() });
    }
    let mut unknown = Vec::new();
    names(graph, &mut unknown);
    if !unknown.is_empty() {
        return Err(LoadError::UnknownOperators(unknown.join(", ")));
    }
    nodes(graph)
}

/// The attributes that are kept of an operator; `None` if it is not known.
fn attributes(node: &NodeProto) -> Option<&'static str> {
    let table = match node.domain.as_str() {
        domain if is_onnx(domain) => table::ONNX,
        "ai.onnx.ml" => table::ONNX_ML,
        "com.microsoft" => table::MICROSOFT,
        _ => return None,
    };
    table.iter().find(|(name, _)| *name == node.op_type).map(|(_, attributes)| *attributes)
}

fn bodies(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn names(graph: &GraphProto, unknown: &mut Vec<String>) {
    for node in &graph.node {
        if attributes(node).is_none() {
            let domain = if is_onnx(&node.domain) { String::new() } else { format!("{}::", node.domain) };
            let name = format!("{domain}{}", node.op_type);
            if !unknown.contains(&name) {
                unknown.push(name);
            }
        }
        bodies(node).for_each(|body| names(body, unknown));
    }
}

fn nodes(graph: &GraphProto) -> Result<(), LoadError> {
    for node in &graph.node {
        let kept: Vec<&str> = attributes(node).unwrap_or_default().split(' ').collect();
        for attribute in &node.attribute {
            let name = attribute.name.as_str();
            let listed = kept.contains(&name) || WITHOUT_MEANING.contains(&name);
            if !(listed && has_kept_value(node, attribute) || is_default(node, attribute)) {
                return Err(unsupported(node, attribute));
            }
        }
        bodies(node).try_for_each(nodes)?;
    }
    Ok(())
}

fn unsupported(node: &NodeProto, attribute: &AttributeProto) -> LoadError {
    LoadError::Attribute {
        operator: node.op_type.clone(),
        node: node.name.clone(),
        attribute: attribute.name.clone(),
        value: shown(attribute),
    }
}

/// True if an attribute that is not kept has its default value.
fn is_default(node: &NodeProto, attribute: &AttributeProto) -> bool {
    match (node.op_type.as_str(), attribute.name.as_str()) {
        ("LSTM", "input_forget") | ("LSTM" | "GRU" | "RNN", "output_sequence") => attribute.i == 0,
        ("LSTM" | "GRU" | "RNN", "activation_alpha" | "activation_beta") => attribute.floats.is_empty(),
        ("LSTM" | "GRU" | "RNN", "clip") => attribute.f == 0.0,
        ("BatchNormalization", "training_mode") | ("DequantizeLinear" | "QuantizeLinear", "output_dtype") => {
            attribute.i == 0
        }
        ("SpaceToDepth", "mode") => attribute.s == b"DCR",
        ("ConvTranspose", "output_shape") => attribute.ints.is_empty(),
        _ => false,
    }
}

/// True if an attribute that is kept has a value that this host computes.
fn has_kept_value(node: &NodeProto, attribute: &AttributeProto) -> bool {
    let direction = || node.text("direction").unwrap_or_default();
    let default: &[&str] = match node.op_type.as_str() {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        "RNN" => &["Tanh"],
        "Pad" if attribute.name == "mode" => {
            return [&b"constant"[..], b"reflect", b"edge"].contains(&&attribute.s[..]);
        }
        _ => return true,
    };
    match attribute.name.as_str() {
        "activations" => {
            let times = if direction().eq_ignore_ascii_case("bidirectional") { 2 } else { 1 };
            let given = attribute.strings.iter().map(|name| name.to_ascii_lowercase());
            given.eq(default.repeat(times).iter().map(|name| name.to_ascii_lowercase().into_bytes()))
        }
        "direction" => ["forward", "reverse", "bidirectional"].contains(&direction().to_ascii_lowercase().as_str()),
        _ => true,
    }
}
