//! Nodes and weights that a rewritten graph gets.

use tract_onnx::pb::{
    AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType, tensor_proto::DataType,
};

/// The nodes that take the place of one, with names that no other value of the graph has.
pub(super) struct Builder {
    prefix: String,
    pub nodes: Vec<NodeProto>,
    pub weights: Vec<TensorProto>,
}

impl Builder {
    /// The nodes for the node that makes this value. No name of a file ends like the names made here, or the file gives the
    /// value twice and is refused.
    pub(super) fn at(output: &str) -> Builder {
        Builder { prefix: output.to_owned(), nodes: Vec::new(), weights: Vec::new() }
    }

    fn fresh(&self) -> String {
        format!("{}/bulkhead/{}", self.prefix, self.nodes.len() + self.weights.len())
    }

    /// Adds a node with one output, and returns the name of the output.
    pub(super) fn add(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.fresh();
        self.add_as(operator, inputs, &[&output], attributes);
        output
    }

    pub(super) fn add_as(
        &mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.nodes.push(NodeProto {
            op_type: operator.into(),
            name: self.fresh(),
            input: names(inputs),
            output: names(outputs),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// A list of INT64.
    pub(super) fn integers(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        self.weights.push(TensorProto {
            name: name.clone(),
            dims: vec![i64::try_from(values.len()).unwrap_or(i64::MAX)],
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..TensorProto::default()
        });
        name
    }

    /// A number in the datatype of another value.
    pub(super) fn number_like(&mut self, value: f32, other: &str) -> String {
        let name = self.fresh();
        self.weights.push(TensorProto {
            name: name.clone(),
            data_type: DataType::Float as i32,
            float_data: vec![value],
            ..TensorProto::default()
        });
        self.add("CastLike", &[&name, other], Vec::new())
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int.into(), i: value, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (name, r#type) = (name.into(), AttributeType::Ints.into());
    AttributeProto { name, r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float.into(), f: value, ..AttributeProto::default() }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let (name, r#type) = (name.into(), AttributeType::String.into());
    AttributeProto { name, r#type, s: value.into(), ..AttributeProto::default() }
}

/// The integers of a weight or of a `Constant`; `None` if the value is computed.
pub(super) fn known_integers(graph: &GraphProto, name: &str) -> Option<Vec<i64>> {
    let weight = graph.initializer.iter().find(|weight| weight.name == name);
    let constant = || {
        let node = graph.node.iter().find(|node| node.output.iter().any(|output| output == name))?;
        let value = node.attribute.iter().find(|attribute| node.op_type == "Constant" && attribute.name == "value")?;
        value.t.as_ref()
    };
    let tensor = weight.or_else(constant)?;
    match DataType::try_from(tensor.data_type).ok()? {
        DataType::Int64 if tensor.raw_data.is_empty() => Some(tensor.int64_data.clone()),
        DataType::Int64 => Some(tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()),
        DataType::Int32 if tensor.raw_data.is_empty() => {
            Some(tensor.int32_data.iter().map(|value| i64::from(*value)).collect())
        }
        DataType::Int32 => {
            Some(tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from(i32::from_le_bytes(*bytes))).collect())
        }
        _ => None,
    }
}
