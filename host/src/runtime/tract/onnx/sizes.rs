//! Known sizes for a file that leaves them open: many files can be planned for them alone.

use std::fmt::Write as _;

use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::{ModelProto, ValueInfoProto};

use super::values::dimensions;
use crate::runtime::InputShapes;

/// Size that an open dimension beyond the first is tried with: pictures are halved up to five times.
const TRIED: i64 = 64;

/// Shapes of the inputs to try, in this order: one row, with the other dimensions open; one row, with all dimensions known.
/// There are none if a rank is not known, or nothing is open.
pub(in crate::runtime::tract) fn known_sizes(model: &ModelProto, inputs: &[String]) -> Vec<InputShapes> {
    let given = model.graph.iter().flat_map(|graph| &graph.input).filter(|input| inputs.contains(&input.name));
    let sizes: Vec<(&str, Vec<Option<i64>>)> = given.map(|input| (input.name.as_str(), sizes(input))).collect();
    let unranked = sizes.iter().any(|(_, sizes)| sizes.is_empty());
    if unranked || sizes.iter().flat_map(|(_, sizes)| sizes).all(Option::is_some) {
        return Vec::new();
    }
    let with = |others: i64| -> InputShapes {
        let shape = |sizes: &[Option<i64>]| -> Vec<i64> {
            let open = |axis: usize| if axis == 0 { 1 } else { others };
            sizes.iter().enumerate().map(|(axis, size)| size.unwrap_or_else(|| open(axis))).collect()
        };
        sizes.iter().map(|(name, sizes)| ((*name).to_owned(), shape(sizes))).collect()
    };
    vec![with(-1), with(TRIED)]
}

fn sizes(input: &ValueInfoProto) -> Vec<Option<i64>> {
    let size = |value: &Option<Value>| match value {
        Some(Value::DimValue(size)) => Some(*size),
        _ => None,
    };
    dimensions(input).iter().map(|dimension| size(&dimension.value)).collect()
}

/// Shapes as the manifest has them.
pub(in crate::runtime::tract) fn manifest_line(shapes: &InputShapes) -> String {
    let mut line = String::from("{ ");
    for (at, (name, shape)) in shapes.iter().enumerate() {
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let name = if plain { name.clone() } else { format!("{name:?}") };
        let _ = write!(line, "{}{name} = {shape:?}", if at == 0 { "" } else { ", " });
    }
    line + " }"
}
