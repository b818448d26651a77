"""Holds a stream open until the host ends it, because the rights of its caller end. The stream must end with the status
that a new call gets."""

import argparse
import os
import queue

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc


def ended(answers):
    """The status with which the answers end: its name, its text, and the host's code."""
    try:
        for answer in answers:
            # The call that was under way may be refused before the stream ends.
            assert "revoked" in answer.error_message or not answer.error_message, answer
    except grpc.RpcError as error:
        codes = [value for name, value in error.trailing_metadata() if name == "bulkhead-code"]
        return error.code().name, error.details(), codes
    raise AssertionError("the stream ended without a status")


def main():
    parser = argparse.ArgumentParser()
    for name in ["url", "model", "input", "status", "code", "text"]:
        parser.add_argument("--" + name, required=True)
    wanted = parser.parse_args()
    key = [("authorization", "Bearer " + os.environ["BULKHEAD_KEY"])]
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(wanted.url))
    request = pb.ModelInferRequest(model_name=wanted.model, raw_input_contents=[b"\0\0\x80\x3f"])
    request.inputs.add(name=wanted.input, datatype="FP32", shape=[1])
    requests = queue.Queue()
    requests.put(request)
    status = ended(stub.ModelStreamInfer(iter(requests.get, None), metadata=key))
    requests.put(None)
    assert status[0] == wanted.status and wanted.text in status[1] and status[2] == [wanted.code], status
    assert ended(stub.ModelStreamInfer(iter([request]), metadata=key)) == status


main()
