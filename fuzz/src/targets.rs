//! The fuzz targets, each with the format of its input.

use bulkhead::numbers::to_usize;
use bulkhead::protocol::oip::json::Raw;
use bulkhead::tensor::{Datatype, NamedTensors, Tensor, push_byte_string};
use bytes::Bytes;

use crate::invariants::decoded;
use crate::{codecs, reference, round_trip, signatures};

/// Bound on the tensors of a request where few bytes can stand for many, as a tenant's `request-bytes`.
const REQUEST_BYTES: u64 = 1 << 16;

/// Memory for a list that grows to its bound: while it is moved it exists twice, which takes three times its size.
const LIST_ALLOWANCE: u64 = 3 * REQUEST_BYTES;

fn all_agree(tensors: Option<NamedTensors>) {
    tensors.iter().flatten().for_each(|(_, tensor)| round_trip::check(tensor));
}

/// A JSON request, in the protocol's form and in the form of `generate`.
pub(crate) fn json(input: &[u8]) {
    let tensors = decoded(input.len(), 0, || codecs::json(input, Bytes::new()));
    if let Some(tensors) = &tensors {
        reference::check(input, tensors);
    }
    all_agree(tensors);
    let signature = signatures::one_of_each();
    all_agree(decoded(input.len(), 0, || codecs::generate(input, &signature)));
}

/// JSON up to the first zero byte, and binary tensors after it. If the head begins with `?`, it is the query of an address,
/// and the rest is one tensor.
pub(crate) fn binary(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (head, rest) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    let rest = Bytes::copy_from_slice(rest);
    match (head.strip_prefix(b"?"), std::str::from_utf8(head)) {
        (Some(_), Ok(query)) => only_tensor(&query[1..], &rest),
        (Some(_), Err(_)) => {}
        (None, _) => all_agree(decoded(input.len(), 0, || codecs::json(head, rest.clone()))),
    }
}

fn only_tensor(query: &str, body: &Bytes) {
    let shapes: [&[i64]; 4] = [&[-1], &[-1, 3], &[2, 2], &[]];
    for signature in shapes.into_iter().flat_map(signatures::alone) {
        for raw in [Raw::Plain, Raw::Binary] {
            let arrived = query.len() + body.len();
            let tensors = decoded(arrived, 0, || codecs::raw(raw, body, query, &signature));
            let Some(tensors) = tensors else { continue };
            let [(_, tensor)] = &tensors[..] else { unreachable!("the model has one input: {tensors:?}") };
            match tensor.datatype() {
                Datatype::Bytes => assert_eq!(tensor.data(), Tensor::byte_string(body).data()),
                _ => assert_eq!(tensor.data(), body),
            }
        }
    }
}

/// A `ModelInferRequest`.
pub(crate) fn grpc(input: &[u8]) {
    let message = Bytes::copy_from_slice(input);
    all_agree(decoded(input.len(), 0, || codecs::grpc(message.clone())));
}

/// A body of `:predict`, `:classify` and `:regress`.
pub(crate) fn tensorflow_rest(input: &[u8]) {
    for signature in signatures::alone(&[-1, -1]).chain([signatures::one_of_each()]) {
        let specs = &signature.inputs;
        let predict = || codecs::predict_rest(input, specs, REQUEST_BYTES).map(|(tensors, _)| tensors);
        all_agree(decoded(input.len(), LIST_ALLOWANCE, predict));
        all_agree(decoded(input.len(), LIST_ALLOWANCE, || codecs::examples_rest(input, specs, REQUEST_BYTES)));
    }
}

/// A `PredictRequest`.
pub(crate) fn tensorflow_grpc(input: &[u8]) {
    let message = Bytes::copy_from_slice(input);
    all_agree(decoded(input.len(), LIST_ALLOWANCE, || codecs::predict_grpc(message.clone(), REQUEST_BYTES)));
}

/// A datatype, the number of rows, and the elements' bytes; elements of BYTES are separated by line feeds.
pub(crate) fn round_trip(input: &[u8]) {
    if let Some(tensor) = tensor(input) {
        round_trip::check(&tensor);
    }
}

/// A datatype, the size of the parts, and a JSON array, possibly followed by other text.
pub(crate) fn parts(input: &[u8]) {
    let [datatype, size, json @ ..] = input else { return };
    let size = 1 + usize::from(*size) % 64;
    let (whole, in_parts) = codecs::elements(datatype_of(*datatype), &Bytes::copy_from_slice(json), size);
    if let Some(parsed) = in_parts {
        assert_eq!(whole, Ok(parsed));
    }
}

fn datatype_of(byte: u8) -> Datatype {
    Datatype::ALL[usize::from(byte) % Datatype::ALL.len()]
}

fn tensor(input: &[u8]) -> Option<Tensor> {
    let [datatype, rows, data @ ..] = input else { return None };
    let datatype = datatype_of(*datatype);
    let (elements, data) = match datatype.width() {
        Some(width) => {
            let whole = data.len() - data.len() % to_usize(width);
            (whole as u64 / width, data[..whole].to_vec())
        }
        None => byte_strings(data),
    };
    let shape = match u64::from(*rows) {
        0 if elements == 1 => Vec::new(),
        0 => vec![elements],
        rows if elements.is_multiple_of(rows) => vec![rows, elements / rows],
        _ => vec![1, elements, 1],
    };
    Some(Tensor::new(datatype, shape, data.into()).expect("the shape was made from the number of elements"))
}

fn byte_strings(data: &[u8]) -> (u64, Vec<u8>) {
    let (mut elements, mut bytes) = (0, Vec::new());
    for text in data.split(|byte| *byte == b'\n') {
        push_byte_string(&mut bytes, text);
        elements += 1;
    }
    (elements, bytes)
}
