//! The conversion between `TensorProto`, TensorFlow's tensors on the wire, and the host's tensors.

use bytes::Bytes;

use crate::codec::error::DecodeError;
use crate::codec::protobuf::fields::{Fields, MAX_FIELDS};
use crate::codec::protobuf::repeated::RepeatedElements;
use crate::codec::tensor_head::tensor_shape;
use crate::config::format_bytes;
use crate::protocol::pb::tensorflow as tf;
use crate::tensor::{Datatype, Tensor};

pub fn data_type(datatype: Datatype) -> tf::DataType {
    match datatype {
        Datatype::Bool => tf::DataType::DtBool,
        Datatype::Uint8 => tf::DataType::DtUint8,
        Datatype::Uint16 => tf::DataType::DtUint16,
        Datatype::Uint32 => tf::DataType::DtUint32,
        Datatype::Uint64 => tf::DataType::DtUint64,
        Datatype::Int8 => tf::DataType::DtInt8,
        Datatype::Int16 => tf::DataType::DtInt16,
        Datatype::Int32 => tf::DataType::DtInt32,
        Datatype::Int64 => tf::DataType::DtInt64,
        Datatype::Fp16 => tf::DataType::DtHalf,
        Datatype::Bf16 => tf::DataType::DtBfloat16,
        Datatype::Fp32 => tf::DataType::DtFloat,
        Datatype::Fp64 => tf::DataType::DtDouble,
        Datatype::Bytes => tf::DataType::DtString,
    }
}

fn datatype(input: &str, number: i32) -> Result<Datatype, DecodeError> {
    let known = Datatype::ALL.into_iter().find(|datatype| data_type(*datatype) as i32 == number);
    known.ok_or_else(|| {
        let name =
            tf::DataType::try_from(number).map_or_else(|_| number.to_string(), |known| known.as_str_name().into());
        let known = Datatype::ALL.map(|datatype| data_type(datatype).as_str_name()).join(", ");
        wrong(format!("input \"{input}\" has dtype {name}, which this host does not support; it supports {known}"))
    })
}

/// Number of the field of a `TensorProto` that lists the elements of a datatype.
fn list(datatype: Datatype) -> u32 {
    match datatype {
        Datatype::Fp32 => 5,
        Datatype::Fp64 => 6,
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 | Datatype::Uint8 | Datatype::Uint16 => 7,
        Datatype::Bytes => 8,
        Datatype::Int64 => 10,
        Datatype::Bool => 11,
        Datatype::Fp16 | Datatype::Bf16 => 13,
        Datatype::Uint32 => 16,
        Datatype::Uint64 => 17,
    }
}

/// Number of the field `tensor_content`, which holds elements as they are in memory.
const CONTENT: u32 = 4;

pub fn shape(sizes: impl Iterator<Item = i64>) -> tf::TensorShapeProto {
    let dim = sizes.map(|size| tf::tensor_shape_proto::Dim { size, name: String::new() }).collect();
    tf::TensorShapeProto { dim, unknown_rank: false }
}

/// Reads a `TensorProto`. Its last value may stand for many; the bytes that such values become are taken from
/// `repeat_budget`, which the tensors of a request share.
pub fn decode(input: &str, message: Bytes, repeat_budget: &mut u64) -> Result<Tensor, DecodeError> {
    let (number, sizes) = head(input, message.clone())?;
    let datatype = datatype(input, number)?;
    let (shape, count) = tensor_shape(input, &sizes)?;
    let data = data(input, message, datatype, count, repeat_budget)?;
    Tensor::new(datatype, shape, data).map_err(|error| DecodeError::Tensor { input: input.to_owned(), error })
}

fn head(input: &str, message: Bytes) -> Result<(i32, Vec<i64>), DecodeError> {
    let (mut number, mut sizes) = (0, Vec::new());
    let mut fields = Fields::at_most(message.len(), message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            // An enum has 32 bits; a longer varint is cut to them, as every reader of protobuf does.
            1 => number = ((field.varint()? & 0xffff_ffff) as u32).cast_signed(),
            2 => sizes = sizes_of(input, field.bytes()?)?,
            _ => {}
        }
    }
    Ok((number, sizes))
}

fn sizes_of(input: &str, message: Bytes) -> Result<Vec<i64>, DecodeError> {
    let mut sizes = Vec::new();
    let mut fields = Fields::at_most(MAX_FIELDS, message);
    while let Some(field) = fields.next_field()? {
        match field.number {
            2 => {
                let mut size = 0;
                let mut dimension = Fields::of(field.bytes()?);
                while let Some(field) = dimension.next_field()? {
                    if field.number == 1 {
                        size = field.varint()?.cast_signed();
                    }
                }
                sizes.push(size);
            }
            3 if field.varint()? != 0 => return Err(wrong(format!("input \"{input}\" has a shape of unknown rank"))),
            _ => {}
        }
    }
    Ok(sizes)
}

fn data(
    input: &str,
    message: Bytes,
    datatype: Datatype,
    count: u64,
    repeat_budget: &mut u64,
) -> Result<Bytes, DecodeError> {
    let problem = |problem: String| DecodeError::Data { input: input.to_owned(), problem };
    let mut elements = RepeatedElements::new(datatype, count);
    let mut content = None;
    let mut fields = Fields::at_most(message.len(), message);
    while let Some(field) = fields.next_field()? {
        if field.number == list(datatype) {
            elements.take(field).map_err(|error| problem(error.to_string()))?;
        } else if field.number == CONTENT {
            content = Some(field.bytes()?).filter(|content| !content.is_empty());
        } else if field.number >= CONTENT {
            let wanted = data_type(datatype).as_str_name();
            return Err(problem(format!("its values are not in the list that belongs to {wanted}")));
        }
    }
    match content {
        Some(_) if datatype == Datatype::Bytes => {
            Err(problem("strings belong in string_val, not in tensor_content".into()))
        }
        Some(content) => Ok(content),
        None => {
            let repeated = elements.repeated_size();
            *repeat_budget = repeat_budget.checked_sub(repeated).ok_or_else(|| {
                let left = format_bytes(*repeat_budget);
                problem(format!(
                    "its last value would be repeated beyond the {left} that http.request-bytes leaves for repeated values"
                ))
            })?;
            Ok(elements.finish_repeating_last())
        }
    }
}

/// Writes a tensor into the list of its datatype, and not into `tensor_content`, because clients without TensorFlow read
/// the lists.
pub fn encode(tensor: &Tensor) -> tf::TensorProto {
    let datatype = tensor.datatype();
    let data = tensor.data();
    let mut proto = tf::TensorProto {
        dtype: data_type(datatype).into(),
        tensor_shape: Some(shape(tensor.shape().iter().map(|size| size.cast_signed()))),
        ..Default::default()
    };
    match datatype {
        Datatype::Bool => proto.bool_val = data.iter().map(|byte| *byte != 0).collect(),
        Datatype::Uint8 => proto.int_val = data.iter().map(|byte| i32::from(*byte)).collect(),
        Datatype::Int8 => proto.int_val = list_of(data, |bytes| i8::from_le_bytes(bytes).into()),
        Datatype::Uint16 => proto.int_val = list_of(data, |bytes| u16::from_le_bytes(bytes).into()),
        Datatype::Int16 => proto.int_val = list_of(data, |bytes| i16::from_le_bytes(bytes).into()),
        Datatype::Int32 => proto.int_val = list_of(data, i32::from_le_bytes),
        Datatype::Uint32 => proto.uint32_val = list_of(data, u32::from_le_bytes),
        Datatype::Uint64 => proto.uint64_val = list_of(data, u64::from_le_bytes),
        Datatype::Int64 => proto.int64_val = list_of(data, i64::from_le_bytes),
        Datatype::Fp16 | Datatype::Bf16 => proto.half_val = list_of(data, |bytes| u16::from_le_bytes(bytes).into()),
        Datatype::Fp32 => proto.float_val = list_of(data, f32::from_le_bytes),
        Datatype::Fp64 => proto.double_val = list_of(data, f64::from_le_bytes),
        Datatype::Bytes => proto.string_val = tensor.byte_strings().map(|text| data.slice_ref(text)).collect(),
    }
    proto
}

fn list_of<T, const WIDTH: usize>(data: &[u8], read: impl Fn([u8; WIDTH]) -> T) -> Vec<T> {
    data.as_chunks::<WIDTH>().0.iter().map(|bytes| read(*bytes)).collect()
}

pub fn wrong(text: String) -> DecodeError {
    DecodeError::Tensorflow(text)
}

#[cfg(test)]
mod tests {
    use half::f16;
    use prost::Message;

    use super::*;

    fn read(proto: &tf::TensorProto) -> Result<Tensor, String> {
        decode("x", proto.encode_to_vec().into(), &mut 1000).map_err(|error| error.to_string())
    }

    fn floats(sizes: &[i64], values: &[f32]) -> tf::TensorProto {
        tf::TensorProto {
            dtype: tf::DataType::DtFloat.into(),
            tensor_shape: Some(shape(sizes.iter().copied())),
            float_val: values.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn encoded_tensors_decode_to_themselves() {
        for datatype in Datatype::ALL {
            let data: Vec<u8> = match datatype.width() {
                Some(1) => vec![0, 1],
                Some(width) => (0..2 * u8::try_from(width).unwrap()).map(|byte| byte % 3).collect(),
                None => b"\x02\0\0\0hi\0\0\0\0".to_vec(),
            };
            let tensor = Tensor::new(datatype, vec![2, 1], data.into()).unwrap();
            assert_eq!(read(&encode(&tensor)).unwrap(), tensor);
        }
    }

    #[test]
    fn short_lists_repeat_their_last_value() {
        let last: Vec<u8> = [1.0f32, 2.0, 2.0, 2.0].into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(read(&floats(&[2, 2], &[1.0, 2.0])).unwrap().data(), &last);
        assert_eq!(read(&floats(&[3], &[])).unwrap().data(), &[0; 12][..]);
        let mut texts = floats(&[3], &[]);
        texts.dtype = tf::DataType::DtString.into();
        texts.string_val = vec!["a".into(), "bc".into()];
        assert_eq!(read(&texts).unwrap().byte_strings().collect::<Vec<_>>(), [&b"a"[..], b"bc", b"bc"]);
        texts.string_val.clear();
        assert_eq!(read(&texts).unwrap().byte_strings().collect::<Vec<_>>(), [b""; 3]);
        assert!(read(&floats(&[1 << 40], &[1.0])).unwrap_err().contains("beyond the 1000 B"));
        assert!(read(&floats(&[1], &[1.0, 2.0])).unwrap_err().contains("hold more"));
    }

    #[test]
    fn repeated_values_of_a_request_share_a_budget() {
        let message: Bytes = floats(&[20], &[1.0]).encode_to_vec().into();
        let mut budget = 160;
        assert!(decode("a", message.clone(), &mut budget).is_ok());
        assert!(decode("b", message.clone(), &mut budget).is_ok());
        let error = decode("c", message, &mut budget).unwrap_err().to_string();
        assert!(error.contains("repeated beyond the 8 B"), "{error}");
        let whole = floats(&[3], &[1.0, 2.0, 3.0]).encode_to_vec();
        assert!(decode("d", whole.into(), &mut budget).is_ok());
    }

    #[test]
    fn content_lies_as_in_memory() {
        let mut content = floats(&[1], &[]);
        content.tensor_content = f16::from_f32(0.5).to_le_bytes().to_vec().into();
        assert!(read(&content).unwrap_err().contains("has 2 bytes of data"));
        content.dtype = tf::DataType::DtHalf.into();
        assert_eq!(read(&content).unwrap().data(), &f16::from_f32(0.5).to_le_bytes()[..]);
        content.dtype = tf::DataType::DtString.into();
        assert!(read(&content).unwrap_err().contains("string_val"));
        content.dtype = tf::DataType::DtComplex64.into();
        assert!(read(&content).unwrap_err().contains("DT_COMPLEX64"));
        let mut other = floats(&[1], &[1.0]);
        other.dtype = tf::DataType::DtInt32.into();
        assert!(read(&other).unwrap_err().contains("the list that belongs to DT_INT32"));
    }

    /// Truncated and corrupted messages must give a tensor or an error, and never a panic.
    #[test]
    fn damaged_messages_are_tensors_or_errors() {
        for whole in [floats(&[2, 2], &[1.0, 2.0]).encode_to_vec(), encode(&Tensor::byte_string(b"hi")).encode_to_vec()]
        {
            for at in 0..whole.len() {
                let _ = decode("x", whole[..at].to_vec().into(), &mut 1000);
                for mask in [0x01, 0x08, 0x80, 0xff] {
                    let mut corrupted = whole.clone();
                    corrupted[at] ^= mask;
                    let _ = decode("x", corrupted.into(), &mut 1000);
                }
            }
        }
    }
}
