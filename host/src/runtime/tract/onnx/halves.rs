//! FP16 and BF16 inside a graph become FP32: tract computes FP16 element by element and adds it up in FP16, so that sums
//! overflow and lose digits, and it reads no BF16. What clients exchange stays as the file says.

use half::{bf16, f16};
use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, tensor_proto::DataType, type_proto,
};

use super::build::{Builder, int};
use super::for_each_graph;

const F16: i32 = DataType::Float16 as i32;
const BF16: i32 = DataType::Bfloat16 as i32;
const F32: i32 = DataType::Float as i32;

/// Makes FP32 of every FP16 and BF16 tensor between the inputs and the outputs.
pub(super) fn widen(graph: &mut GraphProto) {
    if !uses_halves(graph) {
        return;
    }
    let weights: Vec<String> = graph.initializer.iter().map(|weight| weight.name.clone()).collect();
    let mut before = Vec::new();
    for input in &mut graph.input {
        if element(input).is_some_and(is_half) && !weights.contains(&input.name) {
            let inner = format!("{}/bulkhead/wide", input.name);
            let mut build = Builder::at(&input.name);
            build.add_as("Cast", &[&input.name], &[&inner], vec![int("to", F32.into())]);
            before.extend(build.nodes);
            rename_uses(&mut graph.node, &input.name, &inner);
        }
    }
    let mut after = Vec::new();
    for output in &graph.output {
        if graph.input.iter().any(|input| input.name == output.name) {
            continue;
        }
        if let Some(half) = element(output).filter(|half| is_half(*half)) {
            let outer = output.name.clone();
            let inner = format!("{outer}/bulkhead/wide");
            rename_makers(&mut graph.node, &outer, &inner);
            rename_uses(&mut graph.node, &outer, &inner);
            let mut build = Builder::at(&outer);
            build.add_as("Cast", &[&inner], &[&outer], vec![int("to", half.into())]);
            after.extend(build.nodes);
        }
    }
    let (kept_inputs, kept_outputs) = (graph.input.clone(), graph.output.clone());
    for_each_graph(graph, &mut widen_inside);
    graph.output = kept_outputs;
    graph.input = kept_inputs;
    for input in graph.input.iter_mut().filter(|input| weights.contains(&input.name)) {
        set_element(input);
    }
    graph.node.splice(0..0, before);
    graph.node.extend(after);
}

fn is_half(element: i32) -> bool {
    [F16, BF16].contains(&element)
}

fn uses_halves(graph: &GraphProto) -> bool {
    let tensor = |tensor: &TensorProto| is_half(tensor.data_type);
    let attribute = |attribute: &AttributeProto| {
        attribute.t.as_ref().is_some_and(tensor)
            || is_type(attribute) && is_half(i32::try_from(attribute.i).unwrap_or(0))
            || attribute.g.iter().chain(&attribute.graphs).any(uses_halves)
    };
    graph.initializer.iter().any(tensor)
        || graph.input.iter().chain(&graph.output).filter_map(element).any(is_half)
        || graph.node.iter().flat_map(|node| &node.attribute).any(attribute)
}

/// Attributes that name the datatype of a result.
fn is_type(attribute: &AttributeProto) -> bool {
    ["to", "dtype", "output_dtype"].contains(&attribute.name.as_str())
}

fn element(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor.elem_type),
    }
}

fn set_element(value: &mut ValueInfoProto) {
    let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = kind
        && is_half(tensor.elem_type)
    {
        tensor.elem_type = F32;
    }
}

/// Widens one graph; the bodies inside it are widened already.
fn widen_inside(graph: &mut GraphProto) {
    graph.initializer.iter_mut().for_each(widen_tensor);
    graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info).for_each(set_element);
    let nodes = std::mem::take(&mut graph.node);
    for mut node in nodes {
        node.attribute.iter_mut().filter_map(|attribute| attribute.t.as_mut()).for_each(widen_tensor);
        let to_half =
            |attribute: &&mut AttributeProto| is_type(attribute) && is_half(i32::try_from(attribute.i).unwrap_or(0));
        if node.op_type == "Cast" && node.attribute.iter_mut().any(|attribute| to_half(&attribute)) {
            // The file asks for the rounding of FP16.
            let wanted = node.output[0].clone();
            node.output[0] = format!("{wanted}/bulkhead/rounded");
            let mut build = Builder::at(&wanted);
            build.add_as("Cast", &[&node.output[0]], &[&wanted], vec![int("to", F32.into())]);
            graph.node.push(node);
            graph.node.extend(build.nodes);
            continue;
        }
        node.attribute.iter_mut().filter(to_half).for_each(|attribute| attribute.i = F32.into());
        graph.node.push(node);
    }
}

fn widen_tensor(tensor: &mut TensorProto) {
    let wide: fn(u16) -> f32 = match tensor.data_type {
        F16 => |bits| f16::from_bits(bits).to_f32(),
        BF16 => |bits| bf16::from_bits(bits).to_f32(),
        _ => return,
    };
    tensor.float_data = if tensor.raw_data.is_empty() {
        tensor.int32_data.iter().map(|bits| wide(low_half(*bits))).collect()
    } else {
        tensor.raw_data.as_chunks().0.iter().map(|bytes| wide(u16::from_le_bytes(*bytes))).collect()
    };
    tensor.int32_data = Vec::new();
    tensor.raw_data = Default::default();
    tensor.data_type = F32;
}

/// The bits of a half, which stand in the lower half of an integer.
fn low_half(bits: i32) -> u16 {
    let [first, second, ..] = bits.to_le_bytes();
    u16::from_le_bytes([first, second])
}

/// Renames a value where nodes read it, also in the bodies inside them.
fn rename_uses(nodes: &mut [NodeProto], from: &str, to: &str) {
    for node in nodes {
        node.input.iter_mut().filter(|name| *name == from).for_each(|name| to.clone_into(name));
        for attribute in &mut node.attribute {
            for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                rename_uses(&mut body.node, from, to);
                body.output.iter_mut().filter(|output| output.name == from).for_each(|output| output.name = to.into());
            }
        }
    }
}

fn rename_makers(nodes: &mut [NodeProto], from: &str, to: &str) {
    nodes
        .iter_mut()
        .flat_map(|node| &mut node.output)
        .filter(|name| *name == from)
        .for_each(|name| to.clone_into(name));
}
