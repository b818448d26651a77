//! The parallel reader of large JSON arrays: it cuts the text at commas, and idle cores help to read the parts. It handles
//! only flat arrays without mistakes; everything else goes to the sequential reader, which can say where a mistake is.

use std::ops::Range;

use bytes::Bytes;

use super::array::Array;
use super::elements::{self, Parsed, read_as};
use crate::scheduler::CallContext;
use crate::tensor::{Datatype, element_count};

/// Reads the elements of a tensor of this shape that `json`, a slice of `body`, begins with. Idle cores of the call help with
/// a large array.
pub fn parse_within(
    context: &CallContext,
    datatype: Datatype,
    shape: &[u64],
    json: &[u8],
    body: &Bytes,
) -> Result<Parsed, String> {
    let count = element_count(shape).ok();
    match count.and_then(|count| parse(context, datatype, count, json, body, PART)) {
        Some(parsed) => Ok(parsed),
        None => elements::parse(datatype, Some(shape), json),
    }
}

/// Size of a part in bytes of text, small enough to be read in a fraction of a millisecond.
pub const PART: usize = 96 << 10;

/// Smallest number of parts that is worth waking other threads for.
const PARTS: usize = 4;

/// Reads the array that `json`, a slice of `body`, begins with, in parts of about `part` bytes. `None` where the sequential
/// reader has to read it: the array is small, nested or of BYTES, or has a mistake.
pub fn parse(
    context: &CallContext,
    datatype: Datatype,
    count: u64,
    json: &[u8],
    body: &Bytes,
    part: usize,
) -> Option<Parsed> {
    let large = PARTS * part;
    if datatype == Datatype::Bytes || json.len() < large || json.first() != Some(&b'[') {
        return None;
    }
    // If the first `]` ends a nested array, a part has the `[` without its end, and its reader fails.
    let end = memchr::memchr(b']', json).filter(|end| *end >= large)?;
    // `end` is at least `large`, which is not 0; `slice_ref` needs a slice of `body`, which `json` is.
    let inside = body.slice_ref(&json[1..end]);
    let ranges = cut(&inside, part);
    let count_of_parts = ranges.len();
    let read = move |at: usize| read_as(datatype, None, Array::inside(&inside[ranges[at].clone()])).ok();
    let parts: Vec<Parsed> = context.parallel_map(count_of_parts, read).into_iter().collect::<Option<_>>()?;
    if parts.iter().map(|part| part.count).sum::<u64>() != count {
        return None;
    }
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
    for part in parts {
        // Each part is dropped once it is copied, so that the whole tensor is never in memory twice.
        bytes.extend_from_slice(&part.bytes);
    }
    Some(Parsed { bytes, count, nesting: vec![count], length: end + 1 })
}

/// The ranges of the parts: each ends before a comma, and the next begins behind that comma.
fn cut(text: &[u8], part: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::with_capacity(text.len() / part + 1);
    let mut begin = 0;
    loop {
        let comma = text.get(begin + part..).and_then(|rest| memchr::memchr(b',', rest));
        let Some(end) = comma.map(|comma| begin + part + comma) else {
            ranges.push(begin..text.len());
            return ranges;
        };
        ranges.push(begin..end);
        begin = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::json::elements;

    /// A body that begins with an array of `count` numbers, and the length of the array's text.
    fn body(count: usize, comma: &str) -> (Bytes, usize) {
        let numbers: Vec<String> = (0..count).map(|at| format!("{}e-3", at.cast_signed() - 1000)).collect();
        let json = format!("[{}]", numbers.join(comma));
        let length = json.len();
        (Bytes::from(format!("{json}, \"x\"]")), length)
    }

    #[test]
    fn parts_give_the_same_tensor_as_the_whole() {
        for comma in [",", ", ", " ,\n "] {
            let (body, length) = body(100_000, comma);
            let parsed = parse(&CallContext::without_cores(), Datatype::Fp32, 100_000, &body, &body, PART).unwrap();
            assert_eq!(parsed.length, length);
            assert_eq!(parsed.bytes, elements::parse(Datatype::Fp32, Some(&[100_000]), &body).unwrap().bytes);
        }
    }

    #[test]
    fn mistakes_are_reported_by_the_sequential_reader() {
        let (whole, _) = body(100_000, ",");
        let text = String::from_utf8(whole.to_vec()).unwrap();
        let broken = [
            (text.replacen(",77e-3,", ",77e-3 78e-3,", 1), "found '7'"),
            (text.replacen(",77e-3,", ",,77e-3,", 1), "found ','"),
            (text.replacen("e-3]", "e-3,]", 1), "found ']'"),
            (text.replacen(",77e-3,", ",\"7\",", 1), "element 1077 is a text"),
            (text.replacen(",77e-3,", ",", 1), "the data holds 99999"),
            (text.replacen(",77e-3,", ",77e-3,1,", 1), "holds more"),
            (text.replacen(']', "", 2), "holds more"),
        ];
        for (json, wanted) in broken {
            let body = Bytes::from(json);
            let error = super::parse_within(&CallContext::without_cores(), Datatype::Fp32, &[100_000], &body, &body)
                .err()
                .unwrap();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn nested_and_small_arrays_are_not_read_in_parts() {
        let (flat, _) = body(100_000, ",");
        let text = String::from_utf8(flat.to_vec()).unwrap();
        let nested = Bytes::from(format!("[{}]", text.replacen(']', "]]", 1)));
        assert!(parse(&CallContext::without_cores(), Datatype::Fp32, 100_000, &nested, &nested, PART).is_none());
        let shape = [1, 100_000];
        assert!(super::parse_within(&CallContext::without_cores(), Datatype::Fp32, &shape, &nested, &nested).is_ok());
        assert!(
            parse(&CallContext::without_cores(), Datatype::Fp32, 2, b"[1,2]", &Bytes::from_static(b"[1,2]"), PART)
                .is_none()
        );
    }
}
