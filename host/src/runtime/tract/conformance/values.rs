//! Mistakes that are told with their remedy: values that an operator cannot take, and sizes that cannot vary.

use crate::config::CallLimits;
use crate::numbers::to_usize;
use crate::runtime::tract::testing::{self as onnx, F32, I64};
use crate::runtime::{GraphError, Model};
use crate::tenant::Budget;
use crate::tensor::{Datatype, Tensor};

#[test]
fn an_index_outside_of_its_axis_is_named() {
    for (operator, shape, output) in [
        ("Gather", vec![1], vec![1, 3]),
        ("GatherElements", vec![1, 3], vec![1, 3]),
        ("GatherND", vec![1, 1], vec![1, 3]),
    ] {
        let rank = shape.len();
        let graph = onnx::graph(
            vec![onnx::node(operator, &["table", "at"], &["y"], vec![])],
            vec![onnx::value("at", I64, &shape)],
            vec![onnx::value("y", F32, &output)],
            vec![onnx::floats("table", &[4, 3], 1.0)],
        );
        let graph = onnx::load(graph, 17).unwrap();
        let run = |index: i64| {
            let shape: Vec<u64> = shape.iter().map(|size| size.cast_unsigned()).collect();
            let count: u64 = shape.iter().product();
            let data = index.to_le_bytes().repeat(to_usize(count));
            let limits =
                CallLimits { fuel: u64::MAX, memory: 1 << 30, time: std::time::Duration::from_secs(20), log: 0 };
            let at = Tensor::new(Datatype::Int64, shape, data.into()).unwrap();
            graph.run(vec![("at".into(), at)], &mut Budget::new(&limits))
        };
        run(3).unwrap_or_else(|error| panic!("{operator} of rank {rank}: {error}"));
        run(-4).unwrap_or_else(|error| panic!("{operator} of rank {rank}: {error}"));
        for wrong in [4, -5, i64::MAX, i64::MIN] {
            let Err(GraphError::Value(text)) = run(wrong) else { panic!("{operator} takes {wrong}") };
            assert!(text.contains(&format!("index {wrong} of operator")), "{text}");
            assert!(text.contains("outside of axis 0 of its tensor, which has 4 elements"), "{text}");
        }
    }
}

#[test]
fn sizes_that_can_be_planned_are_named() {
    let pool = |shape: &[i64]| {
        let graph = onnx::graph(
            vec![onnx::node("MaxPool", &["x"], &["y"], vec![onnx::ints("kernel_shape", &[2, 2])])],
            vec![onnx::value("x", F32, shape)],
            vec![onnx::value("y", F32, &[-1, -1, -1, -1])],
            vec![],
        );
        onnx::load(graph, 17).err().map(|error| error.to_string())
    };
    assert_eq!(pool(&[-1, 3, -1, -1]), None);
    let error = pool(&[-1, -1, -1, -1]).unwrap();
    assert!(error.ends_with("for example inputs = { x = [1, 64, 64, 64] }"), "{error}");
}

#[test]
fn an_axis_that_a_tensor_does_not_have_is_refused() {
    let flipped = |axis: i64| {
        let weights = [("starts", -1), ("ends", i64::MIN + 1), ("axes", axis), ("steps", -1)];
        let graph = onnx::graph(
            vec![onnx::node("Slice", &["x", "starts", "ends", "axes", "steps"], &["y"], vec![])],
            vec![onnx::value("x", F32, &[-1, 3])],
            vec![onnx::value("y", F32, &[-1, 3])],
            weights.map(|(name, value)| onnx::whole(name, &[value])).to_vec(),
        );
        onnx::load(graph, 17).err().map(|error| error.to_string())
    };
    assert_eq!([flipped(0), flipped(1), flipped(-2)], [None, None, None]);
    for axis in [2, -3, i64::MIN, i64::MAX] {
        let error = flipped(axis).unwrap_or_else(|| panic!("axis {axis} is taken"));
        assert!(error.contains(&format!("there is no axis {axis} in a tensor of rank 2")), "{error}");
    }
}
