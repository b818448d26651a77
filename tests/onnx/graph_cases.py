"""Writes small graphs of which runtimes are known to be wrong into a folder: `graph_cases.py DIR`.

The expected outputs are ONNX Runtime's. The layout of a case is that of `node_cases.py`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

F16, F32, F64 = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE
I32, I64, BOOL = TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
NAN, INF = float("nan"), float("inf")
RANDOM = np.random.default_rng(7)

onnxruntime.set_default_logger_severity(4)


class Graph:
    """A graph under construction. Values are named by the operators that make them."""

    def __init__(self, name, opset=17, domains=()):
        self.name, self.opset, self.domains = name, opset, domains
        self.nodes, self.inputs, self.outputs, self.weights, self.values = [], [], [], [], []

    def input(self, value, shape=None, element=None):
        value = np.asarray(value)
        name = f"x{len(self.inputs)}"
        element = element or helper.np_dtype_to_tensor_dtype(value.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, element, list(value.shape) if shape is None else shape))
        self.values.append(value)
        return name

    def weight(self, value):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, operator, *inputs, outputs=1, domain="", **attributes):
        names = [f"v{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def output(self, name, element, rank=None):
        shape = None if rank is None else [None] * rank
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))
        return self

    def model(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        opsets = [helper.make_opsetid("", self.opset)] + [helper.make_opsetid(*domain) for domain in self.domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


CASES = []


def case(graph, rtol=1e-3, atol=1e-6):
    CASES.append((graph, rtol, atol))


def f32(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def unary(name, operator, value, opset=17, element=None, **attributes):
    """One operator over one tensor, with fixed and with open dimensions."""
    value = np.asarray(value)
    element = element or helper.np_dtype_to_tensor_dtype(value.dtype)
    for kind, shape in (("fixed", None), ("open", [f"d{axis}" for axis in range(value.ndim)])):
        graph = Graph(f"{name}-{kind}", opset)
        case(graph.output(graph.add(operator, graph.input(value, shape), **attributes), element, None))


# Comparisons with a dimension that varies.
for compare in ("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"):
    for rows in (1, 2, 3):
        graph = Graph(f"dimension-{compare}-{rows}")
        x = graph.input(f32(rows, 3), ["n", 3])
        size = graph.add("Gather", graph.add("Shape", x), graph.weight(np.int64(0)), axis=0)
        equal = graph.add(compare, size, graph.weight(np.int64(2)))
        case(graph.output(graph.add("Where", equal, x, graph.add("Neg", x)), F32, 2).output(equal, BOOL, 0))

for operator in ("Mod", "Div", "Mul", "Add", "Sub", "Max", "Min"):
    for rows in (1, 5):
        graph = Graph(f"dimension-{operator}-{rows}")
        x = graph.input(f32(rows, 3), ["n", 3])
        size = graph.add("Gather", graph.add("Shape", x), graph.weight(np.int64(0)), axis=0)
        case(graph.output(graph.add(operator, size, graph.weight(np.int64(3))), I64, 0))

for rows in (1, 4):
    graph = Graph(f"dimension-output-{rows}")
    case(graph.output(graph.add("Shape", graph.input(f32(rows, 3), ["n", 3])), I64, 1))
    graph = Graph(f"dimension-float-{rows}")
    size = graph.add("Shape", graph.input(f32(rows, 3), ["n", 3]))
    case(graph.output(graph.add("Cast", size, to=F32), F32, 1))

# Whole numbers beyond 32 bits.
LARGE = np.array([[2**40, -(2**41), 3], [2**35, 2**33, -7]], np.int64)
for operator in ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceSumSquare", "ReduceMax", "ReduceMin", "ReduceProd"):
    value = LARGE if operator not in ("ReduceSumSquare", "ReduceProd") else np.array([[70000, -80000, 3], [1, 2, 3]], np.int64)
    unary(f"wide-{operator}", operator, value, opset=11, axes=[1])
for kind in (np.float32, np.float64):
    unary(f"wide-cast-{kind.__name__}", "Cast", np.array([3e9, -5e9, 1e15, 7.5], kind), to=I64, element=I64)
for operator in ("Abs", "Neg", "Sign", "Relu"):
    if operator != "Relu":
        unary(f"wide-{operator}", operator, LARGE)
for operator in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mod", "Equal", "Less"):
    graph = Graph(f"wide-{operator}")
    first = np.array([[2**20, 3, 3], [5, -2, -7]], np.int64) if operator == "Pow" else LARGE
    second = np.array([[2, 3, 2], [3, 2, 1]], np.int64)
    element = BOOL if operator in ("Equal", "Less") else I64
    case(graph.output(graph.add(operator, graph.input(first), graph.input(second)), element, 2))
graph = Graph("wide-matmul")
case(graph.output(graph.add("MatMul", graph.input(LARGE), graph.input(np.ones((3, 2), np.int64))), I64, 2))
graph = Graph("wide-cumsum")
case(graph.output(graph.add("CumSum", graph.input(LARGE), graph.weight(np.int64(1))), I64, 2))
graph = Graph("wide-pow-2")
case(graph.output(graph.add("Pow", graph.input(np.array([70000, -3], np.int64)), graph.weight(np.int64(2))), I64, 1))

# NaN and infinities.
EDGES = np.array([NAN, -INF, INF, -1.5, 0.0, 2.5], np.float32)
PLAIN = [
    "Abs", "Neg", "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Erf", "Softplus", "Softsign", "Elu", "Selu", "Celu",
    "LeakyRelu", "HardSigmoid", "HardSwish", "Mish", "ThresholdedRelu", "Floor", "Ceil", "Round", "Sign", "Reciprocal",
    "Sin", "Cos", "Atan", "Identity", "IsNaN", "IsInf", "Sinh", "Cosh", "Asinh",
]
for operator in PLAIN:
    opset = 18 if operator == "Mish" else 17
    unary(f"edges-{operator}", operator, EDGES, opset, BOOL if operator.startswith("Is") else F32)
for operator in ("Gelu", "HardSwish", "Swish"):
    if operator != "Swish":
        unary(f"edges-20-{operator}", operator, EDGES, 20)
for operator in ("Max", "Min", "Add", "Mul", "Sub", "Div"):
    graph = Graph(f"edges-{operator}")
    case(graph.output(graph.add(operator, graph.input(EDGES), graph.input(np.float32([1, 2, 3, NAN, NAN, 1]))), F32, 1))
    graph = Graph(f"edges-{operator}-scalar")
    case(graph.output(graph.add(operator, graph.input(EDGES), graph.weight(np.float32(0.5))), F32, 1))
graph = Graph("edges-clip")
clip = graph.add("Clip", graph.input(EDGES), graph.weight(np.float32(-1)), graph.weight(np.float32(6)))
case(graph.output(clip, F32, 1))
for operator in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceL2", "ReduceLogSumExp"):
    unary(f"edges-{operator}", operator, np.stack([EDGES, np.arange(6, dtype=np.float32)]), 11, axes=[1])
unary("edges-MaxPool", "MaxPool", np.array([[[NAN, 1, 2, 3, NAN, 0]]], np.float32), kernel_shape=[2])
unary("edges-Softmax", "Softmax", np.array([[NAN, 1, 2], [INF, 1, 2], [-INF, 1, 2]], np.float32))
unary("edges-ArgMax", "ArgMax", np.array([[3, 1, 3], [1, 2, 2]], np.float32), element=I64)
unary("edges-ArgMax-last", "ArgMax", np.array([[3, 1, 3], [1, 2, 2]], np.float32), element=I64, select_last_index=1)
graph = Graph("edges-relu-of-product")
product = graph.add("MatMul", graph.input(np.float32([[NAN, 1], [2, 3]])), graph.weight(f32(2, 8)))
case(graph.output(graph.add("Relu", product), F32, 2))

# Large numbers, where a naive formula overflows.
HUGE = np.array([[100, 200, 1000], [-1000, -200, 88.9]], np.float32)
for operator in ("LogSoftmax", "Softmax", "Softplus", "Sigmoid", "Tanh", "Softsign", "Mish", "Elu", "Selu", "Exp"):
    unary(f"huge-{operator}", operator, HUGE, 18 if operator == "Mish" else 17)
for operator in ("ReduceLogSumExp", "ReduceLogSum", "ReduceL2", "ReduceSumSquare"):
    unary(f"huge-{operator}", operator, np.abs(HUGE) if operator == "ReduceLogSum" else HUGE, 11, axes=[1])
unary("alpha-Celu", "Celu", EDGES[3:], alpha=0.5)
unary("alpha-Elu", "Elu", EDGES[3:], alpha=0.5)
unary("alpha-Selu", "Selu", EDGES[3:], alpha=0.5, gamma=2.0)
unary("alpha-LeakyRelu", "LeakyRelu", EDGES[3:], alpha=0.3)
unary("alpha-ThresholdedRelu", "ThresholdedRelu", EDGES[3:], alpha=0.3)
unary("alpha-HardSigmoid", "HardSigmoid", EDGES[3:], alpha=0.3, beta=0.1)
unary("alpha-Shrink", "Shrink", EDGES[3:], lambd=0.3, bias=0.1)

# FP16.
HALVES = (RANDOM.random((1, 4, 24, 24)) * 60).astype(np.float16)
for operator in ("GlobalAveragePool", "GlobalMaxPool"):
    unary(f"halves-{operator}", operator, HALVES)
unary("halves-AveragePool", "AveragePool", HALVES, kernel_shape=[12, 12])
unary("halves-MaxPool", "MaxPool", HALVES, kernel_shape=[3, 3])
for operator in ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceMax", "ReduceLogSumExp", "ReduceSumSquare"):
    value = HALVES if operator != "ReduceSumSquare" else (HALVES / 60).astype(np.float16)
    unary(f"halves-{operator}", operator, value, 11, axes=[2, 3])
for operator in ("Relu", "Sigmoid", "Tanh", "Exp", "Sqrt", "Erf", "Softmax", "LogSoftmax", "Softplus", "Elu", "HardSigmoid", "LeakyRelu", "Round", "Floor"):
    unary(f"halves-{operator}", operator, f32(2, 40).astype(np.float16))
for operator in ("MatMul", "Gemm"):
    graph = Graph(f"halves-{operator}")
    left, right = graph.input((f32(3, 4096) * 4).astype(np.float16)), graph.weight(f32(4096, 5).astype(np.float16))
    case(graph.output(graph.add(operator, left, right), F16, 2), rtol=4e-3, atol=0.3)
graph = Graph("halves-Gemm-bias")
inputs = graph.input(f32(3, 16).astype(np.float16)), graph.weight(f32(16, 5).astype(np.float16)), graph.weight(f32(5).astype(np.float16))
case(graph.output(graph.add("Gemm", *inputs, alpha=0.5, beta=2.0), F16, 2), rtol=4e-3, atol=1e-2)
graph = Graph("halves-Conv")
conv = graph.add("Conv", graph.input(HALVES), graph.weight((f32(2, 4, 5, 5) + 1).astype(np.float16)))
case(graph.output(conv, F16, 4), rtol=4e-3, atol=4)
graph = Graph("halves-LayerNormalization")
norm = graph.add("LayerNormalization", graph.input(HALVES), graph.weight(np.ones(24, np.float16)), axis=-1)
case(graph.output(norm, F16, 4), rtol=4e-3, atol=4e-3)
graph = Graph("halves-InstanceNormalization")
one = np.ones(4, np.float16)
norm = graph.add("InstanceNormalization", graph.input(HALVES), graph.weight(one), graph.weight(one))
case(graph.output(norm, F16, 4), rtol=4e-3, atol=4e-3)

# FP64.
for operator in ("Sigmoid", "Tanh", "Exp", "Relu", "Round", "Floor", "LeakyRelu", "HardSwish", "Softmax", "LogSoftmax", "Erf", "Elu", "Softplus", "HardSigmoid", "Sqrt", "Log", "ReduceMean", "ReduceSum"):
    unary(f"double-{operator}", operator, np.abs(RANDOM.standard_normal((3, 5))))

# Recurrent networks.
def recurrent(name, operator, gates, inputs=("x", "w", "r", "b"), open_batch=False, outputs=2, **attributes):
    sequence, batch, size, hidden = 4, 2, 3, 5
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    graph = Graph(f"{operator.lower()}-{name}")
    x = graph.input(f32(sequence, batch, size), ["t", "n", size] if open_batch else None)
    w, r = graph.weight(f32(directions, gates * hidden, size)), graph.weight(f32(directions, gates * hidden, hidden))
    given = [x, w, r]
    given.append(graph.weight(f32(directions, 2 * gates * hidden)) if "b" in inputs else "")
    given.append("")
    given.append(graph.weight(f32(directions, batch, hidden)) if "h" in inputs else "")
    if operator == "LSTM":
        given.append(graph.weight(f32(directions, batch, hidden)) if "c" in inputs else "")
        given.append(graph.weight(f32(directions, 3 * hidden)) if "p" in inputs else "")
    while given[-1] == "":
        given.pop()
    results = graph.add(operator, *given, outputs=outputs, hidden_size=hidden, **attributes)
    for result, rank in zip(results, (4, 3, 3)):
        graph.output(result, F32, rank)
    case(graph, atol=1e-5)


for operator, gates, default in (("LSTM", 4, ["Sigmoid", "Tanh", "Tanh"]), ("GRU", 3, ["Sigmoid", "Tanh"]), ("RNN", 1, ["Tanh"])):
    count = 3 if operator == "LSTM" else 2
    for direction in ("forward", "reverse", "bidirectional"):
        recurrent(direction, operator, gates, direction=direction, outputs=count)
        recurrent(f"{direction}-state", operator, gates, "xwrbh", direction=direction, outputs=count)
        recurrent(f"{direction}-open", operator, gates, open_batch=True, direction=direction, outputs=count)
        times = 2 if direction == "bidirectional" else 1
        recurrent(f"{direction}-relu", operator, gates, direction=direction, activations=(["Relu"] * len(default)) * times)
        recurrent(f"{direction}-default", operator, gates, direction=direction, activations=default * times)
    recurrent("clip", operator, gates, clip=0.3)
    recurrent("leaky", operator, gates, activations=["LeakyRelu"] * len(default), activation_alpha=[0.3] * len(default))
    recurrent("no-bias", operator, gates, "xwr")
    if operator == "LSTM":
        recurrent("forget", operator, gates, input_forget=1)
        recurrent("peephole", operator, gates, "xwrbhcp", outputs=3)
        recurrent("state-c", operator, gates, "xwrbhc", outputs=3)
    if operator == "GRU":
        recurrent("linear", operator, gates, linear_before_reset=1)

# Images.
for mode in ("nearest", "linear", "cubic"):
    for coordinates in ("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"):
        for nearest in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil") if mode == "nearest" else ("floor",):
            # ONNX Runtime rounds the size before it aligns the corners; ONNX's reference does not.
            for scale in (2.0, 3.0) if coordinates == "align_corners" else (1.5, 2.0, 3.0, 0.6):
                graph = Graph(f"resize-{mode}-{coordinates}-{nearest}-{scale}")
                scales = graph.weight(np.float32([1, 1, scale, scale]))
                attributes = {"nearest_mode": nearest} if mode == "nearest" else {}
                resized = graph.add(
                    "Resize", graph.input(f32(1, 2, 4, 5)), "", scales, mode=mode,
                    coordinate_transformation_mode=coordinates, **attributes,
                )
                case(graph.output(resized, F32, 4), atol=1e-5)
for scale in (1.5, 2.0, 3.0):
    graph = Graph(f"resize-10-{scale}", 10)
    case(graph.output(graph.add("Resize", graph.input(f32(1, 2, 4, 5)), graph.weight(np.float32([1, 1, scale, scale])), mode="nearest"), F32, 4))
for pads in ([0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]):
    for extra in ({}, {"output_padding": [1, 1]}, {"output_shape": [8, 9]}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}):
        if "output_shape" in extra and any(pads) or "auto_pad" in extra and any(pads):
            continue
        attributes = {"strides": [2, 2], **extra}
        if not any(key in extra for key in ("output_shape", "auto_pad")):
            attributes["pads"] = pads
        graph = Graph(f"convtranspose-{'-'.join(map(str, pads))}-{next(iter(extra), 'plain')}-{extra.get('auto_pad', '')}")
        result = graph.add("ConvTranspose", graph.input(f32(1, 2, 4, 4)), graph.weight(f32(2, 3, 3, 3)), **attributes)
        case(graph.output(result, F32, 4), atol=1e-5)
for operator in ("MaxPool", "AveragePool"):
    for extra in ({"ceil_mode": 1}, {"auto_pad": "SAME_UPPER"}, {"auto_pad": "SAME_LOWER"}, {"pads": [1, 1, 0, 0]}, {"pads": [1, 1, 1, 1], "ceil_mode": 1}):
        unary(f"{operator.lower()}-{'-'.join(f'{k}{v}' for k, v in extra.items())}", operator, f32(1, 2, 7, 6), kernel_shape=[3, 3], strides=[2, 2], **extra)
unary("averagepool-counted", "AveragePool", f32(1, 2, 7, 6), kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
unary("averagepool-dilated", "AveragePool", f32(1, 2, 7, 6), 19, kernel_shape=[2, 2], dilations=[2, 2])
unary("maxpool-dilated", "MaxPool", f32(1, 2, 7, 6), kernel_shape=[2, 2], dilations=[2, 2])
for extra in ({"group": 2}, {"dilations": [2, 2]}, {"auto_pad": "SAME_LOWER"}, {"strides": [2, 1]}, {"pads": [1, 0, 2, 1]}, {"auto_pad": "VALID"}):
    for kind, shape in (("fixed", None), ("open", ["n", 4, "h", "w"])):
        graph = Graph(f"conv-{'-'.join(f'{k}{v}' for k, v in extra.items())}-{kind}")
        weights = f32(4, 4 // extra.get("group", 1), 3, 3)
        result = graph.add("Conv", graph.input(f32(2, 4, 8, 7), shape), graph.weight(weights), graph.weight(f32(4)), **extra)
        case(graph.output(result, F32, 4), atol=1e-4)
for mode in ("constant", "reflect", "edge", "wrap"):
    for pads in ([0, 1, 0, 2], [0, -1, 0, 1], [1, -1, 0, -1]):
        if mode == "wrap" and min(pads) < 0:
            continue
        graph = Graph(f"pad-{mode}-{'_'.join(map(str, pads))}", 19)
        case(graph.output(graph.add("Pad", graph.input(f32(3, 5)), graph.weight(np.int64(pads)), mode=mode), F32, 2))
graph = Graph("pad-value-list")
case(graph.output(graph.add("Pad", graph.input(f32(3, 5)), graph.weight(np.int64([0, 1, 0, 2])), graph.weight(np.float32([1.5]))), F32, 2))

# Reductions of nothing, and normalizations of a large mean.
for operator in ("ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL2", "ReduceLogSumExp"):
    unary(f"nothing-{operator}", operator, np.zeros((2, 0), np.float32), 11, axes=[1])
graph = Graph("mean-MeanVarianceNormalization")
large = graph.input((f32(1, 2, 3, 3) + 1e4).astype(np.float32))
# FP32 has a thousandth left of ten thousand.
case(graph.output(graph.add("MeanVarianceNormalization", large, axes=[0, 2, 3]), F32, 4), atol=3e-3)
for operator in ("LayerNormalization", "InstanceNormalization"):
    graph = Graph(f"mean-{operator}")
    one = np.ones(2 if operator.startswith("I") else 8, np.float32)
    given = [graph.input((f32(1, 2, 3, 8) + 1e3).astype(np.float32)), graph.weight(one)] + ([graph.weight(one)] if operator.startswith("I") else [])
    case(graph.output(graph.add(operator, *given), F32, 4), rtol=1e-2, atol=1e-2)

# Indices and sizes at their bounds.
graph = Graph("topk-beyond")
names = graph.add("TopK", graph.input(f32(2, 3)), graph.weight(np.int64([3])), outputs=2)
case(graph.output(names[0], F32, 2).output(names[1], I64, 2))
for largest in (0, 1):
    graph = Graph(f"topk-ties-{largest}")
    names = graph.add("TopK", graph.input(np.float32([[1, 3, 3, 1, 2], [2, 2, 2, 2, 2]])), graph.weight(np.int64([3])), outputs=2, largest=largest)
    case(graph.output(names[0], F32, 2).output(names[1], I64, 2))
for operator, indices in (("Gather", np.int64([0, -1, 2])), ("GatherElements", np.int64([[0, -1, 2]])), ("GatherND", np.int64([[-1], [0]]))):
    for kind in ("weight", "input"):
        graph = Graph(f"negative-{operator}-{kind}")
        where = graph.weight(indices) if kind == "weight" else graph.input(indices)
        case(graph.output(graph.add(operator, graph.input(f32(3, 3)), where), F32, 2))
for operator, indices, updates in (("ScatterElements", np.int64([[0, -1, 1]]), f32(1, 3)), ("ScatterND", np.int64([[-1], [0]]), f32(2, 3))):
    for kind in ("weight", "input"):
        graph = Graph(f"negative-{operator}-{kind}")
        where = graph.weight(indices) if kind == "weight" else graph.input(indices)
        case(graph.output(graph.add(operator, graph.input(f32(3, 3)), where, graph.input(updates)), F32, 2))
for indices in ([0, 2, 1], [0, 5, -1], [-3, 3, -4]):
    graph = Graph(f"onehot-{'_'.join(map(str, indices))}")
    hot = graph.add("OneHot", graph.input(np.int64(indices)), graph.weight(np.int64([3])), graph.weight(np.float32([0.5, 2])))
    case(graph.output(hot, F32, 2))
for ends in (512, 2, -1):
    for rows in (3, 1):
        graph = Graph(f"slice-{ends}-{rows}")
        given = [graph.input(f32(2, rows), ["n", "m"]), graph.weight(np.int64([0])), graph.weight(np.int64([ends])), graph.weight(np.int64([1]))]
        case(graph.output(graph.add("Slice", *given), F32, 2))
for axis in (0, 1):
    graph = Graph(f"flip-{axis}")
    minimum = -(2**63) + 1
    given = [graph.input(f32(3, 5), ["n", 5]), graph.weight(np.int64([-1])), graph.weight(np.int64([minimum])), graph.weight(np.int64([axis])), graph.weight(np.int64([-1]))]
    case(graph.output(graph.add("Slice", *given), F32, 2))

# Operators that exporters for ONNX Runtime write.
for operator, count in (("BiasGelu", 2), ("FastGelu", 1), ("FastGelu", 2), ("Gelu", 1), ("QuickGelu", 1)):
    graph = Graph(f"microsoft-{operator}-{count}", domains=[("com.microsoft", 1)])
    given = [graph.input(f32(2, 3, 8)), graph.weight(f32(8))][:count]
    case(graph.output(graph.add(operator, *given, domain="com.microsoft"), F32, 3), atol=2e-3)
for count in (3, 4, 5):
    graph = Graph(f"microsoft-SkipLayerNormalization-{count}", domains=[("com.microsoft", 1)])
    given = [graph.input(f32(2, 3, 8)), graph.input(f32(2, 3, 8)), graph.weight(f32(8)), graph.weight(f32(8)), graph.weight(f32(8))]
    names = graph.add("SkipLayerNormalization", *given[:count], domain="com.microsoft", outputs=1, epsilon=1e-5)
    case(graph.output(names, F32, 3), atol=1e-5)

# Slices of a known number of elements, of which an operator needs to know it.
for ends in (1, 5):
    graph = Graph(f"slice-known-{ends}")
    given = [graph.input(f32(2, 7, 3), ["n", "m", 3])] + [graph.weight(np.int64([value])) for value in (0, ends, 1)]
    cut = graph.add("Slice", *given)
    flat = graph.add("Reshape", cut, graph.weight(np.int64([-1, 3 * ends])))
    case(graph.output(flat, F32, 2))

# What PyTorch writes for every expand to a shape that varies.
graph = Graph("expand-varying", 13)
x = graph.input(f32(3, 4), ["n", 4])
size = graph.add("Gather", graph.add("Shape", x), graph.weight(np.int64([0])), axis=0)
shape = graph.add("Concat", size, graph.weight(np.int64([4])), axis=0)
ones = graph.add("ConstantOfShape", graph.weight(np.int64([2])), value=numpy_helper.from_array(np.int64([1])))
minus = graph.add("Mul", ones, graph.weight(np.int64(-1)))
wanted = graph.add("Where", graph.add("Equal", shape, minus), ones, shape)
case(graph.output(graph.add("Expand", graph.weight(f32(1, 4)), wanted), F32, 2))

# A dimension that is a sum of another.
graph = Graph("dimension-sum")
past, mask = graph.input(f32(2, 3), [2, "past"]), graph.input(f32(2, 4), [2, "past + 1"])
longer = graph.add("Concat", past, graph.input(f32(2, 1)), axis=1)
case(graph.output(graph.add("Add", longer, mask), F32, 2))

graph = Graph("log-of-logsoftmax")
case(graph.output(graph.add("Exp", graph.add("LogSoftmax", graph.input(f32(2, 3)))), F32, 2))

# Graphs of few or no nodes.
graph = Graph("input-as-output")
x = graph.input(f32(2, 2))
case(graph.output(x, F32, 2).output(graph.add("Neg", x), F32, 2))
graph = Graph("constant-output")
x = graph.input(f32(2, 2))
case(graph.output(graph.add("Neg", x), F32, 2).output(graph.add("Identity", graph.weight(np.float32([1, 2]))), F32, 1))
graph = Graph("output-twice")
y = graph.add("Neg", graph.input(f32(2, 2)))
case(graph.output(y, F32, 2).output(graph.add("Identity", y), F32, 2))


# Names of dimensions.
for dimension in ("batch-size", "past_seq + seq", "2*seq", "-1", "N,", "unk__1", "?", "", "a" * 330, "7", "(n", "n/2", "floor(n)"):
    graph = Graph(f"dimension-name-{len(CASES)}")
    case(graph.output(graph.add("Relu", graph.input(f32(2, 3), [dimension, 3])), F32, 2))


def write(target, graph, rtol, atol):
    model = graph.model()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in model.graph.input]
    results = session.run(None, dict(zip(names, graph.values, strict=True)))
    folder = target / graph.name
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    outputs = [output.name for output in model.graph.output]
    for file, values, names in (("inputs.onnx", graph.values, names), ("outputs.onnx", results, outputs)):
        tensors = [numpy_helper.from_array(np.asarray(value), name) for value, name in zip(values, names, strict=True)]
        held = helper.make_model(helper.make_graph([], "tensors", [], [], tensors))
        (folder / file).write_bytes(held.SerializeToString())
    facts = {"operator": graph.name, "rtol": rtol, "atol": atol}
    (folder / "case.json").write_text(json.dumps(facts))


def main(target):
    failed = 0
    for graph, rtol, atol in CASES:
        try:
            write(target, graph, rtol, atol)
        except Exception as error:  # ONNX Runtime refuses what it does not implement.
            failed += 1
            print(f"{graph.name}: {str(error)[:160]}", file=sys.stderr)
    print(f"{len(CASES) - failed} graphs, {failed} have no result of ONNX Runtime")


main(Path(sys.argv[1]))
