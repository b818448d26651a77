//! Graphs of one operator each, for the comparison of charged fuel with CPU time.

mod elements;
mod images;
mod others;
mod sequences;
mod shapes;

pub(super) use sequences::scan;

use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto};

use crate::runtime::LoadError;
use crate::runtime::tract::Graph;
use crate::runtime::tract::testing::{self as onnx, BOOL, F32};

/// Every case.
pub(super) fn all() -> Vec<Case> {
    [
        elements::element_cases(),
        shapes::shape_cases(),
        shapes::index_cases(),
        images::image_cases(),
        sequences::sequence_cases(),
        others::other_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A graph of one operator.
pub(super) struct Case {
    pub name: &'static str,
    pub nodes: Vec<NodeProto>,
    pub inputs: Vec<ValueInfoProto>,
    pub outputs: Vec<ValueInfoProto>,
    pub weights: Vec<TensorProto>,
    pub version: i64,
}

impl Case {
    /// A case with input `x` and output `y`; the weights are further inputs.
    pub(super) fn of(
        name: &'static str,
        operator: &str,
        x: (i32, &[i64]),
        y: (i32, &[i64]),
        weights: Vec<TensorProto>,
        attributes: Vec<AttributeProto>,
    ) -> Case {
        let names: Vec<&str> = ["x"].into_iter().chain(weights.iter().map(|weight| &*weight.name)).collect();
        let nodes = vec![onnx::node(operator, &names, &["y"], attributes)];
        let (inputs, outputs) = (vec![onnx::value("x", x.0, x.1)], vec![onnx::value("y", y.0, y.1)]);
        Case { name, nodes, inputs, outputs, weights, version: 17 }
    }

    pub(super) fn same(operator: &'static str) -> Case {
        let shape: &[i64] = &[64, 4096];
        Case::of(operator, operator, (F32, shape), (F32, shape), Vec::new(), Vec::new())
    }

    /// A case with two inputs.
    pub(super) fn two(operator: &'static str, element: i32, a: &[i64], b: &[i64]) -> Case {
        let output = if matches!(operator, "Equal" | "Less" | "And") { BOOL } else { element };
        let nodes = vec![onnx::node(operator, &["a", "b"], &["y"], Vec::new())];
        let inputs = vec![onnx::value("a", element, a), onnx::value("b", element, b)];
        Case {
            name: operator,
            nodes,
            inputs,
            outputs: vec![onnx::value("y", output, a)],
            weights: Vec::new(),
            version: 17,
        }
    }

    pub(super) fn version(self, version: i64) -> Case {
        Case { version, ..self }
    }

    pub(super) fn graph(&self) -> GraphProto {
        onnx::graph(self.nodes.clone(), self.inputs.clone(), self.outputs.clone(), self.weights.clone())
    }

    pub(super) fn load(&self) -> Result<Graph, LoadError> {
        onnx::load(self.graph(), self.version)
    }
}
