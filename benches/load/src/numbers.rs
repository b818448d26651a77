//! Requests with one tensor of numbers, as bytes and as JSON.

use bulkhead_messages::{InferInputTensor, ModelInferRequest};

use crate::client::{Request, request};
use crate::grpc::Call;

/// A request with one tensor of FP32.
pub struct Numbers {
    pub model: &'static str,
    pub input: &'static str,
    pub shape: &'static [usize],
}

impl Numbers {
    fn values(&self) -> impl Iterator<Item = f32> {
        // A fixed seed, so that every run has the same numbers.
        let mut state = 88_172_645_463_325_252u64;
        let next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(self.shape.iter().product())
    }

    fn data(&self) -> Vec<u8> {
        self.values().flat_map(f32::to_le_bytes).collect()
    }

    fn path(&self) -> String {
        format!("/v2/models/{}/infer", self.model)
    }

    /// A gRPC call with the tensor as bytes in the request and the reply.
    pub fn as_call(&self) -> Request {
        let shape = self.shape.iter().map(|dimension| i64::try_from(*dimension).expect("a small shape")).collect();
        let input = InferInputTensor { name: self.input.into(), datatype: "FP32".into(), shape, contents: None };
        let request = ModelInferRequest {
            model_name: self.model.into(),
            id: String::new(),
            inputs: vec![input],
            raw_input_contents: vec![self.data().into()],
        };
        Request::Grpc(Call::new("/inference.GRPCInferenceService/ModelInfer", &request))
    }

    /// An HTTP request with the tensor as bytes in the request and the reply.
    pub fn as_bytes(&self) -> Request {
        let Numbers { input, shape, .. } = self;
        let data = self.data();
        let size = data.len();
        let json = format!(
            r#"{{"parameters":{{"binary_data_output":true}},"inputs":[{{"name":"{input}","shape":{shape:?},"datatype":"FP32","parameters":{{"binary_data_size":{size}}}}}]}}"#,
        );
        let head = format!("inference-header-content-length: {}", json.len());
        request(&self.path(), &head, &[json.as_bytes(), &data].concat())
    }

    /// An HTTP request with the tensor as JSON in the request and the reply. The numbers have the digits of a double, as
    /// Python writes them.
    pub fn as_json(&self) -> Request {
        self.as_json_with("content-type: application/json")
    }

    /// The JSON request with additional headers.
    pub fn as_json_with(&self, headers: &str) -> Request {
        let Numbers { input, shape, .. } = self;
        let data: Vec<String> = self.values().map(|value| f64::from(value).to_string()).collect();
        let data = data.join(", ");
        let json =
            format!(r#"{{"inputs":[{{"name":"{input}","shape":{shape:?},"datatype":"FP32","data":[{data}]}}]}}"#);
        request(&self.path(), headers, json.as_bytes())
    }
}
