//! The reader of a tensor's `data`: flat or nested arrays of numbers, booleans or strings, written as the tensor's bytes
//! while they are read. Numbers go from their digits straight to the datatype, so that they are rounded only once.

use bulkhead_tensor::match_datatype;

use super::array::{Array, Scalar};
use super::element_types::{
    Bools, Floats, Integers, Kind, Texts, TextsBase64OrObjects, TextsOrBase64, TextsOrObjects, Unread, Wrong, is_json,
};
use crate::numbers::to_usize;
use crate::tensor::{Datatype, element_count};

/// The elements that were read, as the bytes of a tensor.
#[derive(Debug, PartialEq)]
pub struct Parsed {
    pub bytes: Vec<u8>,
    pub count: u64,
    /// Sizes of the lists that hold the elements, outermost first; empty for a single value.
    pub nesting: Vec<u64>,
    /// Bytes of text that the elements take; more text may follow them.
    pub length: usize,
}

/// Reads the elements that a text begins with: those of a tensor of this shape, where it is given. They are a flat list, or
/// lists that are nested as the shape says. An error says which element is wrong and why.
pub fn parse(datatype: Datatype, shape: Option<&[u64]>, json: &[u8]) -> Result<Parsed, String> {
    let Some(shape) = shape else { return read_as(datatype, None, Array::new(json)) };
    let count = element_count(shape).map_err(|error| format!("the tensor {error}"))?;
    check_count(count, json)?;
    let parsed = read_as(datatype, Some(count), Array::new(json))?;
    if is_flat_or_nested_as(shape, &parsed.nesting) {
        return Ok(parsed);
    }
    let nesting = parsed.nesting;
    Err(format!(
        "the shape is {shape:?}, and the lists are nested as {nesting:?}; nest them as the shape says, or not at all"
    ))
}

/// True for a single value, a flat list, or lists that are nested as the shape says. No list stands in an empty list, so
/// that the nesting ends where the shape has a 0.
fn is_flat_or_nested_as(shape: &[u64], nesting: &[u64]) -> bool {
    let ends_empty = nesting.last() == Some(&0) && shape.starts_with(nesting);
    nesting.len() <= 1 || nesting == shape || ends_empty
}

/// Refuses a count beyond the elements that the text can hold, each of at least two characters, before anything is
/// allocated.
fn check_count(count: u64, json: &[u8]) -> Result<(), String> {
    match count > json.len() as u64 / 2 + 1 {
        true => Err(format!("the shape has {count} elements, and the data holds fewer")),
        false => Ok(()),
    }
}

pub(crate) fn read_as(datatype: Datatype, count: Option<u64>, array: Array) -> Result<Parsed, String> {
    match_datatype!(datatype, {
        boolean => read::<Bools>(count, array),
        integer T => read::<Integers<T>>(count, array),
        half T => read::<Floats<T>>(count, array),
        float T => read::<Floats<T>>(count, array),
        bytes => read::<Texts>(count, array),
    })
}

/// Like [`parse`], but an error if anything follows the elements.
pub fn parse_all(datatype: Datatype, shape: Option<&[u64]>, json: &str) -> Result<Parsed, String> {
    parse(datatype, shape, json.as_bytes()).and_then(|parsed| parsed.must_be_all_of(json))
}

/// Like [`parse_all`] without a shape, but an element of BYTES may also be an object `{"b64": "…"}`.
pub fn parse_all_with_base64(datatype: Datatype, json: &str) -> Result<Parsed, String> {
    match datatype {
        Datatype::Bytes => read::<TextsOrBase64>(None, Array::new(json.as_bytes()))?.must_be_all_of(json),
        _ => parse_all(datatype, None, json),
    }
}

/// Like [`parse_all_with_base64`], but any other object is an element of BYTES, too: its JSON as it was sent.
pub fn parse_all_with_base64_or_objects(datatype: Datatype, json: &str) -> Result<Parsed, String> {
    match datatype {
        Datatype::Bytes => read::<TextsBase64OrObjects>(None, Array::new(json.as_bytes()))?.must_be_all_of(json),
        _ => parse_all(datatype, None, json),
    }
}

/// Like [`parse_all`] without a shape, but an object is an element of BYTES, too: its JSON as it was sent.
pub fn parse_all_with_objects(datatype: Datatype, json: &str) -> Result<Parsed, String> {
    match datatype {
        Datatype::Bytes => read::<TextsOrObjects>(None, Array::new(json.as_bytes()))?.must_be_all_of(json),
        _ => parse_all(datatype, None, json),
    }
}

impl Parsed {
    fn must_be_all_of(self, json: &str) -> Result<Parsed, String> {
        match json.get(self.length..).and_then(|rest| rest.chars().next()) {
            None => Ok(self),
            Some(more) => {
                Err(format!("expected the end, and found '{}' at byte {}", more.escape_default(), self.length))
            }
        }
    }
}

fn read<K: Kind>(count: Option<u64>, mut array: Array) -> Result<Parsed, String> {
    let mut elements = ElementReader::<K>::new(count);
    while let Some(scalar) = array.next()? {
        array.skip(elements.push(scalar)?);
        while let Some(rest) = array.next_number() {
            array.skip(elements.push_number(rest)?);
        }
    }
    elements.finish(array)
}

/// The elements that were read so far.
struct ElementReader<K> {
    bytes: Vec<u8>,
    found: u64,
    count: Option<u64>,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> ElementReader<K> {
    fn new(count: Option<u64>) -> Self {
        let capacity = to_usize(count.unwrap_or_default()) * K::WIDTH;
        ElementReader { bytes: Vec::with_capacity(capacity), found: 0, count, kind: std::marker::PhantomData }
    }

    /// Appends one element, and returns the length of its text if it is a number or an object, and 0 otherwise.
    fn push(&mut self, scalar: Scalar) -> Result<usize, String> {
        if let Scalar::Number(rest) = scalar {
            return self.push_number(rest);
        }
        self.check_count()?;
        let length = match scalar {
            Scalar::Object(rest) => K::object(rest, &mut self.bytes).map_err(|why| self.unread(scalar, why))?,
            Scalar::Text(quoted) => {
                K::text(quoted, &mut self.bytes).map_err(|why| self.unread(scalar, why))?;
                0
            }
            Scalar::Boolean(value) => {
                K::boolean(value, &mut self.bytes).map_err(|Wrong| self.wrong(scalar))?;
                0
            }
            Scalar::Null | Scalar::Number(_) => {
                K::null(&mut self.bytes).map_err(|Wrong| self.wrong(scalar))?;
                0
            }
        };
        self.found += 1;
        Ok(length)
    }

    #[inline]
    fn push_number(&mut self, rest: &[u8]) -> Result<usize, String> {
        self.check_count()?;
        let length = K::number(rest, &mut self.bytes).map_err(|Wrong| self.wrong(Scalar::Number(rest)))?;
        self.found += 1;
        Ok(length)
    }

    #[inline]
    fn check_count(&self) -> Result<(), String> {
        match self.count {
            Some(count) if self.found == count => Err(too_many(count)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn wrong(&self, scalar: Scalar) -> String {
        let (element, given) = (self.found, scalar.describe());
        // Python and C++ write 1.0 as `1.`, too.
        let digits = given.bytes().any(|byte| byte.is_ascii_digit());
        if matches!(scalar, Scalar::Number(_)) && digits && !is_json(given.as_bytes()) {
            return format!(
                "element {element} is {given}, and JSON has no such number: a point has digits on both sides, and no 0 stands before other digits"
            );
        }
        format!("element {element} is {given}, and must be {}", K::WANTED)
    }

    #[cold]
    fn unread(&self, scalar: Scalar, why: Unread) -> String {
        match why {
            Unread::Refused => self.wrong(scalar),
            Unread::Damaged(problem) => format!("element {}: {problem}", self.found),
        }
    }

    fn finish(self, array: Array) -> Result<Parsed, String> {
        match self.count {
            Some(count) if self.found < count => {
                Err(format!("the shape has {count} elements, and the data holds {}", self.found))
            }
            _ => {
                let length = array.length();
                Ok(Parsed { bytes: self.bytes, count: self.found, nesting: array.into_shape(), length })
            }
        }
    }
}

#[cold]
fn too_many(count: u64) -> String {
    format!("the shape has {count} elements, and the data holds more")
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn parse(datatype: Datatype, count: u64, json: &str) -> Result<Vec<u8>, String> {
        super::parse(datatype, Some(&[count]), json.as_bytes()).map(|parsed| parsed.bytes)
    }

    #[test]
    fn reads_flat_and_nested() {
        let flat = parse(Datatype::Fp32, 4, "[1, 2.5, -3e2, 0]").unwrap();
        let nested = super::parse(Datatype::Fp32, Some(&[2, 2]), b"[[1, 2.5], [-3e2, 0]]").unwrap();
        assert_eq!(flat, nested.bytes);
        assert_eq!(&flat[4..8], 2.5f32.to_le_bytes());
        assert_eq!(parse(Datatype::Bytes, 2, r#"["hi", ""]"#).unwrap(), b"\x02\0\0\0hi\0\0\0\0");
        assert_eq!(parse(Datatype::Bool, 3, "[true, 0, 1]").unwrap(), [1, 0, 1]);
        assert_eq!(parse(Datatype::Fp16, 1, "[0.5]").unwrap(), f16::from_f32(0.5).to_le_bytes());
        assert_eq!(parse(Datatype::Uint64, 1, "[18446744073709551615]").unwrap(), u64::MAX.to_le_bytes());
        assert!(parse(Datatype::Int8, 0, "[]").unwrap().is_empty());
        assert_eq!(parse(Datatype::Int32, 1, "7").unwrap(), 7i32.to_le_bytes());
    }

    /// The first number lies below the midpoint of two neighbouring f32 by less than an f64 can represent. Rounded to f64
    /// first, it would become the midpoint, and then the even neighbour above it.
    #[test]
    fn numbers_are_rounded_once() {
        let json = "[1.00000017881393432617187499]";
        assert_eq!(parse(Datatype::Fp32, 1, json).unwrap(), 1.0000001f32.to_le_bytes());
        let above = "[1.00000017881393432617187501]";
        assert_eq!(parse(Datatype::Fp32, 1, above).unwrap(), 1.0000002f32.to_le_bytes());
        assert_eq!(parse(Datatype::Fp32, 1, "[-0.0]").unwrap(), (-0.0f32).to_le_bytes());
        assert_eq!(parse(Datatype::Fp32, 1, "[1e-46]").unwrap(), 0f32.to_le_bytes());
        assert_eq!(parse(Datatype::Bytes, 1, r#"["\ud83d\ude00\n"]"#).unwrap(), "\x05\0\0\0😀\n".as_bytes());
    }

    #[test]
    fn nan_and_infinities_are_read_from_words_and_null() {
        let read = parse(Datatype::Fp32, 5, "[NaN, Infinity, -Infinity, null, 1]").unwrap();
        let read: Vec<f32> = read.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        assert!(read[0].is_nan() && read[3].is_nan(), "{read:?}");
        assert_eq!((read[1], read[2], read[4]), (f32::INFINITY, f32::NEG_INFINITY, 1.0));
        assert_eq!(parse(Datatype::Fp16, 1, "[-Infinity]").unwrap(), f16::NEG_INFINITY.to_le_bytes());
        assert_eq!(parse(Datatype::Bf16, 1, "null").unwrap(), bf16::NAN.to_le_bytes());
    }

    #[test]
    fn says_which_element_is_wrong() {
        for (datatype, count, json, wanted) in [
            (Datatype::Uint8, 2, "[1, 300]", "element 1 is 300, and must be a whole number from 0 to 255"),
            (Datatype::Int32, 1, "[1.5]", "element 0 is 1.5, and must be a whole number"),
            (Datatype::Fp32, 1, "[1e39]", "must be a number within the range of FP32"),
            (Datatype::Int32, 1, "[null]", "element 0 is null"),
            (Datatype::Int32, 1, "[NaN]", "element 0 is NaN, and must be a whole number"),
            (Datatype::Bool, 1, "[Infinity]", "element 0 is Infinity"),
            (Datatype::Fp32, 1, "[Inf]", "element 0 is Inf"),
            (Datatype::Fp32, 1, "[nan]", "expected value"),
            (Datatype::Fp32, 1, "[-NaN]", "element 0 is -NaN"),
            (Datatype::Fp32, 1, "[NaN1]", "found '1'"),
            (Datatype::Fp32, 1, "[\"1\"]", "element 0 is a text"),
            (Datatype::Bytes, 1, "[1]", "must be a text"),
            (Datatype::Fp32, 2, "[1, 2, 3]", "holds more"),
            (Datatype::Fp32, 3, "[1, 2]", "the data holds 2"),
            (Datatype::Fp32, 1 << 40, "[1, 2]", "holds fewer"),
            (Datatype::Fp32, 1, "[{}]", "element 0 is an object"),
            (Datatype::Fp32, 1, "[1", "the data ends at byte 2"),
            (Datatype::Fp32, 1, "[,1]", "found ',' at byte 1"),
            (Datatype::Fp32, 1, "[1,]", "found ']' at byte 3"),
            (Datatype::Fp32, 2, "[1 2]", "found '2' at byte 3"),
            (Datatype::Fp32, 1, "[01]", "element 0 is 01, and JSON has no such number"),
            (Datatype::Bf16, 1, "[3.4e38]", "must be a number within the range of BF16"),
            (
                Datatype::Fp32,
                1,
                "[1.]",
                "element 0 is 1., and JSON has no such number: a point has digits on both sides",
            ),
            (Datatype::Fp32, 1, "[1.e5]", "element 0 is 1.e5"),
            (Datatype::Int32, 1, "[01]", "element 0 is 01, and JSON has no such number"),
            (Datatype::Fp32, 1, "[.5]", "expected value"),
            (Datatype::Fp32, 1, "[+1]", "expected value"),
            (Datatype::Fp32, 1, "[1e]", "found 'e' at byte 2"),
            (Datatype::Fp32, 1, "[-]", "element 0 is -"),
            (Datatype::Fp32, 1, "[-inf]", "element 0 is -"),
            (Datatype::Uint8, 1, "[-1]", "element 0 is -1"),
            (Datatype::Uint64, 1, "[18446744073709551616]", "element 0 is 18446744073709551616"),
            (Datatype::Int64, 1, "[1e2]", "element 0 is 1e2"),
            (Datatype::Bytes, 1, "[\"a]", "expected value"),
            (Datatype::Bytes, 1, "[\"\\x\"]", "element 0: the text has the escape \\x at its byte 0"),
        ] {
            let error = parse(datatype, count, json).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }

    #[test]
    fn text_after_the_elements_is_left_unread() {
        let parsed = super::parse(Datatype::Fp32, None, b" [[1, 2], [3, 4]] , \"x\"").unwrap();
        assert_eq!((parsed.count, parsed.length), (4, 17));
    }

    #[test]
    fn parse_all_refuses_text_after_the_elements() {
        for (json, wanted) in [("7x", "found 'x' at byte 1"), ("[7] 8", "found ' ' at byte 3")] {
            let error = parse_all(Datatype::Fp32, Some(&[1]), json).err().unwrap();
            assert!(error.contains(wanted), "{error}");
        }
        assert!(parse_all_with_base64(Datatype::Bytes, r#"{"b64": "YQ=="}"#).is_ok());
        assert!(parse_all_with_base64(Datatype::Bytes, r#""a"é"#).is_err());
        // A count from outside cannot make the reader allocate more than the text can fill.
        assert!(parse_all(Datatype::Bytes, Some(&[u64::MAX / 2]), r#"["a"]"#).is_err());
    }

    #[test]
    fn nested_lists_must_have_the_shape() {
        for (shape, json) in [
            (&[2, 2][..], "[[1, 2], [3, 4]]"),
            (&[2, 2], "[1, 2, 3, 4]"),
            (&[1, 1], "7"),
            (&[], "[7]"),
            (&[2, 0, 3], "[[], []]"),
            (&[0, 3], "[]"),
        ] {
            assert!(super::parse(Datatype::Int32, Some(shape), json.as_bytes()).is_ok(), "{json} as {shape:?}");
        }
        for (shape, json, wanted) in [
            (&[2, 2][..], "[[1,2,3],[4]]", "has 1 elements, and one before it at the same level has 3"),
            (&[2, 3], "[[1,2],[3,4],[5,6]]", "the shape is [2, 3], and the lists are nested as [3, 2]"),
            (&[4], "[[1,2],[3,4]]", "nested as [2, 2]"),
            (&[2, 2, 1], "[[1,2],[3,4]]", "nested as [2, 2]"),
            (&[3, 0], "[[], []]", "nested as [2, 0]"),
            (&[2], "[1,[2]]", "a list was found at level 1"),
        ] {
            let error = super::parse(Datatype::Int32, Some(shape), json.as_bytes()).unwrap_err();
            assert!(error.contains(wanted), "{json}: {error}");
        }
    }
}
