"""KServe's own clients, over HTTP and gRPC, with the protocols v1 and v2. Arguments: HTTP's URL, gRPC's address."""

import asyncio
import sys

import numpy as np
from grpc.aio import AioRpcError
from httpx import HTTPStatusError
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

URL, GRPC = sys.argv[1:]
VALUES = {
    "BOOL": np.array([True, False]),
    "UINT8": np.array([0, 255], dtype=np.uint8),
    "INT64": np.array([-(2**63), 2**63 - 1], dtype=np.int64),
    "FP16": np.array([0.5, -2], dtype=np.float16),
    "FP32": np.array([1, 2.5], dtype=np.float32),
    "FP64": np.array([2.5e-308, -1], dtype=np.float64),
}


def tensor(datatype, binary):
    given = InferInput("input", [2], datatype)
    given.set_data_from_numpy(VALUES[datatype], binary_data=binary)
    return given


def same(response, datatype):
    output = response.outputs[0]
    assert output.datatype == datatype and np.array_equal(output.as_numpy(), VALUES[datatype]), response


async def over_http():
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", timeout=10))
    assert await v2.is_server_live(URL) and await v2.is_server_ready(URL)
    assert await v2.is_model_ready(URL, "fp32") and not await v2.is_model_ready(URL, "none")
    for datatype in VALUES:
        # JSON has no halves, and this client sends them as bytes only.
        for binary in (True,) if datatype == "FP16" else (False, True):
            model = datatype.lower()
            wanted = [RequestedOutput("output", {"binary_data": binary})]
            request = InferRequest(model, [tensor(datatype, binary)], request_outputs=wanted)
            response = await v2.infer(URL, request, model_name=model)
            same(response, datatype)
            assert response.model_name == model
    words = InferInput("input", [2], "BYTES", data=["a", "Grüße"])
    response = await v2.infer(URL, InferRequest("bytes", [words]), model_name="bytes")
    assert list(response.outputs[0].as_numpy()) == ["a", "Grüße"], response
    try:
        await v2.infer(URL, InferRequest("none", [words]), model_name="none")
        raise AssertionError("a model that there is not")
    except HTTPStatusError as error:
        assert error.response.status_code == 404 and 'no model "none"' in str(error), error
    await v2.close()

    v1 = InferenceRESTClient(RESTConfig(protocol="v1", timeout=10))
    assert await v1.is_model_ready(URL, "fp32")
    answer = await v1.infer(URL, {"instances": [1.0, 2.0]}, model_name="fp32")
    assert answer == {"predictions": [1.0, 2.0]}, answer
    await v1.close()


async def over_grpc():
    client = InferenceGRPCClient(GRPC)
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("fp32") and not await client.is_model_ready("none")
    for datatype in VALUES:
        same(await client.infer(InferRequest(datatype.lower(), [tensor(datatype, True)])), datatype)
    explicit = InferInput("input", [2], "FP32", data=[1.0, 2.5])
    same(await client.infer(InferRequest("fp32", [explicit])), "FP32")
    try:
        await client.infer(InferRequest("none", [explicit]))
        raise AssertionError("a model that there is not")
    except AioRpcError as error:
        assert error.code().name == "NOT_FOUND" and 'no model "none"' in error.details(), error
    await client.close()


asyncio.run(over_http())
asyncio.run(over_grpc())
print("all")
