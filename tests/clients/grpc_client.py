"""Drives a host over gRPC with tritonclient and plain stubs; asserts, and says what it did.

Wants the models identity-DATATYPE (shape [-1]), versioned (1.0.0, 1.9.0, 1.10.0), fail-internal and sleep.
"""

import argparse
import asyncio
import os
import queue
import struct
import threading
import time

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

OPERATOR = {"authorization": "Bearer " + os.environ["BULKHEAD_KEY"]}

# Of each datatype: numpy's name, values at the edges of its range, the list that carries it typed.
DATATYPES = {
    "BOOL": (np.bool_, [True, False], "bool_contents"),
    "UINT8": (np.uint8, [0, 255], "uint_contents"),
    "UINT16": (np.uint16, [0, 65535], "uint_contents"),
    "UINT32": (np.uint32, [0, 2**32 - 1], "uint_contents"),
    "UINT64": (np.uint64, [0, 2**64 - 1], "uint64_contents"),
    "INT8": (np.int8, [-128, 127], "int_contents"),
    "INT16": (np.int16, [-32768, 32767], "int_contents"),
    "INT32": (np.int32, [-(2**31), 2**31 - 1], "int_contents"),
    "INT64": (np.int64, [-(2**63), 2**63 - 1], "int64_contents"),
    "FP16": (np.float16, [-65504.0, 0.5], None),
    "BF16": (ml_dtypes.bfloat16, [-1.0, 256.0], None),
    "FP32": (np.float32, [-1.5, np.inf], "fp32_contents"),
    "FP64": (np.float64, [2.5e-308, np.nan], "fp64_contents"),
    "BYTES": (np.object_, [b"", b"\xff\x00 any bytes"], "bytes_contents"),
}


def model(datatype):
    return f"identity-{datatype.lower()}"


def tensor(datatype, values):
    """An input, filled as tritonclient does it: raw."""
    array = np.array(values, dtype=DATATYPES[datatype][0])
    given = triton.InferInput("input", list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


def refused(call, *parts, code=None):
    """The exception of a call that must fail, with all of these in its message."""
    try:
        call()
    except InferenceServerException as error:
        for part in parts:
            assert part in error.message(), f"{part!r} is not in {error.message()!r}"
        assert code is None or error.status() == f"StatusCode.{code}", (error.status(), error.message())
        return error
    raise AssertionError(f"not refused; wanted {parts}")


def every_datatype_raw(client):
    for datatype, (kind, values, _) in DATATYPES.items():
        for given in (values, values[:0], values * 500):
            result = client.infer(model(datatype), [tensor(datatype, given)])
            got = result.as_numpy("output")
            assert result.get_output("output").datatype == datatype
            assert got.shape == (len(given),), (datatype, got.shape)
            if datatype == "BYTES":
                assert list(got) == given, (datatype, got)
            else:
                want = np.array(given, dtype=kind)
                assert got.astype(kind).tobytes() == want.tobytes(), (datatype, got, want)


def every_datatype_typed(stub):
    for datatype, (kind, values, contents) in DATATYPES.items():
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
        (request(uint_contents=[1, 2]), "elements of INT8 stand in int_contents"),
        (request(raw=[b"ab"], int_contents=[1, 2]), "contents must not be specified beside raw_input_contents"),
        (request(raw=[b"ab", b"cd"]), "there are 1 inputs and 2 raw_input_contents"),
        (request(raw=[b"abc"]), "has 3 bytes of data, and INT8 of shape [2] needs 2"),
        (request(), "neither contents nor raw_input_contents"),
        (request(shape=[-1], int_contents=[1, 2]), "dimension of -1"),
        (request(shape=[2**62, 2**62], int_contents=[1, 2]), "product is over 2^63"),
        (request("BYTES", raw=[b"\xff\xff\xff\xffab"]), "is torn"),
        (request("FP32", shape=[2**40], fp32_contents=[1]), "the contents hold 1"),
    ]:
        failed(lambda: stub.ModelInfer(wrong), "INVALID_ARGUMENT", text)
    wrong = request(raw=[b"ab"])
    wrong.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    failed(lambda: stub.ModelInfer(wrong), "INVALID_ARGUMENT", "shared memory")
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
    failed(lambda: missing(b""), "UNIMPLEMENTED", "nothing at this address")


def parameters_ids_versions(client):
    result = client.infer(
        "versioned",
        [shaped([1, 3])],
        model_version="1.9.0",
        request_id="mine",
        outputs=[triton.InferRequestedOutput("output")],
        parameters={"flag": True, "number": 7, "share": 0.5, "text": "x"},
    )
    response = result.get_response()
    assert (response.id, response.model_name, response.model_version) == ("mine", "versioned", "1.9.0")
    refused(
        lambda: client.infer("versioned", [shaped([1, 3])], model_version="7.0.0"),
        'model "versioned" has no version or label "7.0.0"; it has: 1.0.0, 1.9.0, 1.10.0',
        code="NOT_FOUND",
    )


def shaped(shape):
    given = triton.InferInput("input", shape, "FP32")
    given.set_data_from_numpy(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    return given


def outputs_are_classified(client):
    wanted = triton.InferRequestedOutput("output", class_count=2)
    result = client.infer(model("FP32"), [tensor("FP32", [0.5, 2.0, 1.0])], outputs=[wanted])
    assert list(result.as_numpy("output")) == [b"2.000000:1", b"1.000000:2"], result.as_numpy("output")


def errors_are_ours(client, stub):
    refused(lambda: client.infer("none", [shaped([1])]), 'there is no model "none"', code="NOT_FOUND")
    refused(
        lambda: client.infer(model("INT8"), [shaped([1])]),
        'tensor "input" has datatype FP32, and INT8 is wanted',
        code="INVALID_ARGUMENT",
    )
    refused(lambda: client.infer("fail-internal", [named("x", [1])]), 'model "fail-internal": stage "', code="INTERNAL")
    error = failed(lambda: stub.ModelInfer(pb.ModelInferRequest(model_name="none")), "NOT_FOUND")
    metadata = dict(error.trailing_metadata())
    assert metadata["bulkhead-code"] == "unknown_model" and metadata["x-request-id"], metadata
    call = stub.ServerLive.with_call(pb.ServerLiveRequest(), metadata=[("x-request-id", "my-request")])[1]
    assert dict(call.initial_metadata())["x-request-id"] == "my-request"


def named(name, shape):
    given = triton.InferInput(name, shape, "FP32")
    given.set_data_from_numpy(np.zeros(shape, dtype=np.float32))
    return given


def what_the_host_says_of_itself(client):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("versioned") and client.is_model_ready("versioned", "1.0.0")
    assert not client.is_model_ready("none")
    server = client.get_server_metadata(as_json=True)
    assert server["name"] == "bulkhead" and "statistics" in server["extensions"], server
    metadata = client.get_model_metadata("versioned", "1.9.0")
    assert list(metadata.versions) == ["1.0.0", "1.9.0", "1.10.0"], metadata
    assert list(metadata.inputs[0].shape) == [-1, 3] and metadata.inputs[0].datatype == "FP32"
    config = client.get_model_config("identity-bytes").config
    assert config.name == "identity-bytes" and config.max_batch_size == 0
    assert config.input[0].data_type == 13 and list(config.input[0].dims) == [-1], config
    assert not config.model_transaction_policy.decoupled
    client.infer("versioned", [shaped([1, 2])])
    statistics = client.get_inference_statistics("versioned", "1.10.0", as_json=True)["model_stats"][0]
    assert int(statistics["inference_stats"]["success"]["count"]) >= 1, statistics
    assert int(statistics["inference_stats"]["success"]["ns"]) > 0, statistics
    names = {counted.name for counted in client.get_inference_statistics().model_stats}
    assert {"versioned", "identity-fp32"} <= names, names
    index = client.get_model_repository_index(as_json=True)["models"]
    assert {"name": "versioned", "version": "1.9.0", "state": "READY"} in index, index
    refused(lambda: client.get_model_metadata("none"), "there is no model", code="NOT_FOUND")
    refused(lambda: client.get_model_config("none"), "there is no model", code="NOT_FOUND")
    refused(lambda: client.get_inference_statistics("none"), "there is no model", code="NOT_FOUND")


def what_is_not_done_says_why(client):
    for call in (
        lambda: client.register_system_shared_memory("a", "/a", 64),
        lambda: client.unregister_system_shared_memory(),
        lambda: client.get_system_shared_memory_status(),
        lambda: client.register_cuda_shared_memory("a", b"AAAA", 0, 64),
        lambda: client.unregister_cuda_shared_memory(),
        lambda: client.get_cuda_shared_memory_status(),
    ):
        refused(call, "shared memory between clients and the host is not supported", code="UNIMPLEMENTED")
    refused(lambda: client.load_model("versioned"), "role deploy", code="PERMISSION_DENIED")
    client.load_model("versioned", headers=OPERATOR)
    refused(lambda: client.load_model("none", headers=OPERATOR), "there is no model", code="NOT_FOUND")
    load = lambda: client.load_model("versioned", config='{"backend": "python"}', headers=OPERATOR)
    refused(load, 'the parameter "config"', code="UNIMPLEMENTED")
    refused(lambda: client.unload_model("versioned", headers=OPERATOR), '"versioned"', code="UNIMPLEMENTED")
    refused(lambda: client.get_trace_settings(), "role admin", code="PERMISSION_DENIED")
    refused(lambda: client.get_log_settings(), "role admin", code="PERMISSION_DENIED")
    assert "trace_level" in client.get_trace_settings(headers=OPERATOR, as_json=True)["settings"]
    assert "log_info" in client.get_log_settings(headers=OPERATOR, as_json=True)["settings"]


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


async def the_asyncio_client(url):
    async with triton_aio.InferenceServerClient(url) as client:
        assert await client.is_server_ready()
        calls = [client.infer(model("INT64"), [tensor("INT64", [number])]) for number in range(50)]
        for number, result in enumerate(await asyncio.gather(*calls)):
            assert result.as_numpy("output")[0] == number
        try:
            await client.infer("none", [shaped([1])])
            raise AssertionError("not refused")
        except InferenceServerException as error:
            assert "there is no model" in error.message()

        async def requests():
            for number in range(20):
                yield {"model_name": model("INT64"), "inputs": [tensor("INT64", [number])], "request_id": str(number)}

        number = 0
        async for result, error in client.stream_infer(requests()):
            assert error is None and result.as_numpy("output")[0] == number, (number, error)
            number += 1
        assert number == 20


def packed_requests_get_packed_answers(client, url):
    given = tensor("FP32", [1.0] * 10_000)
    for algorithm in ("gzip", "deflate"):
        result = client.infer(model("FP32"), [given], compression_algorithm=algorithm)
        assert result.as_numpy("output").sum() == 10_000
    with grpc.insecure_channel(url) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        # A message that unpacks to more than http.request-bytes of this host, 8 MiB.
        bomb = b"\x0a" + b"\x80\x80\x80\x08" + bytes(16 << 20)
        failed(lambda: infer(bomb, compression=grpc.Compression.Gzip), "RESOURCE_EXHAUSTED", "request-bytes")
        failed(lambda: infer(bytes(9 << 20)), "RESOURCE_EXHAUSTED", "request-bytes")


def deadlines_end_the_work(client, stub):
    began = time.monotonic()
    refused(lambda: client.infer("sleep", [named("x", [1])], client_timeout=0.5), code="DEADLINE_EXCEEDED")
    assert time.monotonic() - began < 5
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
        (every_datatype_raw, [client]),
        (every_datatype_typed, [stub]),
        (wrong_contents, [stub]),
        (malformed_messages, [channel]),
        (parameters_ids_versions, [client]),
        (outputs_are_classified, [client]),
        (errors_are_ours, [client, stub]),
        (what_the_host_says_of_itself, [client]),
        (what_is_not_done_says_why, [client]),
        (streams_keep_their_order_and_survive_errors, [client]),
        (a_stream_with_statuses_ends_with_one, [stub]),
        (packed_requests_get_packed_answers, [client, url]),
        (deadlines_end_the_work, [client, stub]),
        (health, [channel]),
        (reflection, [channel]),
    ]:
        print(check.__name__, flush=True)
        check(*arguments)
    print("the_asyncio_client", flush=True)
    asyncio.run(the_asyncio_client(url))


main()
