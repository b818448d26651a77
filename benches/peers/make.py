"""Makes mlp.onnx beside this file: `pip install onnx==1.23.2 numpy && python make.py`."""

from pathlib import Path

import numpy
from onnx import TensorProto, helper, numpy_helper, save

HERE = Path(__file__).parent
FEATURES, HIDDEN = 16, 64

random = numpy.random.default_rng(1)


def weights(name, inputs, outputs):
    values = random.standard_normal((inputs, outputs)) / numpy.sqrt(inputs)
    return numpy_helper.from_array(values.astype(numpy.float32), name)


graph = helper.make_graph(
    [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ],
    "mlp",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", FEATURES])],
    [weights("w1", FEATURES, HIDDEN), weights("w2", HIDDEN, FEATURES)],
)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), HERE / "mlp.onnx")
