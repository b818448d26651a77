//! The forms of requests as JSON, one for each kind of address.

use bytes::Bytes;

use super::{decode_generate, decode_json};
use crate::codec::error::DecodeError;
use crate::codec::json::scanner::JsonScanner;
use crate::inference::InferRequest;
use crate::scheduler::CallContext;
use crate::tensor::Signature;

/// The form of an address's requests as JSON.
pub trait JsonForm {
    /// Reads a request. `rest` is the part of the body after the JSON, the bytes of binary tensors.
    fn read(&self, json: &Bytes, rest: Bytes, signature: &Signature) -> Result<InferRequest, DecodeError>;

    /// True for JSON that is no request, and may be a model's input as it is.
    fn is_other_value(&self, json: &[u8]) -> bool;
}

/// Requests to `infer`: objects with a list of inputs.
pub struct InferForm<'a> {
    pub context: &'a CallContext,
}

impl JsonForm for InferForm<'_> {
    fn read(&self, json: &Bytes, rest: Bytes, _: &Signature) -> Result<InferRequest, DecodeError> {
        decode_json(self.context, json, rest)
    }

    fn is_other_value(&self, json: &[u8]) -> bool {
        let mut scanner = JsonScanner::new(json);
        let mut has_inputs = false;
        let read = match scanner.rest_if(b'{') {
            Some(_) => scanner.object(|scanner, field| {
                has_inputs |= field == "inputs";
                scanner.skip_value()
            }),
            None => scanner.skip_value(),
        };
        read.and_then(|()| scanner.end()).is_ok() && !has_inputs
    }
}

/// Requests to `generate`: objects whose fields are inputs and parameters, so that every object may be a request.
pub struct GenerateForm;

impl JsonForm for GenerateForm {
    fn read(&self, json: &Bytes, rest: Bytes, signature: &Signature) -> Result<InferRequest, DecodeError> {
        match rest.len() {
            0 => decode_generate(json, signature),
            left => Err(DecodeError::BinaryLeft { left }),
        }
    }

    fn is_other_value(&self, _: &[u8]) -> bool {
        false
    }
}
