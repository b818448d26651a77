"""Runs mlp.onnx with ONNX Runtime."""

from pathlib import Path

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args):
        options = onnxruntime.SessionOptions()
        # More threads than one are slower for a network so small.
        options.intra_op_num_threads = 1
        graph = Path(args["model_repository"]) / args["model_version"] / "mlp.onnx"
        self.session = onnxruntime.InferenceSession(str(graph), options)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = triton.get_input_tensor_by_name(request, "x").as_numpy()
        (y,) = self.session.run(["y"], {"x": x})
        return triton.InferenceResponse(output_tensors=[triton.Tensor("y", y)])
