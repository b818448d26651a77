"""Gives back the tensor that it got."""

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        x = triton.get_input_tensor_by_name(request, "x").as_numpy()
        return triton.InferenceResponse(output_tensors=[triton.Tensor("y", x)])
