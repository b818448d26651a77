//! Inputs, outputs and weights of a file: names of dimensions, sizes of zero, weights in other files, and outputs that no node
//! makes.

use std::collections::BTreeMap;

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, ValueInfoProto, type_proto};

use super::build::Builder;
use super::for_each_graph;
use crate::runtime::LoadError;

/// Most bytes of a dimension's name that tract gets. It parses names recursively.
const MAX_NAME: usize = 40;

/// Names that tract reads as functions.
const FUNCTIONS: [&str; 6] = ["min", "max", "floor", "ceil", "broadcast", "mod"];

/// Refuses a weight that is in another file, which tract would open, and a reduction of an input without elements, which
/// tract takes for a constant and reduces before it is corrected.
pub(super) fn check(graph: &GraphProto) -> Result<(), LoadError> {
    weights(graph)?;
    let reduced = |name: &String| {
        let first = |node: &NodeProto| node.op_type.starts_with("Reduce") && node.input.first() == Some(name);
        graph.node.iter().any(first)
    };
    for input in graph.input.iter().filter(|input| reduced(&input.name)) {
        if let Some(axis) = dimensions(input).iter().position(|dimension| dimension.value == Some(Value::DimValue(0))) {
            return Err(LoadError::EmptyInput { name: input.name.clone(), axis });
        }
    }
    Ok(())
}

fn weights(graph: &GraphProto) -> Result<(), LoadError> {
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let inside = attributes().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
    graph.initializer.iter().chain(inside).try_for_each(weight)?;
    attributes().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)).try_for_each(weights)
}

fn weight(tensor: &TensorProto) -> Result<(), LoadError> {
    let external = tensor.data_location.is_some_and(|location| location != 0) || !tensor.external_data.is_empty();
    if external { Err(LoadError::ExternalWeight { name: tensor.name.clone() }) } else { Ok(()) }
}

pub(super) fn dimensions(value: &ValueInfoProto) -> &[Dimension] {
    let kind = value.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let Some(type_proto::Value::TensorType(tensor)) = kind else { return &[] };
    tensor.shape.as_ref().map_or(&[], |shape| &shape.dim)
}

fn dimensions_mut(value: &mut ValueInfoProto) -> &mut [Dimension] {
    let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    let Some(type_proto::Value::TensorType(tensor)) = kind else { return &mut [] };
    tensor.shape.as_mut().map_or(&mut [], |shape| &mut shape.dim)
}

/// Gives every named dimension of the inputs a name that tract does not take for an expression. The names inside a graph are
/// dropped: they say nothing that the inputs do not.
pub(super) fn name_dimensions(graph: &mut GraphProto) {
    let mut names = BTreeMap::new();
    let plain_names: Vec<String> = graph.input.iter().flat_map(dimensions).filter_map(plain_name).collect();
    for dimension in graph.input.iter_mut().flat_map(dimensions_mut) {
        if let Some(Value::DimParam(name)) = &mut dimension.value {
            let next = names.len();
            let plain = names.entry(name.clone()).or_insert_with(|| plain(name, next, &plain_names)).clone();
            dimension.value = (!name.is_empty()).then_some(Value::DimParam(plain));
        }
    }
    let inputs = std::mem::take(&mut graph.input);
    for_each_graph(graph, &mut |graph| {
        let values = graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info);
        for dimension in values.flat_map(dimensions_mut) {
            if matches!(dimension.value, Some(Value::DimParam(_))) {
                dimension.value = None;
            }
        }
    });
    graph.input = inputs;
}

fn plain_name(dimension: &Dimension) -> Option<String> {
    match &dimension.value {
        Some(Value::DimParam(name)) if is_plain(name) => Some(name.clone()),
        _ => None,
    }
}

/// True for a name that tract does not read as an expression, and that is not one of the names made here.
fn is_plain(name: &str) -> bool {
    let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let identifier = name.chars().all(letter) && !name.starts_with(|first: char| first.is_ascii_digit());
    identifier && name.len() <= MAX_NAME && !FUNCTIONS.contains(&name) && !name.starts_with("dim__")
}

/// The name that tract gets. A sum of dimensions that have plain names stays one, as exporters of decoders write it.
fn plain(name: &str, next: usize, names: &[String]) -> String {
    let known = |part: &str| part.parse::<u16>().is_ok() || names.iter().any(|name| name == part);
    let sum = || name.len() <= 4 * MAX_NAME && name.split('+').map(str::trim).all(known);
    if is_plain(name) || name.contains('+') && sum() { name.to_owned() } else { format!("dim__{next}") }
}

/// Gives a node to every output that is an input or a weight: tract knows no shape of it.
pub(super) fn make_outputs(graph: &mut GraphProto) {
    let given: Vec<&str> = graph
        .input
        .iter()
        .map(|input| input.name.as_str())
        .chain(graph.initializer.iter().map(|weight| weight.name.as_str()))
        .collect();
    let mut nodes: Vec<NodeProto> = Vec::new();
    for output in &mut graph.output {
        if given.contains(&output.name.as_str()) {
            let mut build = Builder::at(&output.name);
            output.name = build.add("Identity", &[&output.name], vec![]);
            nodes.extend(build.nodes);
        }
    }
    graph.node.extend(nodes);
}
