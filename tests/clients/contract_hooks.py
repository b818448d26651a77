"""What schemathesis cannot know of the host in tests/system/contract.rs: requests that its models answer.

They are sent beside what it makes up from the document, and their answers are held to the document like all others.
"""

import base64
import os
from pathlib import Path

import schemathesis

schemathesis.serializer.alias("application/x-tar", "application/octet-stream")

PICTURE = Path(os.environ["PICTURE"]).read_bytes()


def tensor(datatype, data, shape=None, **more):
    return {"name": "input", "datatype": datatype, "shape": shape or [len(data)], "data": data, **more}


def inputs(*args, **more):
    return {"inputs": [tensor(*args)], **more}


INFER = [
    ("fp32", inputs("FP32", [1.5, -2.0])),
    ("fp32", inputs("FP32", [], [0], id="")),
    ("fp32", inputs("FP32", [[1.0], [0.5]], [2], id="nested", parameters={"flag": True, "share": 0.5, "text": "x"})),
    ("fp32", inputs("FP32", [0.1, 0.9], outputs=[{"name": "output", "parameters": {"classification": 1}}])),
    ("fp32", inputs("FP32", [0.1, 0.9], parameters={"binary_data_output": True})),
    ("int64", inputs("INT64", [-(2**63), 2**63 - 1], outputs=[{"name": "output", "parameters": {"binary_data": True}}])),
    ("bool", inputs("BOOL", [True, False])),
    ("bytes", inputs("BYTES", ["", "Gr\u00fc\u00dfe \U0001f600"])),
]
GENERATE = [("fp32", {"input": [1, 2]}), ("bytes", {"id": "7", "input": "text"}), ("bool", {"input": [True]})]
PREDICT = [
    ("fp32", {"instances": [1.0, 2.0]}),
    ("fp32", {"signature_name": "serving_default", "inputs": {"input": [1.0]}}),
    ("bytes", {"instances": [{"b64": "YQ=="}, "b"]}),
    ("digits", {"instances": [{"b64": base64.b64encode(PICTURE).decode()}]}),
]
EXAMPLES = [("fp32", {"examples": [{"input": 1.0}, {"input": 2.0}]})]
EXAMPLES_OF_ROWS = [("rows", {"examples": [{"input": [0.25, 0.75]}]})]

JSON, BINARY = "application/json", "application/octet-stream"
LENGTH = "inference-header-content-length"

REQUESTS = {
    "infer": [(model, body, JSON, {}) for model, body in INFER]
    + [
        ("fp32", bytes(8), BINARY, {LENGTH: "0"}),
        ("digits", PICTURE, BINARY, {}),
    ],
    "generate": [(model, body, JSON, {}) for model, body in GENERATE],
    "generate_stream": [(model, body, JSON, {}) for model, body in GENERATE],
    "tf_predict": [(model, body, JSON, {}) for model, body in PREDICT],
    "tf_regress": [(model, body, JSON, {}) for model, body in EXAMPLES],
    "tf_classify": [(model, body, JSON, {}) for model, body in EXAMPLES_OF_ROWS],
}


@schemathesis.hook
def before_add_examples(context, examples):
    operation = context.operation
    name, _, variant = operation.definition.raw["operationId"].partition("_of_")
    chosen = {"version": {"version": "1" if name.startswith("tf_") else "1.0.0"}}.get(variant, {})
    for model, body, kind, headers in REQUESTS.get(name, []) if variant in ("", "version") else []:
        examples.append(
            operation.Case(
                path_parameters={"model": model, **chosen}, body=body, media_type=kind, headers=headers
            )
        )


@schemathesis.hook
def before_call(context, case, kwargs):
    """With this header a body of JSON is something else: then the case is not the one that it is meant to be."""
    length = str((case.headers or {}).get(LENGTH, ""))
    if case.media_type == JSON and length.isdigit():
        del case.headers[LENGTH]
