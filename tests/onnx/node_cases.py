"""Writes ONNX's own operator tests into a folder: `node_cases.py DIR`.

Each test becomes a folder with `model.onnx`, with `inputs.onnx` and `outputs.onnx`, which are graphs without nodes whose
weights are the tensors, and with `case.json`, which has its tolerances and the operator that it is for. A test that takes parameters such as a shape or axes as
inputs is written a second time, with all inputs but the first as weights of the graph, as exporters write them.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

warnings.filterwarnings("ignore")


def tensor(value, name):
    """The value as a TensorProto, or None if it is a sequence, a map or missing."""
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if not isinstance(value, (np.ndarray, np.generic)):
        return None
    return numpy_helper.from_array(np.asarray(value), name)


def tensors(values, names):
    """A graph that holds the tensors, or None if one is not a tensor."""
    made = [tensor(value, name) for value, name in zip(values, names, strict=True)]
    if None in made:
        return None
    return helper.make_model(helper.make_graph([], "tensors", [], [], made)).SerializeToString()


def write(folder, case, model, inputs, outputs, operator):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "inputs.onnx").write_bytes(inputs)
    (folder / "outputs.onnx").write_bytes(outputs)
    facts = {"operator": operator, "rtol": case.rtol, "atol": case.atol}
    (folder / "case.json").write_text(json.dumps(facts))


def with_weights(model, values, names):
    """The model with these inputs as weights."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for value, name in zip(values, names, strict=True):
        model.graph.initializer.append(tensor(value, name))
    kept = [value for value in model.graph.input if value.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def main(target):
    np.random.seed(0)
    from onnx.backend.test.case.node import collect_testcases

    cases = collect_testcases(None)
    operators = {}
    for case in cases:
        if "_expanded" not in case.name:
            operators[case.name] = next((node.op_type for node in case.model.graph.node), "none")
    left_out = 0
    for case in cases:
        base = case.name.split("_expanded")[0]
        operator = operators.get(base, case.model.graph.node[0].op_type if case.model.graph.node else "none")
        names = [value.name for value in case.model.graph.input]
        results = [value.name for value in case.model.graph.output]
        for at, (inputs, outputs) in enumerate(case.data_sets):
            given, wanted = tensors(inputs, names), tensors(outputs, results)
            if given is None or wanted is None:
                left_out += 1
                continue
            folder = target / (case.name if at == 0 else f"{case.name}-{at}")
            write(folder, case, case.model, given, wanted, operator)
            if len(names) > 1:
                fixed = with_weights(case.model, inputs[1:], names[1:])
                given = tensors(inputs[:1], names[:1])
                write(target / f"{folder.name}.weights", case, fixed, given, wanted, operator)
    print(f"{len(cases)} tests; {left_out} have values that are no tensors")


main(Path(sys.argv[1]))
