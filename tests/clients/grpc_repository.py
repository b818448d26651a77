"""Unloads and loads a model over gRPC again and again: once a load is answered, a call on another connection is, too. With
--fails TEXT, the load must fail with that text.
"""

import argparse
import os

import grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc


def main():
    parser = argparse.ArgumentParser()
    for name in ["url", "model", "input"]:
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--fails")
    wanted = parser.parse_args()
    key = [("authorization", "Bearer " + os.environ["BULKHEAD_KEY"])]
    stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(wanted.url))
    load = pb.RepositoryModelLoadRequest(model_name=wanted.model)
    if wanted.fails:
        try:
            stub.RepositoryModelLoad(load, metadata=key)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE and wanted.fails in error.details(), error
            return
        raise AssertionError("the load was answered")
    request = pb.ModelInferRequest(model_name=wanted.model, raw_input_contents=[b"\0\0\x80\x3f"])
    request.inputs.add(name=wanted.input, datatype="FP32", shape=[1])
    for _ in range(10):
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name=wanted.model), metadata=key)
        stub.RepositoryModelLoad(load, metadata=key)
        with grpc.insecure_channel(wanted.url) as other:
            service_pb2_grpc.GRPCInferenceServiceStub(other).ModelInfer(request, metadata=key)


main()
