"""Clients that were given the other port. Arguments: HTTP's address, gRPC's address."""

import sys

import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
try:
    client.get_server_metadata()
    raise AssertionError("the port for HTTP")
except InferenceServerException as error:
    assert error.status() == "StatusCode.UNIMPLEMENTED", error
    assert "gRPC is not on this port" in error.message() and "listen.grpc" in error.message(), error
client.close()
print("all")
