"""Makes the graphs beside this file: `pip install onnx==1.23.2 && python make.py`."""

from pathlib import Path

from onnx import TensorProto, helper, save

HERE = Path(__file__).parent


def make(name, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, HERE / f"{name}.onnx")


# One number of a request decides how many there are in the answer.
make(
    "range-to-input",
    [helper.make_node("Range", ["zero", "end", "one"], ["numbers"])],
    [helper.make_tensor_value_info("end", TensorProto.INT64, [])],
    [helper.make_tensor_value_info("numbers", TensorProto.INT64, ["n"])],
    [helper.make_tensor("zero", TensorProto.INT64, [], [0]), helper.make_tensor("one", TensorProto.INT64, [], [1])],
)

# An operator that no host has.
make(
    "unknown-operator",
    [helper.make_node("Frobnicate", ["x"], ["y"])],
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
)

# A file of some bytes that wants 16 GiB: what it makes depends on no input, and so the loader computes it.
make(
    "vast-constant",
    [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ],
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    [helper.make_tensor("shape", TensorProto.INT64, [3], [1 << 12, 1 << 10, 1 << 10])],
)

# A file of some bytes that is loaded in time and then keeps 256 MiB: the loader writes out what is expanded, and the table
# stays because a request says which of its elements it wants.
make(
    "large-constant",
    [
        helper.make_node("Expand", ["one", "shape"], ["table"]),
        helper.make_node("Gather", ["table", "x"], ["y"]),
    ],
    [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
    [
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("shape", TensorProto.INT64, [1], [64 << 20]),
    ],
)

# One operator that takes seconds for some thousand rows, and cannot be ended inside: a product with a matrix that the loader
# makes. Requests and answers are small: each row is a number.
make(
    "slow-operator",
    [
        helper.make_node("MatMul", ["x", "wide"], ["rows"]),
        helper.make_node("Expand", ["one", "square"], ["weights"]),
        helper.make_node("MatMul", ["rows", "weights"], ["product"]),
        helper.make_node("ReduceMax", ["product"], ["y"], axes=[1], keepdims=1),
    ],
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
    [
        helper.make_tensor("wide", TensorProto.FLOAT, [1, 4096], [1.0] * 4096),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("square", TensorProto.INT64, [2], [4096, 4096]),
    ],
)
