"""Writes scikit-learn's estimators, fitted and converted, into a folder: `estimator_cases.py DIR`.

Every classifier, regressor and transformer that `skl2onnx` converts is fitted on one of scikit-learn's own tables. The
expected outputs are ONNX Runtime's. The layout of a case is that of `node_cases.py`.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.utils import all_estimators

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(4)

TABLES = {
    "classifier": {"three": load_iris(), "two": load_breast_cancer()},
    "regressor": {"": load_diabetes()},
    "transformer": {"": load_iris()},
}

# The last components of its result are differences of large numbers, in ONNX Runtime too.
LEFT_OUT = {"KernelPCA"}


def fitted(estimator, rows, table):
    estimator = estimator()
    parameters = estimator.get_params()
    if "random_state" in parameters:
        estimator.set_params(random_state=0)
    if "n_estimators" in parameters:
        estimator.set_params(n_estimators=8)
    return estimator.fit(rows, table.target)


def tensors(names, values):
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in zip(names, values, strict=True)]
    return helper.make_model(helper.make_graph([], "tensors", [], [], held)).SerializeToString()


def write(folder, model, rows):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0].name
    results = session.run(None, {given: rows})
    if not all(isinstance(result, np.ndarray) for result in results):
        return False
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "inputs.onnx").write_bytes(tensors([given], [rows]))
    (folder / "outputs.onnx").write_bytes(tensors([output.name for output in session.get_outputs()], results))
    (folder / "case.json").write_text(json.dumps({"operator": folder.name, "rtol": 1e-3, "atol": 1e-4}))
    return True


def main(target):
    written = left_out = 0
    for kind, tables in TABLES.items():
        for name, estimator in all_estimators(type_filter=kind):
            for label, table in tables.items():
                rows = table.data.astype(np.float32)
                try:
                    fit = fitted(estimator, rows, table)
                    options = {id(fit): {"zipmap": False}} if kind == "classifier" else None
                    model = to_onnx(fit, rows[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
                    made = name not in LEFT_OUT and write(target / f"{name}-{label}".rstrip("-"), model, rows[:120:3])
                except Exception:  # It needs parameters or other data, or is not converted.
                    made = False
                written, left_out = written + made, left_out + (not made)
    print(f"{written} estimators; {left_out} are not converted, or give no tensors")


main(Path(sys.argv[1]))
