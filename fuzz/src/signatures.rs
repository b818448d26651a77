//! Signatures of models, for decoders that depend on them.

use bulkhead::tensor::{Datatype, Signature, TensorSpec};

/// A signature with one input of each datatype, named after the datatype.
pub(crate) fn one_of_each() -> Signature {
    const SHAPES: [&[i64]; 4] = [&[-1], &[-1, 2], &[2, -1, 1], &[]];
    let shapes = SHAPES.into_iter().cycle();
    let inputs = Datatype::ALL.into_iter().zip(shapes).map(|(datatype, shape)| spec(datatype, shape));
    Signature { inputs: inputs.collect(), outputs: Vec::new() }
}

/// One signature for each datatype, with a single input of this shape.
pub(crate) fn alone(shape: &[i64]) -> impl Iterator<Item = Signature> {
    Datatype::ALL
        .into_iter()
        .map(move |datatype| Signature { inputs: vec![spec(datatype, shape)], outputs: Vec::new() })
}

fn spec(datatype: Datatype, shape: &[i64]) -> TensorSpec {
    TensorSpec { name: datatype.name().into(), datatype, shape: shape.to_vec() }
}
