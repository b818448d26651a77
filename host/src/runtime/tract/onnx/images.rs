//! Rewriting of operators that cut, pad and resize.

use tract_onnx::pb::{GraphProto, NodeProto};

use super::attributes::Attributes;
use super::build::{Builder, int, known_integers, text};

/// A pad with negative amounts cuts first: tract takes them for huge ones.
pub(super) fn pad(graph: &GraphProto, node: &NodeProto, opset: i64) -> Option<Builder> {
    let as_input = opset >= 11;
    let pads = if as_input { known_integers(graph, node.input.get(1)?)? } else { node.ints("pads")?.to_vec() };
    if pads.iter().all(|amount| *amount >= 0) {
        return if as_input { scalar_value(graph, node) } else { None };
    }
    let axes = match node.input.get(3).filter(|name| !name.is_empty()) {
        Some(axes) => known_integers(graph, axes)?,
        None => (0..).take(pads.len() / 2).collect(),
    };
    let (begins, ends) = pads.split_at(pads.len() / 2);
    let mut build = Builder::at(&node.output[0]);
    let starts: Vec<i64> = begins.iter().map(|amount| 0.max(-amount)).collect();
    let stops: Vec<i64> = ends.iter().map(|amount| if *amount < 0 { *amount } else { i64::MAX }).collect();
    let (starts, stops, axes) = (build.integers(&starts), build.integers(&stops), build.integers(&axes));
    let cut = build.add("Slice", &[&node.input[0], &starts, &stops, &axes], vec![]);
    let kept: Vec<i64> = pads.iter().map(|amount| 0.max(*amount)).collect();
    let mut padded = node.clone();
    padded.input[0] = cut;
    if as_input {
        padded.input[1] = build.integers(&kept);
    } else {
        padded
            .attribute
            .iter_mut()
            .filter(|attribute| attribute.name == "pads")
            .for_each(|pads| pads.ints.clone_from(&kept));
    }
    build.nodes.push(padded);
    Some(build)
}

/// A value that is written as a list of one number, as some exporters do, becomes a number.
fn scalar_value(graph: &GraphProto, node: &NodeProto) -> Option<Builder> {
    let value = node.input.get(2).filter(|name| !name.is_empty())?;
    graph.initializer.iter().find(|weight| weight.name == *value && weight.dims == [1])?;
    let mut build = Builder::at(&node.output[0]);
    let mut padded = node.clone();
    let shape = build.integers(&[]);
    padded.input[2] = build.add("Reshape", &[value, &shape], vec![]);
    build.nodes.push(padded);
    Some(build)
}

/// The Resize of opset 10 has no mode of rounding: it always rounds down, as later versions do only if they are told to.
pub(super) fn resize_10(node: &NodeProto) -> Builder {
    let mut build = Builder::at(&node.output[0]);
    let mut resized = node.clone();
    resized.attribute.push(text("nearest_mode", "floor"));
    build.nodes.push(resized);
    build
}

/// A Slice that takes all elements of some axes in the reverse order.
pub(super) fn flip(graph: &GraphProto, node: &NodeProto) -> Option<Builder> {
    let bounds = Bounds::of(graph, node)?;
    let start = |start: &i64| [-1, i64::from(i32::MAX), i64::MAX].contains(start);
    let whole = bounds.starts.iter().all(start) && bounds.ends.iter().all(|end| *end <= i64::from(i32::MIN) + 1);
    if !whole || bounds.steps.is_empty() || bounds.steps.iter().any(|step| *step != -1) {
        return None;
    }
    let mut build = Builder::at(&node.output[0]);
    let mut value = node.input[0].clone();
    for axis in bounds.axes {
        value = build.add("ReverseAxis", &[&value], vec![int("axis", axis)]);
    }
    build.add_as("Identity", &[&value], &[&node.output[0]], vec![]);
    Some(build)
}

/// Bounds of a Slice that are fixed and positive end with the tensor: tract takes them as they are if the size varies.
pub(super) fn clamped(graph: &GraphProto, node: &NodeProto) -> Option<Builder> {
    let bounds = Bounds::of(graph, node)?;
    // Every tensor reaches to "the end", however that is written.
    let bounded = |end: &i64| (1..i64::from(i32::MAX)).contains(end);
    if !bounds.ends.iter().chain(&bounds.starts).any(bounded) || bounds.steps.iter().any(|step| *step < 0) {
        return None;
    }
    let mut build = Builder::at(&node.output[0]);
    let shape = build.add("Shape", &[&node.input[0]], vec![]);
    let axes = build.integers(&bounds.axes);
    let sizes = build.add("Gather", &[&shape, &axes], vec![int("axis", 0)]);
    let mut clamped = node.clone();
    for (at, bounds) in [(1, &bounds.starts), (2, &bounds.ends)] {
        if bounds.iter().any(bounded) && bounds.iter().all(|bound| *bound >= 0) {
            let bounds = build.integers(bounds);
            clamped.input[at] = build.add("Min", &[&bounds, &sizes], vec![]);
        }
    }
    build.nodes.push(clamped);
    Some(build)
}

/// The bounds of a Slice, if they are known.
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Vec<i64>,
    /// Empty if they are not given.
    steps: Vec<i64>,
}

impl Bounds {
    fn of(graph: &GraphProto, node: &NodeProto) -> Option<Bounds> {
        let given = |at: usize| node.input.get(at).filter(|name| !name.is_empty());
        let (starts, ends) = (known_integers(graph, given(1)?)?, known_integers(graph, given(2)?)?);
        let axes = match given(3) {
            Some(axes) => known_integers(graph, axes)?,
            None => (0..).take(starts.len()).collect(),
        };
        let steps = given(4).map_or(Some(Vec::new()), |steps| known_integers(graph, steps))?;
        Some(Bounds { starts, ends, axes, steps })
    }
}
