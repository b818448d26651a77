"""Holds a stream and a watch open until the host shuts down, and wants to be told."""

import argparse
import queue
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    channel = grpc.insecure_channel(parser.parse_args().url)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    request = pb.ModelInferRequest(model_name="identity-int8", raw_input_contents=[b"a"])
    request.inputs.add(name="input", datatype="INT8", shape=[1])
    requests = queue.Queue()
    requests.put(request)
    stream = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelStreamInfer(iter(requests.get, None))
    assert not next(stream).error_message
    # Longer than this host lets a body take.
    time.sleep(2.5)
    requests.put(request)
    assert not next(stream).error_message
    # From here on it waits for the test to end the host.
    try:
        next(stream)
        raise AssertionError("an answer to nothing")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        assert "shutting down" in error.details(), error
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert next(watch, None) is None
    requests.put(None)


main()
