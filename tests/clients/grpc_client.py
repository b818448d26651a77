"""Drives a host over gRPC with plain stubs, and with the streams of tritonclient; asserts, and says what it did.

Wants the models identity-DATATYPE (shape [-1]), versioned (1.0.0, 1.9.0, 1.10.0), fail-internal and sleep.
"""

import argparse
import queue
import struct
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as triton
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_calls import DATATYPES, model, tensor
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

# The list that carries elements of a datatype typed.
CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def every_datatype_typed(stub):
    for datatype, (kind, values) in DATATYPES.items():
        contents = CONTENTS.get(datatype)
        request = pb.ModelInferRequest(model_name=model(datatype), id="typed")
        given = request.inputs.add(name="input", datatype=datatype, shape=[2])
        if contents is None:
            given.contents.fp32_contents.extend(values)
            failed(lambda: stub.ModelInfer(request), "INVALID_ARGUMENT", "send it in raw_input_contents")
            continue
        getattr(given.contents, contents).extend(values)
        reply = stub.ModelInfer(request)
        assert reply.id == "typed" and reply.model_version == "1.0.0"
        if datatype == "BYTES":
            want = b"".join(struct.pack("<I", len(value)) + value for value in values)
        else:
            want = np.array(values, dtype=kind).tobytes()
        assert reply.raw_output_contents[0] == want, (datatype, reply)
        assert list(reply.outputs[0].shape) == [2] and not reply.outputs[0].HasField("contents")


def failed(call, code, *parts):
    """The status of a call of plain stubs that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code().name == code, error
        for part in parts:
            assert part in error.details(), f"{part!r} is not in {error.details()!r}"
        return error
    raise AssertionError(f"not failed; wanted {code} {parts}")


def wrong_contents(stub):
    def request(datatype="INT8", shape=(2,), raw=(), **contents):
        wrong = pb.ModelInferRequest(model_name=model(datatype), raw_input_contents=raw)
        given = wrong.inputs.add(name="input", datatype=datatype, shape=shape)
        for name, values in contents.items():
            getattr(given.contents, name).extend(values)
        return wrong

    for wrong, text in [
        (request(int_contents=[1, 300]), "element 1 is 300, and does not fit INT8"),
        (request(int_contents=[1]), "the shape has 2 elements, and the contents hold 1"),
        (request(int_contents=[1, 2, 3]), "the contents hold more"),
        (request(uint_contents=[1, 2]), "elements of INT8 belong in int_contents"),
        (request(raw=[b"ab"], int_contents=[1, 2]), "contents must not be specified beside raw_input_contents"),
        (request(raw=[b"ab", b"cd"]), "there are 1 inputs and 2 raw_input_contents"),
        (request(raw=[b"abc"]), "has 3 bytes of data, and INT8 of shape [2] needs 2"),
        (request(), "neither contents nor raw_input_contents"),
        (request(shape=[-1], int_contents=[1, 2]), "dimension of -1"),
        (request(shape=[2**62, 2**62], int_contents=[1, 2]), "multiply to over 2^63"),
        (request("BYTES", raw=[b"\xff\xff\xff\xffab"]), "is truncated"),
        (request("FP32", shape=[2**40], fp32_contents=[1]), "the contents hold 1"),
    ]:
        failed(lambda: stub.ModelInfer(wrong), "INVALID_ARGUMENT", text)
    wrong = request(raw=[b"ab"])
    wrong.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    failed(lambda: stub.ModelInfer(wrong), "UNIMPLEMENTED", "shared memory")
    wrong = request(raw=[b"ab"])
    wrong.outputs.add(name="other")
    failed(lambda: stub.ModelInfer(wrong), "INVALID_ARGUMENT", 'no output "other"; the model gives: "output"')
    wrong.outputs[0].name = "output"
    wrong.outputs[0].parameters["classification"].int64_param = -1
    failed(lambda: stub.ModelInfer(wrong), "INVALID_ARGUMENT", "classification must be")


def malformed_messages(channel):
    """Bytes that are no message, and messages that are all overhead, are refused before they cost anything."""
    infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    failed(lambda: infer(b"\xff\xff\xff"), "INVALID_ARGUMENT", "the message is not an inference request")
    failed(lambda: infer(b"\x2a\x00" * 100_000), "INVALID_ARGUMENT", "more than 4096 fields")
    failed(lambda: infer(b"\x2a\xff\xff\xff\xff\x0f"), "INVALID_ARGUMENT", "ends before")
    ready = channel.unary_unary("/inference.GRPCInferenceService/ModelReady")
    failed(lambda: ready(b"\x0a\xff"), "INVALID_ARGUMENT")
    failed(lambda: ready(b"\x0a\x00" * 100_000), "RESOURCE_EXHAUSTED", "more than 64.0 KiB")
    missing = channel.unary_unary("/inference.GRPCInferenceService/NoSuchCall")
    failed(lambda: missing(b""), "UNIMPLEMENTED", "no such endpoint")


def errors_are_ours(stub):
    error = failed(lambda: stub.ModelInfer(pb.ModelInferRequest(model_name="none")), "NOT_FOUND")
    metadata = dict(error.trailing_metadata())
    assert metadata["bulkhead-code"] == "unknown_model" and metadata["x-request-id"], metadata
    call = stub.ServerLive.with_call(pb.ServerLiveRequest(), metadata=[("x-request-id", "my-request")])[1]
    assert dict(call.initial_metadata())["x-request-id"] == "my-request"


def streams_keep_their_order_and_survive_errors(client):
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for number in range(100):
        name = "none" if number % 10 == 9 else model("INT32")
        client.async_stream_infer(
            name, [tensor("INT32", [number])], request_id=str(number), enable_empty_final_response=True
        )
    for number in range(100):
        result, error = answers.get(timeout=30)
        if number % 10 == 9:
            assert result is None and 'there is no model "none"' in error.message(), error
            continue
        assert error is None, error
        assert result.get_response().id == str(number), (number, result.get_response().id)
        assert result.as_numpy("output")[0] == number
        assert result.get_response().parameters["triton_final_response"].bool_param
    client.stop_stream()


def a_stream_with_statuses_ends_with_one(stub):
    good = pb.ModelInferRequest(model_name=model("INT8"), raw_input_contents=[b"a"])
    good.inputs.add(name="input", datatype="INT8", shape=[1])
    wrong = pb.ModelInferRequest(model_name="none", id="w")
    answers = list(stub.ModelStreamInfer(iter([wrong, good])))
    assert [bool(answer.error_message) for answer in answers] == [True, False], answers
    assert answers[0].infer_response.id == "w"
    call = stub.ModelStreamInfer(iter([good, wrong, good]), metadata=[("triton_grpc_error", "true")])
    assert not next(call).error_message
    failed(lambda: next(call), "NOT_FOUND", 'there is no model "none"')


def messages_are_bounded_packed_and_unpacked(url):
    with grpc.insecure_channel(url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        # A message that unpacks to more than http.request-bytes of this host, 8 MiB.
        bomb = b"\x0a" + b"\x80\x80\x80\x08" + bytes(16 << 20)
        failed(lambda: infer(bomb, compression=grpc.Compression.Gzip), "RESOURCE_EXHAUSTED", "request-bytes")
        failed(lambda: infer(bytes(9 << 20)), "RESOURCE_EXHAUSTED", "request-bytes")


def who_leaves_takes_the_work_along(stub):
    # A client that leaves.
    request = pb.ModelInferRequest(model_name="sleep", raw_input_contents=[bytes(4)])
    request.inputs.add(name="x", datatype="FP32", shape=[1])
    call = stub.ModelInfer.future(request)
    time.sleep(0.3)
    call.cancel()
    # One that leaves a stream.
    stream = stub.ModelStreamInfer(iter([request]))
    threading.Timer(0.3, stream.cancel).start()
    failed(lambda: next(stream), "CANCELLED")


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ("", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == serving, service
    failed(lambda: stub.Check(health_pb2.HealthCheckRequest(service="other")), "NOT_FOUND")
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == serving
    watch.cancel()
    unknown = stub.Watch(health_pb2.HealthCheckRequest(service="other"))
    assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    unknown.cancel()


def reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services, services
    pool = DescriptorPool(database)
    calls = pool.FindServiceByName("inference.GRPCInferenceService").methods_by_name
    assert "ModelInfer" in calls and "ModelStreamInfer" in calls, calls.keys()
    assert pool.FindServiceByName("tensorflow.serving.PredictionService").methods_by_name["Predict"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    url = parser.parse_args().url
    client = triton.InferenceServerClient(url)
    channel = grpc.insecure_channel(url, options=[("grpc.max_receive_message_length", -1)])
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    for check, arguments in [
        (every_datatype_typed, [stub]),
        (wrong_contents, [stub]),
        (malformed_messages, [channel]),
        (errors_are_ours, [stub]),
        (streams_keep_their_order_and_survive_errors, [client]),
        (a_stream_with_statuses_ends_with_one, [stub]),
        (messages_are_bounded_packed_and_unpacked, [url]),
        (who_leaves_takes_the_work_along, [stub]),
        (health, [channel]),
        (reflection, [channel]),
    ]:
        print(check.__name__, flush=True)
        check(*arguments)


main()
