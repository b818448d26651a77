//! Compression of HTTP bodies, in both directions. `deflate` means zlib's format, as the clients of the protocol use it.

use std::io::{self, Read, Write};

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::error::ApiError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
}

/// Decompressed bytes between two checks of the bounds.
const STEP: u64 = 256 * 1024;

/// Size of the smallest body that is compressed, in bytes. For less, compression is not worth the time of either side.
const WORTH_PACKING: usize = 1024;

impl Coding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Coding::Identity => "identity",
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
        }
    }

    fn from_name(name: &str) -> Option<Coding> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Coding::Identity),
            "gzip" | "x-gzip" => Some(Coding::Gzip),
            "deflate" => Some(Coding::Deflate),
            _ => None,
        }
    }

    /// The coding of a request's body, `Identity` without a header. Unknown codings are errors, and so are several codings
    /// applied one over the other.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Coding, ApiError> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.as_bytes());
        let Some(coding) = codings.next() else { return Ok(Coding::Identity) };
        let known = std::str::from_utf8(coding).ok().and_then(Coding::from_name).filter(|_| codings.next().is_none());
        known.ok_or_else(|| ApiError::Encoding { encoding: String::from_utf8_lossy(coding).into_owned() })
    }

    /// The supported coding with the highest weight in `accept-encoding`; the earlier one of equal weights.
    pub(crate) fn accepted(headers: &HeaderMap) -> Coding {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut best = (Coding::Identity, 0.0);
        for choice in values.flat_map(|value| value.split(',')) {
            let (name, parameters) = choice.split_once(';').unwrap_or((choice, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            if let (Some(coding), Some(weight)) = (Coding::from_name(name), weight)
                && !name.trim().is_empty()
                && weight > best.1
            {
                best = (coding, weight);
            }
        }
        best.0
    }

    /// The decompressed bytes, at most `bound` of them. `count` is called with the size of each piece before the next one
    /// is decompressed, and may end the work with an error. `Identity` copies the bytes, without a check of the bound.
    pub(crate) fn unpack(
        self,
        packed: &[u8],
        bound: u64,
        count: impl FnMut(usize) -> Result<(), ApiError>,
    ) -> Result<Vec<u8>, ApiError> {
        match self {
            Coding::Identity => Ok(packed.to_vec()),
            Coding::Gzip => self.read(MultiGzDecoder::new(packed), bound, count).map(|(whole, _)| whole),
            Coding::Deflate => {
                let (whole, decoder) = self.read(ZlibDecoder::new(packed), bound, count)?;
                match decoder.into_inner().len() {
                    0 => Ok(whole),
                    more => Err(self.broken(&format!("{more} bytes follow its end"))),
                }
            }
        }
    }

    fn read<D: Read>(
        self,
        mut decoder: D,
        bound: u64,
        mut count: impl FnMut(usize) -> Result<(), ApiError>,
    ) -> Result<(Vec<u8>, D), ApiError> {
        let mut whole = Vec::new();
        loop {
            let read = decoder.by_ref().take(STEP).read_to_end(&mut whole);
            match read.map_err(|error| self.broken(&error.to_string()))? {
                0 => return Ok((whole, decoder)),
                _ if whole.len() as u64 > bound => return Err(ApiError::BodyTooLarge { bound }),
                read => count(read)?,
            }
        }
    }

    fn broken(self, why: &str) -> ApiError {
        ApiError::Packed { encoding: self.name(), why: why.to_owned() }
    }

    /// The chunks as one compressed body; `None` if that would not make them smaller.
    pub(crate) fn pack(self, chunks: &[Bytes]) -> Option<Vec<u8>> {
        let size = chunks.iter().map(Bytes::len).sum();
        if self == Coding::Identity || size < WORTH_PACKING {
            return None;
        }
        self.write(chunks).ok().filter(|packed| packed.len() < size)
    }

    fn write(self, chunks: &[Bytes]) -> io::Result<Vec<u8>> {
        fn all(chunks: &[Bytes], mut to: impl Write) -> io::Result<()> {
            chunks.iter().try_for_each(|chunk| to.write_all(chunk))
        }
        if self == Coding::Gzip {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            all(chunks, &mut encoder)?;
            return encoder.finish();
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        all(chunks, &mut encoder)?;
        encoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(value: &str) -> Coding {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]);
        Coding::accepted(&headers)
    }

    #[test]
    fn the_supported_coding_with_the_highest_weight_is_taken() {
        assert_eq!(accepted("gzip, deflate"), Coding::Gzip);
        assert_eq!(accepted("br, deflate;q=0.5, gzip;q=0.4"), Coding::Deflate);
        assert_eq!(accepted("gzip;q=0"), Coding::Identity);
        assert_eq!(accepted("gzip;q=much, *"), Coding::Identity);
        assert_eq!(accepted(""), Coding::Identity);
        assert_eq!(accepted("identity, gzip;q=0.5"), Coding::Identity);
        assert_eq!(Coding::accepted(&HeaderMap::new()), Coding::Identity);
    }

    #[test]
    fn compressed_bodies_are_decompressed_within_the_bound() {
        let chunks = [Bytes::from(vec![7; 3000]), Bytes::from_static(b"end")];
        for coding in [Coding::Gzip, Coding::Deflate] {
            let packed = coding.pack(&chunks).unwrap();
            let mut counted = 0;
            let count = |more| {
                counted += more;
                Ok(())
            };
            let whole = coding.unpack(&packed, 3003, count).unwrap();
            assert_eq!((whole.len(), &whole[3000..], counted), (3003, &b"end"[..], 3003));
            let large = coding.unpack(&packed, 3002, |_| Ok(()));
            assert!(matches!(large, Err(ApiError::BodyTooLarge { bound: 3002 })));
            for broken in [&packed[..packed.len() - 1], b"neither", b"", &[&packed[..], b"x"].concat()] {
                let error = coding.unpack(broken, 1 << 20, |_| Ok(())).unwrap_err();
                assert!(matches!(error, ApiError::Packed { .. }), "{coding:?} {error}");
            }
        }
    }

    #[test]
    fn small_bodies_and_identity_are_not_compressed() {
        assert_eq!(Coding::Gzip.pack(&[Bytes::from(vec![0; 1000])]), None);
        assert_eq!(Coding::Identity.pack(&[Bytes::from(vec![0; 4000])]), None);
    }
}
