"""Triton's own HTTP clients against a host that serves an identity of each datatype: python http_client.py URL ADMIN_URL"""

import asyncio
import os
import sys

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

OPERATOR = {"authorization": "Bearer " + os.environ["BULKHEAD_KEY"]}
URL, ADMIN_URL = (url.removeprefix("http://") for url in sys.argv[1:3])

VALUES = {
    "BOOL": np.array([True, False]),
    "UINT8": np.array([0, 255], np.uint8),
    "UINT16": np.array([0, 65535], np.uint16),
    "UINT32": np.array([0, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 2**64 - 1], np.uint64),
    "INT8": np.array([-128, 127], np.int8),
    "INT16": np.array([-(2**15), 2**15 - 1], np.int16),
    "INT32": np.array([-(2**31), 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 2**63 - 1], np.int64),
    "FP16": np.array([-65504, 0.5], np.float16),
    "BF16": np.array([-1.0, 256.0], np.float32),
    "FP32": np.array([-1.5, 3.4028235e38], np.float32),
    "FP64": np.array([5e-324, 1.7976931348623157e308], np.float64),
    "BYTES": np.array([b"", "Gr\u00fc\u00dfe \U0001f600".encode()], np.object_),
}


def tensors(module, datatype, value, binary_in, binary_out):
    given = module.InferInput("input", list(value.shape), datatype)
    given.set_data_from_numpy(value, binary_data=binary_in)
    return [given], [module.InferRequestedOutput("output", binary_data=binary_out)]


def same(result, value):
    got = result.as_numpy("output")
    assert got is not None and got.shape == value.shape, (got, value)
    if got.dtype == np.object_:
        # Texts of JSON are texts in Python too.
        got = np.array([text.encode() if isinstance(text, str) else text for text in got], np.object_)
    assert np.array_equal(got, value), (got, value)


def every_datatype(client):
    for datatype, value in VALUES.items():
        for binary_in in (True, False):
            for binary_out in (True, False):
                # Half precision travels as bytes only; the client itself refuses it as JSON.
                if datatype in ("FP16", "BF16") and not (binary_in and binary_out):
                    continue
                inputs, outputs = tensors(http, datatype, value, binary_in, binary_out)
                same(client.infer(datatype.lower(), inputs, outputs=outputs, request_id="7"), value)
        inputs, _ = tensors(http, datatype, value, True, True)
        result = client.infer(datatype.lower(), inputs, request_id="8")
        same(result, value)
        assert result.get_response()["id"] == "8"


def odd_shapes_and_bytes(client):
    empty = np.zeros([0], np.float32)
    inputs, outputs = tensors(http, "FP32", empty, True, True)
    same(client.infer("fp32", inputs, outputs=outputs), empty)
    raw = np.array([bytes(range(256)), b"\xff\xfe"], np.object_)
    inputs, outputs = tensors(http, "BYTES", raw, True, True)
    same(client.infer("bytes", inputs, outputs=outputs), raw)
    large = np.random.default_rng(7).standard_normal(150_000).astype(np.float32)
    for binary in (True, False):
        inputs, outputs = tensors(http, "FP32", large, binary, binary)
        same(client.infer("fp32", inputs, outputs=outputs), large)


def packed(client):
    value = np.arange(5000, dtype=np.int32)
    for request in ("gzip", "deflate", None):
        for response in ("gzip", "deflate", None):
            inputs, outputs = tensors(http, "INT32", value, True, True)
            options = {"request_compression_algorithm": request, "response_compression_algorithm": response}
            same(client.infer("int32", inputs, outputs=outputs, **options), value)


def classified(client):
    inputs, _ = tensors(http, "FP32", np.array([1.5, 4.25, 3.0], np.float32), True, True)
    outputs = [http.InferRequestedOutput("output", class_count=2)]
    best = client.infer("fp32", inputs, outputs=outputs).as_numpy("output")
    assert [text.decode() for text in best] == ["4.250000:1", "3.000000:2"], best


def raises(phrase, call):
    try:
        call()
    except InferenceServerException as error:
        assert phrase in str(error), (phrase, error)
        return error
    raise AssertionError(f"nothing was raised for {phrase}")


def errors(client):
    inputs, outputs = tensors(http, "FP32", np.zeros([2], np.float32), True, True)
    error = raises('there is no model "none"', lambda: client.infer("none", inputs, outputs=outputs))
    assert error.status() == "404", error.status()
    raises("datatype FP32, and INT32 is wanted", lambda: client.infer("int32", inputs, outputs=outputs))
    unknown = [http.InferRequestedOutput("other")]
    raises('there is no output "other"', lambda: client.infer("fp32", inputs, outputs=unknown))
    text = np.array([b"\xff"], np.object_)
    inputs, outputs = tensors(http, "BYTES", text, True, False)
    raises("binary_data=true", lambda: client.infer("bytes", inputs, outputs=outputs))
    raises("shared memory", lambda: client.register_system_shared_memory("region", "/key", 64))
    raises("role admin", lambda: client.update_log_settings({"log_verbose_level": 1}))


def descriptions(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("fp32", "1.0.0")
    assert not client.is_model_ready("none")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("fp32")
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1]}], metadata
    config = client.get_model_config("bytes", "1.0.0")
    assert (config["max_batch_size"], config["input"][0]["data_type"]) == (0, "TYPE_STRING"), config


def repository_and_statistics(client):
    index = client.get_model_repository_index()
    assert {"name": "fp32", "version": "1.0.0", "state": "READY", "reason": ""} in index, index
    raises("role deploy", lambda: client.load_model("fp32"))
    client.load_model("fp32", headers=OPERATOR)
    raises("not supported", lambda: client.load_model("fp32", config="{}", headers=OPERATOR))
    raises("not supported", lambda: client.unload_model("fp32", headers=OPERATOR))
    before = client.get_inference_statistics("uint8")["model_stats"][0]
    inputs, outputs = tensors(http, "UINT8", VALUES["UINT8"], True, True)
    client.infer("uint8", inputs, outputs=outputs)
    after = client.get_inference_statistics("uint8", "1.0.0")["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 1, (before, after)
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert len(client.get_inference_statistics()["model_stats"]) == len(VALUES)


def settings():
    operator = http.InferenceServerClient(ADMIN_URL)
    assert operator.update_log_settings({"log_verbose_level": 1}, headers=OPERATOR)["log_verbose_level"] == 1
    assert operator.update_log_settings({"log_verbose_level": 0}, headers=OPERATOR)["log_info"] is True
    assert operator.get_trace_settings(headers=OPERATOR)["trace_level"] == ["OFF"]
    raises("not traced", lambda: operator.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=OPERATOR))


def concurrently():
    client = http.InferenceServerClient(URL, concurrency=8)
    value = VALUES["INT64"]
    pending = []
    for _ in range(50):
        inputs, outputs = tensors(http, "INT64", value, True, True)
        pending.append(client.async_infer("int64", inputs, outputs=outputs))
    for request in pending:
        same(request.get_result(), value)
    client.close()


async def with_asyncio():
    async with aio.InferenceServerClient(URL) as client:
        assert await client.is_server_live()

        async def one(datatype, value, binary):
            inputs, outputs = tensors(aio, datatype, value, binary, binary)
            same(await client.infer(datatype.lower(), inputs, outputs=outputs), value)

        both = [(datatype, binary) for datatype in VALUES for binary in (True, False)]
        half = [(datatype, binary) for datatype, binary in both if binary or datatype not in ("FP16", "BF16")]
        await asyncio.gather(*(one(datatype, VALUES[datatype], binary) for datatype, binary in half))
        # This client asks for packed replies on its own, and unpacks them.
        await one("INT32", np.arange(5000, dtype=np.int32), True)
        try:
            await client.get_model_metadata("none")
            raise AssertionError("nothing was raised")
        except InferenceServerException as error:
            assert "there is no model" in str(error), error


def main():
    assert all(np_to_triton_dtype(value.dtype) == name for name, value in VALUES.items() if name != "BF16")
    client = http.InferenceServerClient(URL)
    for check in (
        every_datatype,
        odd_shapes_and_bytes,
        packed,
        classified,
        errors,
        descriptions,
        repository_and_statistics,
    ):
        check(client)
        print(check.__name__)
    settings()
    concurrently()
    asyncio.run(with_asyncio())
    print("all")


if __name__ == "__main__":
    main()
