//! The format of a job, an answer or a saved entry: two lengths, a small head of JSON, and a body of bytes as they are.

use bytes::{Buf, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest head in bytes, far beyond any that the host writes.
const MAX_HEAD: usize = 1 << 20;

/// The part of a frame before `body`: the two lengths, and the encoded head.
pub fn head(head: &impl Serialize, body: &[u8]) -> serde_json::Result<Vec<u8>> {
    let head = serde_json::to_vec(head)?;
    let mut frame = Vec::with_capacity(LENGTHS + head.len());
    frame.extend_from_slice(&u32::try_from(head.len()).map_err(serde::ser::Error::custom)?.to_le_bytes());
    frame.extend_from_slice(&(body.len() as u64).to_le_bytes());
    frame.extend_from_slice(&head);
    Ok(frame)
}

/// Splits a frame into its head and its body. Fails unless the bytes are exactly one frame.
pub fn parse<T: DeserializeOwned>(mut frame: Bytes) -> Result<(T, Bytes), &'static str> {
    if frame.len() < LENGTHS {
        return Err("it is truncated");
    }
    let (head, body) = (frame.get_u32_le() as usize, frame.get_u64_le());
    if head > MAX_HEAD || head > frame.len() {
        return Err("its head is too long");
    }
    let head = frame.split_to(head);
    if body != frame.len() as u64 {
        return Err("its body does not have the announced length");
    }
    let head = serde_json::from_slice(&head).map_err(|_| "its head cannot be parsed")?;
    Ok((head, frame))
}

const LENGTHS: usize = size_of::<u32>() + size_of::<u64>();

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [head(&vec![1, 2], body).unwrap(), body.to_vec()].concat()
    }

    #[test]
    fn a_written_frame_can_be_parsed() {
        let (numbers, body) = parse::<Vec<u8>>(frame(b"code").into()).unwrap();
        assert_eq!((numbers, &body[..]), (vec![1, 2], &b"code"[..]));
    }

    #[test]
    fn a_damaged_frame_is_refused() {
        let good = frame(b"code");
        for length in 0..good.len() {
            assert!(parse::<Vec<u8>>(good[..length].to_vec().into()).is_err(), "{length} bytes of {}", good.len());
        }
        let longer = [&good[..], b"!"].concat();
        assert!(parse::<Vec<u8>>(longer.into()).is_err());
        let mut lying = good.clone();
        lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(parse::<Vec<u8>>(lying.into()).is_err());
        assert!(parse::<String>(good.into()).is_err());
    }
}
