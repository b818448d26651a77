"""Drives a host with TensorFlow Serving's own messages over gRPC; asserts, and says what it did.

Wants the models identity-DATATYPE (shape [-1, -1]), versioned (1.0.0, 1.9.0, 2.0.0) and broken (1.0.0); with --label, only
the model echo (FP32, shape [-1]) with this label on its version 1.
"""

import argparse

import grpc
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

# Of each datatype: TensorFlow's, the list that carries it, values, numpy's name.
DATATYPES = {
    "BOOL": (types_pb2.DT_BOOL, "bool_val", [True, False], np.bool_),
    "UINT8": (types_pb2.DT_UINT8, "int_val", [0, 255], np.uint8),
    "UINT16": (types_pb2.DT_UINT16, "int_val", [0, 65535], np.uint16),
    "UINT32": (types_pb2.DT_UINT32, "uint32_val", [0, 2**32 - 1], np.uint32),
    "UINT64": (types_pb2.DT_UINT64, "uint64_val", [0, 2**64 - 1], np.uint64),
    "INT8": (types_pb2.DT_INT8, "int_val", [-128, 127], np.int8),
    "INT16": (types_pb2.DT_INT16, "int_val", [-32768, 32767], np.int16),
    "INT32": (types_pb2.DT_INT32, "int_val", [-(2**31), 2**31 - 1], np.int32),
    "INT64": (types_pb2.DT_INT64, "int64_val", [-(2**63), 2**63 - 1], np.int64),
    "FP16": (types_pb2.DT_HALF, "half_val", [0xC000, 0x3800], np.uint16),
    "BF16": (types_pb2.DT_BFLOAT16, "half_val", [0xBF80, 0x4380], np.uint16),
    "FP32": (types_pb2.DT_FLOAT, "float_val", [-1.5, float("inf")], np.float32),
    "FP64": (types_pb2.DT_DOUBLE, "double_val", [2.5e-308, 1.0], np.float64),
    "BYTES": (types_pb2.DT_STRING, "string_val", [b"", b"\xff\x00 bytes"], None),
}


def tensor(datatype, values, shape=(1, 2), content=False):
    number, name, _, kind = DATATYPES[datatype]
    proto = tensor_pb2.TensorProto(dtype=number)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    if content:
        proto.tensor_content = np.array(values, dtype=kind).tobytes()
    else:
        getattr(proto, name).extend(values)
    return proto


def request(model, proto=None, name="input"):
    wanted = predict_pb2.PredictRequest()
    wanted.model_spec.name = model
    if proto is not None:
        wanted.inputs[name].CopyFrom(proto)
    return wanted


def failed(call, code, *parts):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code().name == code, error
        for part in parts:
            assert part in error.details(), f"{part!r} is not in {error.details()!r}"
        return
    raise AssertionError(f"not failed; wanted {code} {parts}")


def every_datatype_typed_and_as_content(predict):
    for datatype, (number, name, values, kind) in DATATYPES.items():
        for content in (False, True):
            if content and kind is None:
                continue
            wanted = request(f"identity-{datatype.lower()}", tensor(datatype, values, content=content))
            wanted.model_spec.signature_name = "serving_default"
            reply = predict(wanted)
            output = reply.outputs["output"]
            assert output.dtype == number and [dim.size for dim in output.tensor_shape.dim] == [1, 2], output
            assert list(getattr(output, name)) == values, (datatype, output)
            assert reply.model_spec.signature_name == "serving_default" and reply.model_spec.version.value == 1


def short_lists_repeat_their_last_value(predict):
    reply = predict(request("identity-fp32", tensor("FP32", [1.0, 2.0], shape=(2, 3))))
    assert list(reply.outputs["output"].float_val) == [1, 2, 2, 2, 2, 2]
    reply = predict(request("identity-bytes", tensor("BYTES", [b"a"], shape=(1, 3))))
    assert list(reply.outputs["output"].string_val) == [b"a"] * 3
    reply = predict(request("identity-int8", tensor("INT8", [], shape=(1, 2))))
    assert list(reply.outputs["output"].int_val) == [0, 0]


def versions_signatures_and_filters(predict):
    def of(version=None, label=None, signature="", outputs=()):
        wanted = request("versioned", tensor("FP32", [1.0, 2.0]))
        if version is not None:
            wanted.model_spec.version.value = version
        if label is not None:
            wanted.model_spec.version_label = label
        wanted.model_spec.signature_name = signature
        wanted.output_filter.extend(outputs)
        return wanted

    assert predict(of()).model_spec.version.value == 2
    assert predict(of(version=1)).model_spec.version.value == 1
    assert predict(of(outputs=["output"])).outputs["output"].float_val[1] == 2
    failed(lambda: predict(of(version=7)), "NOT_FOUND", 'has no version or label "7"')
    failed(lambda: predict(of(label="nightly")), "NOT_FOUND", '"nightly"')
    failed(
        lambda: predict(of(signature="other")),
        "INVALID_ARGUMENT",
        'Serving signature name: "other" not found in signature def',
    )
    failed(lambda: predict(of(outputs=["other"])), "INVALID_ARGUMENT", 'no output "other"')


def wrong_requests(predict):
    failed(lambda: predict(request("none", tensor("FP32", [1.0]))), "NOT_FOUND", 'there is no model "none"')
    failed(lambda: predict(request("identity-fp32")), "INVALID_ARGUMENT", 'tensor "input" is missing')
    failed(lambda: predict(request("identity-fp32", tensor("FP32", [1, 2]), "x")), "INVALID_ARGUMENT", "missing")
    failed(lambda: predict(request("identity-fp32", tensor("INT8", [1, 2]))), "INVALID_ARGUMENT", "FP32 is wanted")
    failed(lambda: predict(request("identity-fp32", tensor("FP32", [1, 2, 3]))), "INVALID_ARGUMENT", "hold more")
    failed(lambda: predict(request("identity-int8", tensor("INT8", [300]))), "INVALID_ARGUMENT", "does not fit INT8")
    huge = tensor("FP32", [1.0], shape=(2**31, 2**20))
    failed(lambda: predict(request("identity-fp32", huge)), "INVALID_ARGUMENT", "repeated beyond")
    complex_numbers = tensor_pb2.TensorProto(dtype=types_pb2.DT_COMPLEX64)
    failed(lambda: predict(request("identity-fp32", complex_numbers)), "INVALID_ARGUMENT", "DT_COMPLEX64")
    unknown = tensor("FP32", [1.0])
    unknown.tensor_shape.unknown_rank = True
    failed(lambda: predict(request("identity-fp32", unknown)), "INVALID_ARGUMENT", "unknown rank")


def metadata(stub):
    wanted = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    wanted.model_spec.name = "identity-bytes"
    reply = stub.GetModelMetadata(wanted)
    assert reply.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert reply.metadata["signature_def"].Unpack(signatures)
    signature = signatures.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    info = signature.inputs["input"]
    assert info.dtype == types_pb2.DT_STRING and [dim.size for dim in info.tensor_shape.dim] == [-1, -1], info
    assert signature.outputs["output"].dtype == types_pb2.DT_STRING
    wanted.metadata_field[0] = "other"
    failed(lambda: stub.GetModelMetadata(wanted), "INVALID_ARGUMENT", "Metadata field other is not supported")
    wanted.ClearField("metadata_field")
    failed(lambda: stub.GetModelMetadata(wanted), "INVALID_ARGUMENT", "at least one metadata_field")


def status(stub):
    wanted = get_model_status_pb2.GetModelStatusRequest()
    wanted.model_spec.name = "versioned"
    states = get_model_status_pb2.ModelVersionStatus
    known = [(version.version, version.state) for version in stub.GetModelStatus(wanted).model_version_status]
    assert known == [(2, states.AVAILABLE), (1, states.AVAILABLE)], known
    wanted.model_spec.version.value = 1
    (only,) = stub.GetModelStatus(wanted).model_version_status
    assert (only.version, only.state, only.status.error_code) == (1, states.AVAILABLE, 0)
    wanted.model_spec.version.value = 9
    failed(lambda: stub.GetModelStatus(wanted), "NOT_FOUND", 'no version or label "9"')
    wanted = get_model_status_pb2.GetModelStatusRequest()
    wanted.model_spec.name = "broken"
    (broken,) = stub.GetModelStatus(wanted).model_version_status
    assert broken.state == states.END and broken.status.error_code and broken.status.error_message, broken
    wanted.model_spec.name = "none"
    failed(lambda: stub.GetModelStatus(wanted), "NOT_FOUND", 'there is no model "none"')


def examples_are_refused_in_words(stub):
    for call, wanted in [
        (stub.Classify, classification_pb2.ClassificationRequest()),
        (stub.Regress, regression_pb2.RegressionRequest()),
        (stub.MultiInference, inference_pb2.MultiInferenceRequest()),
    ]:
        failed(lambda: call(wanted), "UNIMPLEMENTED", "call Predict with tensors")


def a_label_is_a_version(stub, models, label):
    wanted = request("echo", tensor("FP32", [1.5, 2.5], shape=(2,)))
    wanted.model_spec.version_label = label
    reply = stub.Predict(wanted)
    assert reply.model_spec.version.value == 1 and list(reply.outputs["output"].float_val) == [1.5, 2.5], reply
    described = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    described.model_spec.CopyFrom(wanted.model_spec)
    assert stub.GetModelMetadata(described).model_spec.version.value == 1
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.CopyFrom(wanted.model_spec)
    (only,) = models.GetModelStatus(asked).model_version_status
    assert only.version == 1, only
    wanted.model_spec.version_label = "other"
    failed(lambda: stub.Predict(wanted), "NOT_FOUND", 'no version or label "other"')


def messages_may_be_packed(stub):
    wanted = request("identity-fp32", tensor("FP32", [1.0] * 10_000, shape=(100, 100)))
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        assert sum(stub.Predict(wanted, compression=compression, timeout=30).outputs["output"].float_val) == 10_000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--label")
    arguments = parser.parse_args()
    channel = grpc.insecure_channel(arguments.url)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    if arguments.label:
        a_label_is_a_version(stub, model_service_pb2_grpc.ModelServiceStub(channel), arguments.label)
        return
    for check, argument in [
        (every_datatype_typed_and_as_content, stub.Predict),
        (short_lists_repeat_their_last_value, stub.Predict),
        (versions_signatures_and_filters, stub.Predict),
        (wrong_requests, stub.Predict),
        (metadata, stub),
        (status, model_service_pb2_grpc.ModelServiceStub(channel)),
        (examples_are_refused_in_words, stub),
        (messages_may_be_packed, stub),
    ]:
        print(check.__name__, flush=True)
        check(argument)


main()
