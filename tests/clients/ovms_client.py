"""The client of OpenVINO's model server, over HTTP and gRPC. Arguments: HTTP's address, gRPC's address."""

import sys

import numpy as np
from ovmsclient import make_grpc_client, make_http_client
from ovmsclient.tfs_compat.base.errors import InvalidInputError, ModelNotFoundError

HTTP, GRPC = sys.argv[1:]
ROWS = np.array([[1, 2.5, -3], [4, 5, 6]], dtype=np.float32)
HUGE = np.array([[-(2**63), 2**63 - 1]], dtype=np.int64)


def fails(wanted, call, text):
    try:
        call()
    except wanted as error:
        assert text in str(error), error
        return
    raise AssertionError(text)


def texts(found):
    return [element.decode() if isinstance(element, bytes) else element for element in found.ravel()]


for make, address in ((make_http_client, HTTP), (make_grpc_client, GRPC)):
    client = make(address)
    assert client.get_model_status("fp32") == {1: {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert "input" in str(client.get_model_metadata("fp32"))
    # Without a version, this client asks for version 0.
    for version in (0, 1):
        assert np.array_equal(client.predict({"input": ROWS}, "fp32", version), ROWS), make
    assert np.array_equal(client.predict({"input": HUGE}, "int64"), HUGE), make
    assert texts(client.predict({"input": [["a", "Grüße"]]}, "bytes")) == ["a", "Grüße"], make
    fails(ModelNotFoundError, lambda: client.predict({"input": [1.0]}, "none"), 'no model "none"')
    fails(ModelNotFoundError, lambda: client.get_model_status("none"), 'no model "none"')
    fails(InvalidInputError, lambda: client.predict({"x": [1.0]}, "fp32"), "input")

# Bytes that are no text come back over gRPC only: the answer's name does not end in _bytes.
picture = b"\x89PNG\xff"
assert make_grpc_client(GRPC).predict({"input": [[picture]]}, "bytes").ravel()[0] == picture
print("all")
