//! A graph under construction: its nodes, its weights, and the values that further nodes can take.

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType, tensor_shape_proto, type_proto,
};

use super::bytes::Bytes;

pub(super) const F32: i32 = DataType::Float as i32;
pub(super) const F16: i32 = DataType::Float16 as i32;
pub(super) const I64: i32 = DataType::Int64 as i32;
pub(super) const I32: i32 = DataType::Int32 as i32;
pub(super) const U8: i32 = DataType::Uint8 as i32;
pub(super) const BOOL: i32 = DataType::Bool as i32;

/// Sizes of dimensions that a graph gives.
pub(super) const SIZES: [i64; 11] = [1, 2, 3, 4, 1, 7, 8, 16, 33, 64, 200];

/// Most elements of a weight.
const WEIGHT: i64 = 1 << 18;

/// A value of the graph, with the shape that it probably has; -1 is a size that is not known.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub name: String,
    pub element: i32,
    pub shape: Vec<i64>,
}

impl Value {
    pub(super) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The size of a dimension, or a guess.
    pub(super) fn size(&self, axis: usize) -> i64 {
        self.shape.get(axis).copied().filter(|size| *size > 0).unwrap_or(4)
    }
}

pub(super) struct Builder<'a> {
    pub bytes: &'a mut Bytes,
    /// Begins the names of this graph; those of a body differ from those around it.
    prefix: String,
    /// False for a body, whose inputs get their open sizes from around it.
    outer: bool,
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
    pub values: Vec<Value>,
    made: usize,
}

impl Builder<'_> {
    pub(super) fn new(bytes: &mut Bytes) -> Builder<'_> {
        Builder { bytes, prefix: "v".into(), outer: true, nodes: vec![], weights: vec![], values: vec![], made: 0 }
    }

    /// A builder for a body of this graph, which begins with these values.
    pub(super) fn body(&mut self, values: Vec<Value>) -> Builder<'_> {
        let prefix = format!("{}{}b", self.prefix, self.made);
        self.made += 1;
        Builder { bytes: self.bytes, prefix, outer: false, nodes: vec![], weights: vec![], values, made: 0 }
    }

    pub(super) fn name(&mut self) -> String {
        self.made += 1;
        format!("{}{}", self.prefix, self.made)
    }

    /// Adds a node with one output.
    pub(super) fn emit(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
        element: i32,
        shape: &[i64],
    ) -> Value {
        let value = Value { name: self.name(), element, shape: shape.to_vec() };
        self.node(operator, inputs, &[&value.name], attributes);
        self.values.push(value.clone());
        value
    }

    pub(super) fn node(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(NodeProto {
            op_type: operator.into(),
            name: format!("{operator}-{}", outputs.join("-")),
            input: texts(inputs),
            output: texts(outputs),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// A weight of this shape, whose sizes are halved until it is small enough.
    pub(super) fn weight(&mut self, shape: &[i64]) -> String {
        let mut shape: Vec<i64> = shape.iter().map(|size| (*size).max(1)).collect();
        while shape.iter().product::<i64>() > WEIGHT {
            shape.iter_mut().for_each(|size| *size = (*size / 2).max(1));
        }
        let count = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
        let value = self.bytes.pick(&[0.5f32, 0.01, 1.0, 0.0, -3.0]);
        let name = self.name();
        let float_data = vec![value; count];
        let tensor = TensorProto { name: name.clone(), dims: shape, data_type: F32, float_data, ..Default::default() };
        self.weights.push(tensor);
        name
    }

    /// A constant list of integers.
    pub(super) fn whole(&mut self, values: &[i64]) -> String {
        let dims = vec![i64::try_from(values.len()).unwrap_or(0)];
        self.constant(dims, values)
    }

    pub(super) fn scalar(&mut self, value: i64) -> String {
        self.constant(vec![], &[value])
    }

    fn constant(&mut self, dims: Vec<i64>, values: &[i64]) -> String {
        let name = self.name();
        let int64_data = values.to_vec();
        let tensor = TensorProto { name: name.clone(), dims, data_type: I64, int64_data, ..Default::default() };
        self.weights.push(tensor);
        name
    }

    /// A constant list of floats.
    pub(super) fn floats(&mut self, values: &[f32]) -> String {
        let name = self.name();
        let dims = vec![i64::try_from(values.len()).unwrap_or(0)];
        let float_data = values.to_vec();
        let tensor = TensorProto { name: name.clone(), dims, data_type: F32, float_data, ..Default::default() };
        self.weights.push(tensor);
        name
    }

    pub(super) fn finish(self, inputs: &[Value], outputs: &[Value]) -> GraphProto {
        GraphProto {
            name: "g".into(),
            node: self.nodes,
            input: inputs.iter().map(|input| declare(input, self.outer || !input.shape.contains(&-1))).collect(),
            output: outputs.iter().map(|output| declare(output, false)).collect(),
            initializer: self.weights,
            ..Default::default()
        }
    }
}

/// The file of a graph.
pub(super) fn file(graph: GraphProto) -> Vec<u8> {
    let set = OperatorSetIdProto { domain: String::new(), version: 17 };
    ModelProto { ir_version: 8, opset_import: vec![set], graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// The shape of an output is left to the loader.
fn declare(value: &Value, with_shape: bool) -> ValueInfoProto {
    let dimension = |(axis, size): (usize, &i64)| {
        use tensor_shape_proto::dimension::Value as Size;
        let size = if *size < 0 { Size::DimParam(format!("{}_{axis}", value.name)) } else { Size::DimValue(*size) };
        tensor_shape_proto::Dimension { value: Some(size), ..Default::default() }
    };
    let shape = TensorShapeProto { dim: value.shape.iter().enumerate().map(dimension).collect() };
    let tensor = type_proto::Tensor { elem_type: value.element, shape: with_shape.then_some(shape) };
    let r#type = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: value.name.clone(), r#type: Some(r#type), ..ValueInfoProto::default() }
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

pub(super) fn graph(name: &str, graph: GraphProto) -> AttributeProto {
    let (name, r#type) = (name.into(), AttributeType::Graph.into());
    AttributeProto { name, r#type, g: Some(graph), ..AttributeProto::default() }
}
