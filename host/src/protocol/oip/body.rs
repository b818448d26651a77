//! The decoder of the bodies of `infer` and `generate`: a request as JSON, or the bytes of the model's only input. The binary
//! header decides, else the content type, by one rule for every address.

use axum::http::HeaderMap;
use bytes::Bytes;

use super::json::{self, JsonForm, Raw};
use crate::codec::error::DecodeError;
use crate::codec::json::scanner::begins_object;
use crate::error::ApiError;
use crate::http::binary_header::json_length;
use crate::http::inference::ArrivedRequest;
use crate::http::media_type::{MediaType, unwrap_form};
use crate::inference::InferRequest;
use crate::pipeline::Pipeline;
use crate::tensor::Signature;

/// Decodes the body of a request, and adds the parameters in its address.
pub(super) fn decode(
    arrived: &mut ArrivedRequest,
    model: &Pipeline,
    form: &impl JsonForm,
) -> Result<InferRequest, ApiError> {
    let body = arrived.take_any_body()?;
    let (format, body) = BodyFormat::of(&arrived.head.headers, body)?;
    arrived.with_query(format.decode(&body, &model.signature, form)?)
}

/// The format of a request's body.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BodyFormat {
    /// A request as JSON of this length in bytes, and binary tensors after it.
    Request(usize),
    /// JSON of a client that says so: a request, or else the model's only input.
    Json,
    /// The bytes of the model's only input.
    Raw(Raw),
    /// JSON if it is a request of this model, else the bytes of the model's only input.
    Either,
    /// A text, which is the model's only input. One that is a request of this model is refused, because it may be either: the
    /// request of a client that gave no type, or the text of somebody who must not choose the parameters.
    Text,
}

impl BodyFormat {
    /// The format, and the body or that of a form's only part. The protocol's clients often send no content type, or the
    /// default of their library.
    fn of(headers: &HeaderMap, body: Bytes) -> Result<(BodyFormat, Bytes), ApiError> {
        if let Some(length) = json_length(headers, body.len())? {
            let format = if length == 0 { BodyFormat::Raw(Raw::Binary) } else { BodyFormat::Request(length) };
            return Ok((format, body));
        }
        let (media_type, body) = unwrap_form(headers, body)?;
        let object = begins_object(&body);
        let format = match media_type {
            MediaType::Json => BodyFormat::Json,
            MediaType::Absent => BodyFormat::Request(body.len()),
            MediaType::CurlDefault if object => BodyFormat::Request(body.len()),
            MediaType::Octets if object => BodyFormat::Either,
            MediaType::Text if object => BodyFormat::Text,
            _ => BodyFormat::Raw(Raw::Plain),
        };
        Ok((format, body))
    }

    fn decode(self, body: &Bytes, signature: &Signature, form: &impl JsonForm) -> Result<InferRequest, ApiError> {
        let as_json = || form.read(body, Bytes::new(), signature);
        let as_input = || json::decode_raw(Raw::Plain, body, signature);
        Ok(match self {
            BodyFormat::Request(length) => form.read(&body.slice(..length), body.slice(length..), signature)?,
            BodyFormat::Json => match as_json() {
                Err(refused) if form.is_other_value(body) => as_input().map_err(|_| refused)?,
                decoded => decoded?,
            },
            BodyFormat::Raw(raw) => match json::decode_raw(raw, body, signature) {
                // The model takes no plain body, so this can only be JSON, whatever its type: browsers send JSON as plain
                // text.
                Err(DecodeError::NotBytes { .. }) if begins_object(body) => as_json()?,
                decoded => decoded?,
            },
            BodyFormat::Text => match as_input() {
                Err(DecodeError::NotBytes { .. }) => as_json()?,
                _ if as_json().is_ok_and(|request| is_of_model(&request, signature)) => return Err(text_or_request()),
                decoded => decoded?,
            },
            BodyFormat::Either => match as_json() {
                Ok(request) if is_of_model(&request, signature) => request,
                decoded => as_input().or(decoded)?,
            },
        })
    }
}

fn text_or_request() -> ApiError {
    ApiError::MediaType {
        what: "a body of type text/plain that is a request as JSON".into(),
        instead: "send a request with content-type application/json, and a text that is the input with Inference-Header-Content-Length: 0",
    }
}

/// True if a request has inputs, and only inputs of the model: a text that is a request of another one is an input.
fn is_of_model(request: &InferRequest, signature: &Signature) -> bool {
    let known = |name: &str| signature.inputs.iter().any(|input| *input.name == *name);
    !request.inputs.is_empty() && request.inputs.iter().all(|(name, _)| known(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::binary_header::BINARY_HEADER;
    use crate::scheduler::CallContext;
    use crate::tensor::{Datatype, TensorSpec};

    fn headers(name: &'static str, values: &[&str]) -> HeaderMap {
        values.iter().filter(|value| !value.is_empty()).map(|v| (name.parse().unwrap(), v.parse().unwrap())).collect()
    }

    #[test]
    fn the_content_type_decides_and_curl_is_understood() {
        let format = |content_type: &str, body: &'static [u8]| {
            BodyFormat::of(&headers("content-type", &[content_type]), Bytes::from_static(body)).unwrap().0
        };
        assert_eq!(format("application/json; charset=utf-8", b"{}"), BodyFormat::Json);
        assert_eq!(format("", b"{}"), BodyFormat::Request(2));
        assert_eq!(format("application/x-www-form-urlencoded", b" {\"inputs\": []}"), BodyFormat::Request(15));
        assert_eq!(format("application/x-www-form-urlencoded", b"\x89PNG"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("image/png", b"{"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("application/octet-stream", b"{}"), BodyFormat::Either);
        assert_eq!(format("application/octet-stream", b"\xef\xbb\xbf {}"), BodyFormat::Either);
        assert_eq!(format("text/plain;charset=UTF-8", b"{}"), BodyFormat::Text);
        assert_eq!(format("text/plain", b"\xef\xbb\xbf{}"), BodyFormat::Text);
        assert_eq!(format("text/plain", b"hello"), BodyFormat::Raw(Raw::Plain));
        assert_eq!(format("application/vnd.api+json", b"[]"), BodyFormat::Json);
        let form = b"--b\r\ncontent-type: application/json\r\n\r\n{}\r\n--b--";
        assert_eq!(format("multipart/form-data; boundary=b", form), BodyFormat::Json);
        assert_eq!(format("application/octet-stream", b"\x89PNG"), BodyFormat::Raw(Raw::Plain));
    }

    #[test]
    fn the_binary_header_goes_before_the_content_type() {
        let format = |values: &[&str]| {
            BodyFormat::of(&headers(BINARY_HEADER, values), Bytes::from_static(b"{}1234")).map(|(format, _)| format)
        };
        assert_eq!(format(&["2"]).unwrap(), BodyFormat::Request(2));
        assert_eq!(format(&["6"]).unwrap(), BodyFormat::Request(6));
        assert_eq!(format(&["0"]).unwrap(), BodyFormat::Raw(Raw::Binary));
        assert!(matches!(format(&["7"]), Err(ApiError::Decode(DecodeError::HeaderTooLong { length: 7, body: 6 }))));
        for wrong in [&["-1"][..], &["two"], &["+2"], &["2", "2"], &["99999999999999999999999"]] {
            assert!(matches!(format(wrong), Err(ApiError::Decode(DecodeError::Header { .. }))), "{wrong:?}");
        }
    }

    /// The input of a model that takes one text, or `None` where the body is refused.
    fn input(format: BodyFormat, body: &'static [u8]) -> Option<Vec<u8>> {
        let spec = TensorSpec { name: "text".into(), datatype: Datatype::Bytes, shape: vec![1] };
        let signature = Signature { inputs: vec![spec], outputs: vec![] };
        let form = json::InferForm { context: &CallContext::without_cores() };
        let request = format.decode(&Bytes::from_static(body), &signature, &form).ok()?;
        request.inputs[0].1.byte_strings().next().map(<[u8]>::to_vec)
    }

    #[test]
    fn json_that_is_no_request_is_the_input_of_a_model_that_takes_any() {
        for value in [&br#"{"a": [1, "x"]}"#[..], b"[1, 2]", b"\"hello\"", b" 7\n", b"{}"] {
            assert_eq!(input(BodyFormat::Json, value), Some(value.to_vec()));
        }
        for refused in
            [&br#"{"inputs": []"#[..], br#"{"inputs": [{"name": "text"}]}"#, b"{\"a\": 1", b"{\"a\": 1} x", b""]
        {
            assert_eq!(input(BodyFormat::Json, refused), None, "{refused:?}");
        }
        let request = br#"{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hi"]}]}"#;
        assert_eq!(input(BodyFormat::Json, request), Some(b"hi".to_vec()));
    }

    #[test]
    fn a_text_or_file_is_a_request_only_if_it_has_inputs_of_the_model() {
        let empty = br#"{"inputs": []}"#;
        for format in [BodyFormat::Text, BodyFormat::Either] {
            assert_eq!(input(format, empty), Some(empty.to_vec()), "{format:?}");
        }
        let request = br#"{"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hi"]}]}"#;
        assert_eq!(input(BodyFormat::Text, request), None);
        assert_eq!(input(BodyFormat::Either, request), Some(b"hi".to_vec()));
    }
}
