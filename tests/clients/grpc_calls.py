"""Every call of Triton's own gRPC clients, the blocking one and asyncio's; asserts, and says what it did.

Wants the models identity-DATATYPE (shape [-1]), versioned (1.0.0, 1.9.0, 1.10.0), fail-internal, sleep and labelled
(FP32, shape [-1, 4], with labels).
"""

import argparse
import asyncio
import os
import time

import ml_dtypes
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

OPERATOR = {"authorization": "Bearer " + os.environ["BULKHEAD_KEY"]}

DATATYPES = {
    "BOOL": (np.bool_, [True, False]),
    "UINT8": (np.uint8, [0, 255]),
    "UINT16": (np.uint16, [0, 65535]),
    "UINT32": (np.uint32, [0, 2**32 - 1]),
    "UINT64": (np.uint64, [0, 2**64 - 1]),
    "INT8": (np.int8, [-128, 127]),
    "INT16": (np.int16, [-32768, 32767]),
    "INT32": (np.int32, [-(2**31), 2**31 - 1]),
    "INT64": (np.int64, [-(2**63), 2**63 - 1]),
    "FP16": (np.float16, [-65504.0, 0.5]),
    "BF16": (ml_dtypes.bfloat16, [-1.0, 256.0]),
    "FP32": (np.float32, [-1.5, np.inf]),
    "FP64": (np.float64, [2.5e-308, np.nan]),
    "BYTES": (np.object_, [b"", b"\xff\x00 any bytes"]),
}


class Awaited:
    """The blocking client, called as asyncio's is: what one must be able to do, the other must."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, name):
        async def call(*arguments, **named):
            return getattr(self.client, name)(*arguments, **named)

        return call


def model(datatype):
    return f"identity-{datatype.lower()}"


def tensor(datatype, values, name="input"):
    array = np.array(values, dtype=DATATYPES[datatype][0])
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


async def refused(call, code, *parts):
    try:
        await call
    except InferenceServerException as error:
        assert error.status() == f"StatusCode.{code}", (error.status(), error.message())
        for part in parts:
            assert part in error.message(), f"{part!r} is not in {error.message()!r}"
        return
    raise AssertionError(f"not refused; wanted {code} {parts}")


async def every_datatype(client):
    for datatype, (kind, values) in DATATYPES.items():
        for given in (values, values[:0], values * 500):
            result = await client.infer(model(datatype), [tensor(datatype, given)])
            got = result.as_numpy("output")
            assert result.get_output("output").datatype == datatype
            assert got.shape == (len(given),), (datatype, got.shape)
            if datatype == "BYTES":
                assert list(got) == given, (datatype, got)
            else:
                want = np.array(given, dtype=kind)
                assert got.astype(kind).tobytes() == want.tobytes(), (datatype, got, want)


async def everything_that_a_request_may_say(client):
    for sequence in (5, "a sequence"):
        result = await client.infer(
            "versioned",
            [tensor("FP32", [[1.0, 2.0, 3.0]])],
            model_version="1.9.0",
            outputs=[triton.InferRequestedOutput("output")],
            request_id="mine",
            sequence_id=sequence,
            sequence_start=True,
            sequence_end=True,
            priority=3,
            timeout=1_000_000,
            client_timeout=30.0,
            headers={"x-other": "1"},
            parameters={"flag": True, "number": 7, "share": 0.5, "text": "x"},
        )
        response = result.get_response()
        assert (response.id, response.model_name, response.model_version) == ("mine", "versioned", "1.9.0")
    assert (await client.infer(model("INT8"), [tensor("INT8", [1])])).get_response().id == ""


async def packed(client):
    for algorithm in ("gzip", "deflate"):
        result = await client.infer(model("FP32"), [tensor("FP32", [1.0] * 10_000)], compression_algorithm=algorithm)
        assert result.as_numpy("output").sum() == 10_000


async def outputs_are_classified(client):
    wanted = triton.InferRequestedOutput("output", class_count=2)
    result = await client.infer(model("FP32"), [tensor("FP32", [0.5, 2.0, 1.0])], outputs=[wanted])
    assert list(result.as_numpy("output")) == [b"2.000000:1", b"1.000000:2"], result.as_numpy("output")
    rows = tensor("FP32", [[0.1, 0.9, 0.5, 0.2], [3.0, 1.0, 2.0, 4.0]])
    best = (await client.infer("labelled", [rows], outputs=[wanted])).as_numpy("output")
    assert best.tolist() == [[b"0.900000:1:1", b"0.500000:2:2"], [b"4.000000:3:3", b"3.000000:0:0"]], best


async def errors_are_ours(client):
    one = [tensor("FP32", [1.0])]
    await refused(client.infer("none", one), "NOT_FOUND", 'there is no model "none"')
    await refused(client.infer(model("INT8"), one), "INVALID_ARGUMENT", "has datatype FP32, and INT8 is wanted")
    wrong_version = client.infer("versioned", one, model_version="7.0.0")
    known = 'model "versioned" has no version or label "7.0.0"; it has: 1.0.0, 1.9.0, 1.10.0'
    await refused(wrong_version, "NOT_FOUND", known)
    unknown = client.infer(model("FP32"), one, outputs=[triton.InferRequestedOutput("other")])
    await refused(unknown, "INVALID_ARGUMENT", 'there is no output "other"')
    failing = client.infer("fail-internal", [tensor("FP32", [0.0], "x")])
    await refused(failing, "INTERNAL", 'model "fail-internal": stage "')
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        await refused(call("none"), "NOT_FOUND", 'there is no model "none"')


async def deadlines_end_the_work(client):
    began = time.monotonic()
    sleeping = client.infer("sleep", [tensor("FP32", [0.0], "x")], client_timeout=0.5)
    await refused(sleeping, "DEADLINE_EXCEEDED")
    assert time.monotonic() - began < 5


async def what_the_host_says_of_itself(client):
    assert await client.is_server_live() and await client.is_server_ready()
    assert await client.is_model_ready("versioned") and await client.is_model_ready("versioned", "1.0.0")
    assert not await client.is_model_ready("none") and not await client.is_model_ready("versioned", "9")
    server = await client.get_server_metadata(as_json=True)
    assert server["name"] == "bulkhead" and "statistics" in server["extensions"], server
    metadata = await client.get_model_metadata("versioned", "1.9.0")
    assert list(metadata.versions) == ["1.0.0", "1.9.0", "1.10.0"], metadata
    assert list(metadata.inputs[0].shape) == [-1, 3] and metadata.inputs[0].datatype == "FP32"
    config = (await client.get_model_config("identity-bytes")).config
    assert config.name == "identity-bytes" and config.max_batch_size == 0
    assert config.input[0].data_type == 13 and list(config.input[0].dims) == [-1], config
    assert not config.model_transaction_policy.decoupled
    config = (await client.get_model_config("labelled")).config
    assert config.max_batch_size > 1 and list(config.output[0].dims) == [4], config
    assert config.output[0].label_filename == "labels.txt", config


async def statistics_and_the_repository(client):
    async def counted():
        statistics = await client.get_inference_statistics("labelled", "1.0.0", as_json=True)
        return statistics["model_stats"][0]

    before = int((await counted()).get("inference_count", 0))
    await client.infer("labelled", [tensor("FP32", [[0.0] * 4] * 3)])
    after = await counted()
    assert int(after["inference_count"]) == before + 3, (before, after)
    assert "3" in [batch["batch_size"] for batch in after["batch_stats"]], after
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert int(after["inference_stats"][part]["ns"]) > 0, after
    names = {model.name for model in (await client.get_inference_statistics()).model_stats}
    assert {"versioned", "identity-fp32"} <= names, names
    index = (await client.get_model_repository_index(as_json=True))["models"]
    assert {"name": "versioned", "version": "1.9.0", "state": "READY"} in index, index
    await refused(client.load_model("versioned"), "PERMISSION_DENIED", "role deploy")
    await client.load_model("versioned", headers=OPERATOR)
    await refused(client.load_model("none", headers=OPERATOR), "NOT_FOUND", "there is no model")
    load = client.load_model("versioned", config='{"backend": "python"}', headers=OPERATOR)
    await refused(load, "UNIMPLEMENTED", 'the parameter "config"')
    await refused(client.unload_model("versioned", headers=OPERATOR), "UNIMPLEMENTED", '"versioned"')


async def settings(client):
    await refused(client.get_trace_settings(), "PERMISSION_DENIED", "role admin")
    await refused(client.get_log_settings(), "PERMISSION_DENIED", "role admin")
    traces = await client.get_trace_settings(headers=OPERATOR, as_json=True)
    assert traces["settings"]["trace_level"]["value"] == ["OFF"], traces
    unchanged = {"trace_level": ["OFF"]}
    assert await client.update_trace_settings(settings=unchanged, headers=OPERATOR, as_json=True) == traces
    traced = client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=OPERATOR)
    await refused(traced, "UNIMPLEMENTED", "not traced")
    log = await client.update_log_settings({"log_verbose_level": 1}, headers=OPERATOR, as_json=True)
    assert log["settings"]["log_verbose_level"]["uint32_param"] == 1, log
    log = await client.update_log_settings({"log_verbose_level": 0}, headers=OPERATOR, as_json=True)
    assert log["settings"]["log_info"]["bool_param"], log
    assert await client.get_log_settings(headers=OPERATOR, as_json=True) == log


async def shared_memory_is_refused_in_words(client):
    for call in (
        client.register_system_shared_memory("a", "/a", 64),
        client.unregister_system_shared_memory(),
        client.get_system_shared_memory_status(),
        client.register_cuda_shared_memory("a", b"AAAA", 0, 64),
        client.unregister_cuda_shared_memory(),
        client.get_cuda_shared_memory_status(),
    ):
        await refused(call, "UNIMPLEMENTED", "shared memory between clients and the host is not supported")


async def checks(client):
    for check in (
        every_datatype,
        everything_that_a_request_may_say,
        packed,
        outputs_are_classified,
        errors_are_ours,
        deadlines_end_the_work,
        what_the_host_says_of_itself,
        statistics_and_the_repository,
        settings,
        shared_memory_is_refused_in_words,
    ):
        print(check.__name__, flush=True)
        await check(client)


async def with_asyncio(url):
    async with triton_aio.InferenceServerClient(url) as client:
        await checks(client)
        calls = [client.infer(model("INT64"), [tensor("INT64", [number])]) for number in range(50)]
        for number, result in enumerate(await asyncio.gather(*calls)):
            assert result.as_numpy("output")[0] == number
        # One that leaves, and its work with it.
        leaving = asyncio.ensure_future(client.infer("sleep", [tensor("FP32", [0.0], "x")]))
        await asyncio.sleep(0.3)
        leaving.cancel()
        assert (await asyncio.gather(leaving, return_exceptions=True))[0] is not None

        async def requests():
            for number in range(20):
                name = "none" if number % 10 == 9 else model("INT64")
                inputs = [tensor("INT64", [number])]
                yield {"model_name": name, "inputs": inputs, "request_id": str(number)}

        answers = [answer async for answer in client.stream_infer(requests())]
        assert len(answers) == 20
        for number, (result, error) in enumerate(answers):
            if number % 10 == 9:
                assert 'there is no model "none"' in error.message(), error
            else:
                assert error is None and result.as_numpy("output")[0] == number, (number, error)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    url = parser.parse_args().url
    asyncio.run(checks(Awaited(triton.InferenceServerClient(url))))
    print("asyncio", flush=True)
    asyncio.run(with_asyncio(url))


if __name__ == "__main__":
    main()
