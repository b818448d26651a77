"""Drives models that stream with tritonclient over gRPC; asserts, and says what it did.

Wants the models count, renamed, go-on, spin and fail of tests/system/streaming.rs.
"""

import argparse
import asyncio
import os
import queue
import traceback

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException


def x(*values):
    given = triton.InferInput("x", [len(values)], "FP32")
    given.set_data_from_numpy(np.array(values, dtype=np.float32))
    return [given]


def request(model, *values, **parameters):
    asked = pb.ModelInferRequest(model_name=model, id=model)
    asked.inputs.add(name="x", datatype="FP32", shape=[len(values)])
    asked.raw_input_contents.append(np.array(values, dtype=np.float32).tobytes())
    for name, value in parameters.items():
        asked.parameters[name].bool_param = value
    return asked


def is_last(result):
    return result.get_response().parameters["triton_final_response"].bool_param


def answers_come_one_by_one(client):
    answers = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    client.async_stream_infer("renamed", x(3, 2), request_id="three", enable_empty_final_response=True)
    for number in range(3):
        result, error = answers.get(timeout=30)
        assert error is None and not is_last(result), error
        assert result.get_response().id == "three"
        assert list(result.as_numpy("z")) == [number, number]
    result, error = answers.get(timeout=30)
    assert error is None and is_last(result), error
    assert result.get_response().id == "three" and not result.get_response().outputs
    # Without the wish for it there is no empty answer: what comes next is of the next request.
    client.async_stream_infer("count", x(1), request_id="first")
    client.async_stream_infer("count", x(1), request_id="second")
    ids = {answers.get(timeout=30)[0].get_response().id for _ in range(2)}
    assert ids == {"first", "second"}, ids
    client.async_stream_infer("fail", x(1), request_id="fails")
    assert answers.get(timeout=30)[1] is None
    error = answers.get(timeout=30)[1]
    assert "there is no more" in error.message(), error
    # A stream goes on after a request that failed.
    client.async_stream_infer("count", x(1))
    assert answers.get(timeout=30)[1] is None
    client.stop_stream()


def a_long_stream_holds_up_no_other_request(stub):
    requests = queue.Queue()
    requests.put(request("go-on", 0))
    stream = stub.ModelStreamInfer(iter(requests.get, None))
    assert next(stream).infer_response.id == "go-on"
    requests.put(request("count", 2, triton_enable_empty_final_response=True))
    ids = []
    for answer in stream:
        assert not answer.error_message, answer
        ids.append(answer.infer_response.id)
        if ids.count("count") == 3:
            break
    assert ids.count("go-on") > 0
    stream.cancel()
    requests.put(None)


def as_many_streams_as_may_and_one_more(stub):
    requests = [request("count", 200, triton_enable_empty_final_response=True) for _ in range(20)]
    answers = [answer.infer_response for answer in stub.ModelStreamInfer(iter(requests))]
    last = [answer for answer in answers if answer.parameters["triton_final_response"].bool_param]
    assert (len(answers), len(last)) == (20 * 201, 20), (len(answers), len(last))


def one_answer_is_one(client, stub):
    assert list(client.infer("count", x(1)).as_numpy("y")) == [0]
    try:
        client.infer("count", x(2))
        raise AssertionError("not refused")
    except InferenceServerException as error:
        assert "gave more than one answer" in error.message() and "ModelStreamInfer" in error.message(), error
        assert error.status() == "StatusCode.INVALID_ARGUMENT", error
    assert client.get_model_config("count").config.model_transaction_policy.decoupled


def statuses_end_the_stream(stub):
    call = stub.ModelStreamInfer(iter([request("fail", 1)]), metadata=[("triton_grpc_error", "true")])
    assert not next(call).error_message
    try:
        next(call)
        raise AssertionError("not failed")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        assert "there is no more" in error.details()


def deadlines_and_clients_that_leave(stub):
    for model in ("spin", "go-on"):
        call = stub.ModelStreamInfer(iter([request(model, 1)]), timeout=1)
        try:
            for _ in call:
                pass
            raise AssertionError("not late")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        call = stub.ModelStreamInfer(iter([request(model, 1)]))
        next(call)
        call.cancel()


async def the_asyncio_client(url):
    async with triton_aio.InferenceServerClient(url) as client:

        async def requests():
            yield {"model_name": "count", "inputs": x(50), "enable_empty_final_response": True}

        numbers = []
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            if is_last(result):
                break
            numbers.append(result.as_numpy("y")[0])
        assert numbers == list(range(50)), numbers


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    url = parser.parse_args().url
    client = triton.InferenceServerClient(url)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url))
    for check, arguments in [
        (answers_come_one_by_one, [client]),
        (a_long_stream_holds_up_no_other_request, [stub]),
        (as_many_streams_as_may_and_one_more, [stub]),
        (one_answer_is_one, [client, stub]),
        (statuses_end_the_stream, [stub]),
        (deadlines_and_clients_that_leave, [stub]),
    ]:
        print(check.__name__, flush=True)
        check(*arguments)
    print("the_asyncio_client", flush=True)
    asyncio.run(the_asyncio_client(url))


try:
    main()
except BaseException:
    # Threads of open streams would keep the program waiting.
    traceback.print_exc()
    os._exit(1)
