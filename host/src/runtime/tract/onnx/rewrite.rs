//! Operators of ONNX that are written as others, because tract computes them differently.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::attributes::Attributes;
use super::build::{Builder, float, int, ints};
use super::{for_each_graph, images, recurrent};

/// Rewrites a graph and the bodies inside it.
pub(super) fn graph(graph: &mut GraphProto, opset: i64) {
    replace(graph, &|graph, node| replacement(graph, node, opset));
}

/// Ends the fixed bounds of every Slice with its tensor. False if there are none.
pub(super) fn clamp_slices(graph: &mut GraphProto, opset: i64) -> bool {
    opset >= 10
        && replace(graph, &|graph, node| if node.op_type == "Slice" { images::clamped(graph, node) } else { None })
}

/// Replaces nodes by others. False if there are none to replace.
fn replace(graph: &mut GraphProto, by: &dyn Fn(&GraphProto, &NodeProto) -> Option<Builder>) -> bool {
    let mut replaced = false;
    for_each_graph(graph, &mut |graph| {
        let nodes = std::mem::take(&mut graph.node);
        let mut rewritten = Vec::with_capacity(nodes.len());
        // Constants are looked up among the nodes before.
        graph.node = nodes.iter().filter(|node| node.op_type == "Constant").cloned().collect();
        let mut weights = Vec::new();
        for node in nodes {
            match by(graph, &node) {
                None => rewritten.push(node),
                Some(made) => {
                    replaced = true;
                    rewritten.extend(made.nodes);
                    weights.extend(made.weights);
                }
            }
        }
        graph.node = rewritten;
        graph.initializer.extend(weights);
    });
    replaced
}

fn replacement(graph: &GraphProto, node: &NodeProto, opset: i64) -> Option<Builder> {
    match node.op_type.as_str() {
        "Softplus" => Some(softplus(node)),
        "Celu" => Some(celu(node)),
        "Swish" => Some(swish(node)),
        "MeanVarianceNormalization" => Some(mean_variance(node, opset)),
        "LSTM" | "GRU" | "RNN" => recurrent::rewritten(node),
        "TreeEnsembleClassifier" => two_classes(node),
        "Pad" => images::pad(graph, node, opset),
        "Resize" if opset == 10 => Some(images::resize_10(node)),
        "Slice" if opset >= 10 => images::flip(graph, node),
        _ => None,
    }
}

/// `max(x, 0) + log(1 + exp(-|x|))`, which does not overflow.
fn softplus(node: &NodeProto) -> Builder {
    let (x, y) = (&node.input[0], &node.output[0]);
    let mut build = Builder::at(y);
    let positive = build.add("Relu", &[x], vec![]);
    let size = build.add("Abs", &[x], vec![]);
    let negated = build.add("Neg", &[&size], vec![]);
    let exponential = build.add("Exp", &[&negated], vec![]);
    let one = build.number_like(1.0, x);
    let sum = build.add("Add", &[&exponential, &one], vec![]);
    let logarithm = build.add("Log", &[&sum], vec![]);
    build.add_as("Add", &[&positive, &logarithm], &[y], vec![]);
    build
}

/// `alpha * Elu(x / alpha)`.
fn celu(node: &NodeProto) -> Builder {
    let (x, y) = (&node.input[0], &node.output[0]);
    let mut build = Builder::at(y);
    let alpha = build.number_like(node.float("alpha").unwrap_or(1.0), x);
    let divided = build.add("Div", &[x, &alpha], vec![]);
    let elu = build.add("Elu", &[&divided], vec![float("alpha", 1.0)]);
    build.add_as("Mul", &[&elu, &alpha], &[y], vec![]);
    build
}

/// The label of two classes, from their scores: tract always gives the first.
fn two_classes(node: &NodeProto) -> Option<Builder> {
    let classes = node.ints("classlabels_int64s").filter(|classes| classes.len() == 2)?.to_vec();
    let label = node.output.first().filter(|name| !name.is_empty())?;
    let mut build = Builder::at(label);
    let mut scored = node.clone();
    scored.output = vec![format!("{label}/bulkhead/first"), node.output.get(1).cloned().unwrap_or_default()];
    if scored.output[1].is_empty() {
        scored.output[1] = format!("{label}/bulkhead/scores");
    }
    let scores = scored.output[1].clone();
    build.nodes.push(scored);
    let most = build.add("ArgMax", &[&scores], vec![int("axis", 1), int("keepdims", 0)]);
    let classes = build.integers(&classes);
    build.add_as("Gather", &[&classes, &most], &[label], vec![int("axis", 0)]);
    Some(build)
}

/// `x * Sigmoid(alpha * x)`.
fn swish(node: &NodeProto) -> Builder {
    let (x, y) = (&node.input[0], &node.output[0]);
    let mut build = Builder::at(y);
    let alpha = build.number_like(node.float("alpha").unwrap_or(1.0), x);
    let scaled = build.add("Mul", &[x, &alpha], vec![]);
    let gate = build.add("Sigmoid", &[&scaled], vec![]);
    build.add_as("Mul", &[x, &gate], &[y], vec![]);
    build
}

/// `(x - mean) / (sqrt(mean((x - mean)²)) + 1e-9)`, which does not subtract large squares.
fn mean_variance(node: &NodeProto, opset: i64) -> Builder {
    let (x, y) = (&node.input[0], &node.output[0]);
    let mut build = Builder::at(y);
    let axes = node.ints("axes").unwrap_or(&[0, 2, 3]).to_vec();
    let mean = mean(&mut build, x, &axes, opset);
    let centered = build.add("Sub", &[x, &mean], vec![]);
    let square = build.add("Mul", &[&centered, &centered], vec![]);
    let variance = self::mean(&mut build, &square, &axes, opset);
    let deviation = build.add("Sqrt", &[&variance], vec![]);
    let least = build.number_like(1e-9, x);
    let divisor = build.add("Add", &[&deviation, &least], vec![]);
    build.add_as("Div", &[&centered, &divisor], &[y], vec![]);
    build
}

/// The mean along axes, which are an attribute up to opset 17 and an input from 18 on.
fn mean(build: &mut Builder, x: &str, axes: &[i64], opset: i64) -> String {
    if opset < 18 {
        return build.add("ReduceMean", &[x], vec![ints("axes", axes), int("keepdims", 1)]);
    }
    let axes = build.integers(axes);
    build.add("ReduceMean", &[x, &axes], vec![int("keepdims", 1)])
}
