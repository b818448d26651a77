//! ONNX files for the tests of this module, built from their parts.

use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto, type_proto,
};

use super::Graph;
use super::load::load_model;
use crate::runtime::{InputShapes, LoadError, digest};

/// Element types, under the numbers that ONNX gives them.
pub(super) const F32: i32 = DataType::Float as i32;
pub(super) const F16: i32 = DataType::Float16 as i32;
pub(super) const I64: i32 = DataType::Int64 as i32;
pub(super) const I32: i32 = DataType::Int32 as i32;
pub(super) const U8: i32 = DataType::Uint8 as i32;
pub(super) const BOOL: i32 = DataType::Bool as i32;

/// An operator with its attributes.
pub(super) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let name = format!("{operator}-{}", outputs.join("-"));
    NodeProto {
        op_type: operator.into(),
        name,
        input: text(inputs),
        output: text(outputs),
        attribute: attributes,
        ..NodeProto::default()
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int.into(), i: value, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (name, r#type) = (name.into(), AttributeType::Ints.into());
    AttributeProto { name, r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

pub(super) fn string(name: &str, value: &str) -> AttributeProto {
    let (name, r#type) = (name.into(), AttributeType::String.into());
    AttributeProto { name, r#type, s: value.into(), ..AttributeProto::default() }
}

pub(super) fn floats_of(name: &str, values: &[f32]) -> AttributeProto {
    let (name, r#type) = (name.into(), AttributeType::Floats.into());
    AttributeProto { name, r#type, floats: values.to_vec(), ..AttributeProto::default() }
}

pub(super) fn strings(name: &str, values: &[&str]) -> AttributeProto {
    let strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    AttributeProto { name: name.into(), r#type: AttributeType::Strings.into(), strings, ..AttributeProto::default() }
}

pub(super) fn in_domain(domain: &str, node: NodeProto) -> NodeProto {
    NodeProto { domain: domain.into(), ..node }
}

pub(super) fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Graph.into(),
        g: Some(graph),
        ..AttributeProto::default()
    }
}

/// An input or output. -1 is a dimension that varies, and is named after the value and the axis.
pub(super) fn value(name: &str, element: i32, shape: &[i64]) -> ValueInfoProto {
    let dimension = |(axis, size): (usize, &i64)| {
        use tensor_shape_proto::dimension::Value;
        let value = if *size < 0 { Value::DimParam(format!("{name}_{axis}")) } else { Value::DimValue(*size) };
        tensor_shape_proto::Dimension { value: Some(value), ..Default::default() }
    };
    let shape = TensorShapeProto { dim: shape.iter().enumerate().map(dimension).collect() };
    let tensor = type_proto::Tensor { elem_type: element, shape: Some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.into(), r#type: Some(r#type), ..ValueInfoProto::default() }
}

pub(super) fn floats(name: &str, shape: &[i64], value: f32) -> TensorProto {
    let count: i64 = shape.iter().product();
    let values = vec![value; usize::try_from(count).unwrap()];
    TensorProto {
        name: name.into(),
        dims: shape.to_vec(),
        data_type: F32,
        float_data: values,
        ..TensorProto::default()
    }
}

pub(super) fn whole(name: &str, values: &[i64]) -> TensorProto {
    let dims = vec![i64::try_from(values.len()).unwrap()];
    TensorProto { name: name.into(), dims, data_type: I64, int64_data: values.to_vec(), ..TensorProto::default() }
}

pub(super) fn graph(
    nodes: Vec<NodeProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    weights: Vec<TensorProto>,
) -> GraphProto {
    GraphProto {
        name: "g".into(),
        node: nodes,
        input: inputs,
        output: outputs,
        initializer: weights,
        ..Default::default()
    }
}

/// Loads a graph as if it came from a file.
pub(super) fn load(graph: GraphProto, version: i64) -> Result<Graph, LoadError> {
    let opset_import = vec![
        OperatorSetIdProto { domain: String::new(), version },
        OperatorSetIdProto { domain: "ai.onnx.ml".into(), version: 3 },
    ];
    let model = ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() };
    load_model(model, &InputShapes::new(), digest::digest_of(&[], &InputShapes::new()))
}
