"""Triton's own HTTP clients, the blocking one and asyncio's, against a host that serves an identity of each datatype:
python http_client.py URL ADMIN_URL

Wants also the models labelled (FP32, shape [-1, 4], with labels) and matrix (FP32, shape [-1, -1]).
"""

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


class Awaited:
    """The blocking client, called as asyncio's is: what one must be able to do, the other must."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        async def call(*arguments, **named):
            return getattr(self.client, name)(*arguments, **named)

        return call


def tensors(datatype, value, binary_in=True, binary_out=True):
    given = http.InferInput("input", list(value.shape), datatype)
    given.set_data_from_numpy(value, binary_data=binary_in)
    return [given], [http.InferRequestedOutput("output", binary_data=binary_out)]


def same(result, value):
    got = result.as_numpy("output")
    assert got is not None and got.shape == value.shape, (got, value)
    if got.dtype == np.object_:
        # Texts of JSON are texts in Python too.
        got = np.array([text.encode() if isinstance(text, str) else text for text in got], np.object_)
    assert np.array_equal(got, value, equal_nan=value.dtype.kind == "f"), (got, value)


async def every_datatype(client):
    for datatype, value in VALUES.items():
        for binary_in in (True, False):
            for binary_out in (True, False):
                # Half precision travels as bytes only; the client itself refuses it as JSON.
                if datatype in ("FP16", "BF16") and not (binary_in and binary_out):
                    continue
                inputs, outputs = tensors(datatype, value, binary_in, binary_out)
                same(await client.infer(datatype.lower(), inputs, outputs=outputs, request_id="7"), value)
        inputs, _ = tensors(datatype, value)
        result = await client.infer(datatype.lower(), inputs, request_id="8")
        same(result, value)
        assert result.get_response()["id"] == "8"


async def odd_shapes_and_bytes(client):
    for binary in (True, False):
        for datatype, model, empty in (
            ("FP32", "fp32", np.zeros([0], np.float32)),
            ("FP32", "matrix", np.zeros([3, 0], np.float32)),
            ("BYTES", "bytes", np.array([], np.object_)),
        ):
            inputs, outputs = tensors(datatype, empty, binary, binary)
            same(await client.infer(model, inputs, outputs=outputs), empty)
    raw = np.array([bytes(range(256)), b"\xff\xfe", b"a\0b"], np.object_)
    inputs, outputs = tensors("BYTES", raw)
    same(await client.infer("bytes", inputs, outputs=outputs), raw)
    nul = np.array([b"a\0b"], np.object_)
    inputs, outputs = tensors("BYTES", nul, True, False)
    same(await client.infer("bytes", inputs, outputs=outputs), nul)
    large = np.random.default_rng(7).standard_normal(150_000).astype(np.float32)
    for binary in (True, False):
        inputs, outputs = tensors("FP32", large, binary, binary)
        same(await client.infer("fp32", inputs, outputs=outputs), large)


async def numbers_that_are_none(client):
    for datatype, kind in (("FP32", np.float32), ("FP64", np.float64)):
        value = np.array([np.nan, np.inf, -np.inf, 1.5], kind)
        for binary in (True, False):
            inputs, outputs = tensors(datatype, value, binary, True)
            same(await client.infer(datatype.lower(), inputs, outputs=outputs), value)
    # A reply in JSON has one word for all of them.
    inputs, outputs = tensors("FP32", np.array([np.nan, 1.5], np.float32), False, False)
    same(await client.infer("fp32", inputs, outputs=outputs), np.array([np.nan, 1.5], np.float32))


async def packed(client):
    value = np.arange(5000, dtype=np.int32)
    for request in ("gzip", "deflate", None):
        for response in ("gzip", "deflate", None):
            inputs, outputs = tensors("INT32", value)
            options = {"request_compression_algorithm": request, "response_compression_algorithm": response}
            same(await client.infer("int32", inputs, outputs=outputs, **options), value)


async def everything_that_a_request_may_say(client):
    value = VALUES["INT8"]
    inputs, outputs = tensors("INT8", value)
    for sequence in (5, "a sequence"):
        result = await client.infer(
            "int8",
            inputs,
            model_version="1",
            outputs=outputs,
            request_id="mine",
            sequence_id=sequence,
            sequence_start=True,
            sequence_end=True,
            priority=3,
            timeout=1_000_000,
            headers={"X-Request-ID": "theirs", "x-other": "1"},
            query_params={"a": "b", "n": 2},
            parameters={"number": 1, "text": "s", "flag": True},
        )
        same(result, value)
        assert result.get_response()["id"] == "mine"
        assert result.get_response()["model_version"] == "1.0.0"


async def classified(client):
    scores = np.array([[0.1, 0.9, 0.5, 0.2], [3, 1, 2, 4]], np.float32)
    inputs, _ = tensors("FP32", scores)
    for binary in (True, False):
        outputs = [http.InferRequestedOutput("output", binary_data=binary, class_count=2)]
        best = (await client.infer("labelled", inputs, outputs=outputs)).as_numpy("output")
        texts = [[text.decode() if binary else text for text in row] for row in best]
        wanted = [["0.900000:1:1", "0.500000:2:2"], ["4.000000:3:3", "3.000000:0:0"]]
        assert texts == wanted, texts
    inputs, _ = tensors("FP32", np.array([1.5, 4.25, 3.0], np.float32))
    outputs = [http.InferRequestedOutput("output", class_count=2)]
    best = (await client.infer("fp32", inputs, outputs=outputs)).as_numpy("output")
    assert [text.decode() for text in best] == ["4.250000:1", "3.000000:2"], best


async def raises(phrase, status, call):
    try:
        await call
    except InferenceServerException as error:
        assert phrase in error.message(), (phrase, error.message())
        assert error.status() == status, (phrase, error.status())
        return
    raise AssertionError(f"nothing was raised for {phrase}")


async def errors(client):
    inputs, outputs = tensors("FP32", np.zeros([2], np.float32))
    await raises('there is no model "none"', "404", client.infer("none", inputs, outputs=outputs))
    wrong_version = client.infer("fp32", inputs, model_version="9", outputs=outputs)
    await raises('has no version or label "9"', "404", wrong_version)
    await raises("datatype FP32, and INT32 is wanted", "400", client.infer("int32", inputs, outputs=outputs))
    await raises("shape [2], and [-1, 4] is wanted", "400", client.infer("labelled", inputs, outputs=outputs))
    unknown = [http.InferRequestedOutput("other")]
    await raises('there is no output "other"', "400", client.infer("fp32", inputs, outputs=unknown))
    inputs, outputs = tensors("BYTES", np.array([b"\xff"], np.object_), True, False)
    await raises("binary_data=true", "406", client.infer("bytes", inputs, outputs=outputs))
    await raises("shared memory", "400", client.register_system_shared_memory("region", "/key", 64))
    await raises("role admin", "403", client.update_log_settings({"log_verbose_level": 1}))
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        await raises('there is no model "none"', "404", call("none"))


async def descriptions(client):
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("fp32", "1.0.0") and await client.is_model_ready("fp32", "1")
    assert not await client.is_model_ready("none") and not await client.is_model_ready("fp32", "9")
    assert "binary_tensor_data" in (await client.get_server_metadata())["extensions"]
    metadata = await client.get_model_metadata("fp32")
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1]}], metadata
    config = await client.get_model_config("bytes", "1.0.0")
    assert (config["max_batch_size"], config["input"][0]["data_type"]) == (0, "TYPE_STRING"), config
    # As of a model that Triton batches: rows in the metadata, and one row in the configuration.
    metadata, config = await client.get_model_metadata("labelled"), await client.get_model_config("labelled")
    assert metadata["inputs"][0]["shape"] == [-1, 4] and config["input"][0]["dims"] == [4], (metadata, config)
    assert config["max_batch_size"] > 1 and config["output"][0]["label_filename"] == "labels.txt", config


async def repository_and_statistics(client):
    index = await client.get_model_repository_index()
    assert {"name": "fp32", "version": "1.0.0", "state": "READY", "reason": ""} in index, index
    await raises("role deploy", "403", client.load_model("fp32"))
    await client.load_model("fp32", headers=OPERATOR)
    await raises("not supported", "400", client.load_model("fp32", config="{}", headers=OPERATOR))
    await raises("not supported", "400", client.unload_model("fp32", headers=OPERATOR))
    before = (await client.get_inference_statistics("labelled"))["model_stats"][0]
    inputs, outputs = tensors("FP32", np.zeros([3, 4], np.float32))
    await client.infer("labelled", inputs, outputs=outputs)
    after = (await client.get_inference_statistics("labelled", "1.0.0"))["model_stats"][0]
    assert after["inference_count"] == before["inference_count"] + 3, (before, after)
    assert after["execution_count"] == before["execution_count"] + 1, (before, after)
    assert 3 in [batch["batch_size"] for batch in after["batch_stats"]], after
    assert after["inference_stats"]["compute_infer"]["ns"] > before["inference_stats"]["compute_infer"]["ns"]
    assert len((await client.get_inference_statistics())["model_stats"]) == len(VALUES) + 2


async def settings(operator):
    changed = await operator.update_log_settings({"log_verbose_level": 1}, headers=OPERATOR)
    assert changed["log_verbose_level"] == 1
    changed = await operator.update_log_settings({"log_verbose_level": 0}, headers=OPERATOR)
    assert changed["log_info"] is True and await operator.get_log_settings(headers=OPERATOR) == changed
    assert (await operator.get_trace_settings(headers=OPERATOR))["trace_level"] == ["OFF"]
    unchanged = await operator.update_trace_settings(settings={"trace_level": ["OFF"]}, headers=OPERATOR)
    assert unchanged["trace_level"] == ["OFF"]
    traced = operator.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=OPERATOR)
    await raises("not traced", "400", traced)


def concurrently():
    client = http.InferenceServerClient(URL, concurrency=8)
    value = VALUES["INT64"]
    pending = []
    for _ in range(50):
        inputs, outputs = tensors("INT64", value)
        pending.append(client.async_infer("int64", inputs, outputs=outputs))
    for request in pending:
        same(request.get_result(), value)
    client.close()


async def concurrently_with_asyncio(client):
    async def one():
        inputs, outputs = tensors("INT64", VALUES["INT64"])
        same(await client.infer("int64", inputs, outputs=outputs), VALUES["INT64"])

    await asyncio.gather(*(one() for _ in range(50)))


async def checks(client, operator):
    for check in (
        every_datatype,
        odd_shapes_and_bytes,
        numbers_that_are_none,
        packed,
        everything_that_a_request_may_say,
        classified,
        errors,
        descriptions,
        repository_and_statistics,
    ):
        print(check.__name__, flush=True)
        await check(client)
    await settings(operator)


async def with_asyncio():
    async with aio.InferenceServerClient(URL) as client, aio.InferenceServerClient(ADMIN_URL) as operator:
        await checks(client, operator)
        await concurrently_with_asyncio(client)


def main():
    assert all(np_to_triton_dtype(value.dtype) == name for name, value in VALUES.items() if name != "BF16")
    blocking = [Awaited(http.InferenceServerClient(url)) for url in (URL, ADMIN_URL)]
    asyncio.run(checks(*blocking))
    concurrently()
    print("asyncio", flush=True)
    asyncio.run(with_asyncio())
    print("all")


if __name__ == "__main__":
    main()
