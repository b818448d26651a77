//! Digest of a graph, which identifies its file and the shapes that it was loaded with.

use bulkhead_digest::Digest;

use super::InputShapes;
use crate::cache::CacheKeyBuilder;

pub(crate) fn digest_of(bytes: &[u8], shapes: &InputShapes) -> Digest {
    let mut key = CacheKeyBuilder::of("graph").part(Digest::of(bytes));
    for (input, shape) in shapes {
        key = key.part(input).number(shape.len() as u64);
        for dimension in shape {
            key = key.number(dimension.cast_unsigned());
        }
    }
    key.digest()
}
