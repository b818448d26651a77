//! What a graph is known by: its file, and the shapes that it was loaded with.

use super::InputShapes;
use crate::cache::{CacheKeyBuilder, Digest, digest};

pub(crate) fn digest_of(bytes: &[u8], shapes: &InputShapes) -> Digest {
    let mut name = CacheKeyBuilder::of("graph").part(digest(bytes));
    for (input, shape) in shapes {
        name = name.part(input).number(shape.len() as u64);
        for dimension in shape {
            name = name.number(*dimension as u64);
        }
    }
    name.digest()
}
