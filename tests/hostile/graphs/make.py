"""Makes the graphs beside this file: `pip install onnx==1.23.2 && python make.py`. Each goes into a folder of its own."""

from pathlib import Path

from onnx import TensorProto, helper, save

HERE = Path(__file__).parent
F, I, B = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, shape, kind=F):
    return helper.make_tensor_value_info(name, kind, shape)


def make(name, nodes, inputs, outputs, initializers=(), version=17):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)
    (HERE / name).mkdir(exist_ok=True)
    save(model, HERE / name / "graph.onnx")


def one(name, operator, x, y, **attributes):
    make(name, [helper.make_node(operator, ["x"], ["y"], **attributes)], [value("x", x)], [value("y", y)])


# Empty tensors whose other dimensions are vast.
one("transpose-empty", "Transpose", ["a", "b", 1], [1, "b", "a"], perm=[2, 1, 0])
one("softmax-empty", "Softmax", ["a", 3, "c"], ["a", 3, "c"], axis=1)
one("max-pool-empty", "MaxPool", ["n", 4, "l"], ["n", 4, "m"], kernel_shape=[3])
one("reduce-empty", "ReduceMax", ["n", "l"], [1, "l"], axes=[0])

# One operator that takes seconds, for a few elements.
one("average-pool", "AveragePool", [1, 1, 600, 600], [1, 1, 401, 401], kernel_shape=[200, 200])
one("max-pool", "MaxPool", [1, 1, 600, 600], [1, 1, 401, 401], kernel_shape=[200, 200])
one("lrn", "LRN", [1, 4000, "h", 8], [1, 4000, "h", 8], size=2001)

# Work in the body of an operator.
STATE = [value("s", [256, 256]), value("row", [1])]
BODY = helper.make_graph(
    [
        helper.make_node("MatMul", ["s", "s"], ["p"]),
        helper.make_node("Tanh", ["p"], ["next"]),
        helper.make_node("Identity", ["row"], ["made"]),
    ],
    "body",
    STATE,
    [value("next", [256, 256]), value("made", [1])],
)
make(
    "scan-of-products",
    [helper.make_node("Scan", ["first", "x"], ["last", "y"], body=BODY, num_scan_inputs=1)],
    [value("x", ["steps", 1])],
    [value("y", ["steps", 1])],
    [helper.make_tensor("first", F, [256, 256], [0.01] * (256 * 256))],
    version=11,
)
WIDE = helper.make_graph(
    [
        helper.make_node("Mul", ["column", "s"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "wide"], ["all"]),
        helper.make_node("ReduceSum", ["all"], ["made"], axes=[0, 1], keepdims=0),
        helper.make_node("Add", ["row", "made"], ["next"]),
    ],
    "body",
    [value("s", [1]), value("row", [1])],
    [value("next", [1]), value("made", [])],
    [
        helper.make_tensor("column", F, [5000, 1], [0.5] * 5000),
        helper.make_tensor("wide", F, [1, 1 << 14], [0.5] * (1 << 14)),
    ],
)
make(
    "scan-of-memory",
    [helper.make_node("Scan", ["first", "x"], ["last", "y"], body=WIDE, num_scan_inputs=1)],
    [value("x", ["steps", 1])],
    [value("y", ["steps"])],
    [helper.make_tensor("first", F, [1], [0.0])],
    version=11,
)


def branch(name, operator):
    node = helper.make_node(operator, ["x"], [name], axes=[0], keepdims=0)
    return helper.make_graph([node], name, [], [value(name, ["l"])])


# A branch that makes a tensor of 16 TiB out of nothing.
make(
    "branch-of-memory",
    [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("t", "ReduceMax"), else_branch=branch("e", "ReduceMin")),
    ],
    [value("x", ["n", "l"])],
    [value("y", ["l"])],
    [helper.make_tensor("zero", F, [], [0.0])],
    version=13,
)


def products(name, count):
    nodes = [helper.make_node("MatMul", [f"{name}{at}" if at else "x", "w"], [f"{name}{at + 1}"]) for at in range(count)]
    return helper.make_graph(nodes, name, [], [value(f"{name}{count}", [512, 512])])


make(
    "branch-of-products",
    [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=products("t", 400), else_branch=products("e", 1)),
    ],
    [value("x", [512, 512])],
    [value("y", [512, 512])],
    [helper.make_tensor("zero", F, [], [0.0]), helper.make_tensor("w", F, [512, 512], [0.01] * (512 * 512))],
    version=13,
)

# A model as people have it, and a request that is long.
SIZE = 64
make(
    "lstm-steps",
    [helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=SIZE)],
    [value("x", ["steps", 1, SIZE])],
    [value("y", ["steps", 1, 1, SIZE])],
    [helper.make_tensor(name, F, [1, 4 * SIZE, SIZE], [0.01] * (4 * SIZE * SIZE)) for name in "wr"],
)

# The same product for the honest neighbour that the others are measured against.
one("honest", "Tanh", ["n"], ["n"])
