//! Bytes of tensors, and those that each of tract's operators takes while it is evaluated.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cnn::Conv;
use tract_onnx::tract_core::ops::nn::Reducer;

use super::operators::{Facts, Product, packed, volume};
use crate::runtime::tract::correct::{Guard, Guarded};

/// Bytes of a number that has become a text, beside the list of texts.
const TEXT_BYTES: u64 = 64;

/// Operators whose result tract makes in one place, and copies to another.
const MADE_TWICE: [&str; 17] = [
    "CumSum",
    "DirectLookup",
    "Downsample",
    "DynSlice",
    "EyeLike",
    "GatherElements",
    "Lrn",
    "NearestUpsample",
    "Onehot",
    "OnnxMaxPoolIndices",
    "Pad",
    "Random",
    "Range",
    "ReverseLookup",
    "Slice",
    "StridedSlice",
    "Trilu",
];

/// The bytes of a tensor, as products.
pub(super) fn of_tensor(times: u64, fact: &TypedFact) -> Vec<Product> {
    let size = fact.datum_type.size_of() as u64;
    let factors = fact.shape.iter().cloned().collect();
    let elements = Product { coefficient: times.saturating_mul(size), factors };
    packed(times, fact).chain([elements]).collect()
}

/// Bytes that an operator allocates for itself, beyond its inputs and outputs.
pub(super) fn scratch(model: &TypedModel, node: &TypedNode) -> TractResult<Vec<Product>> {
    let facts = Facts::of(model, node)?;
    let bytes = |times: u64| -> Vec<Product> {
        let all = facts.inputs.iter().chain(&facts.outputs).filter(|fact| fact.konst.is_none());
        all.flat_map(|fact| of_tensor(times, fact)).collect()
    };
    if let Some(guarded) = node.op_as::<Guarded>() {
        let inner = TypedNode { op: guarded.inner.clone(), ..node.clone() };
        return Ok([scratch(model, &inner)?, of_correction(&guarded.guard, &facts)].concat());
    }
    Ok(match &*node.op().name() {
        // Columns of the image: one for each element of the output, as long as a kernel.
        "Conv" => {
            let Some(conv) = node.op_as::<Conv>() else { return Ok(Vec::new()) };
            let mut columns = bytes(1);
            for fact in &facts.outputs {
                let kernel = volume(&conv.pool_spec.kernel_shape) * conv.pool_spec.input_channels as u64;
                let mut factors: Vec<TDim> = fact.shape.iter().cloned().collect();
                factors.push(fact.datum_type.size_of().into());
                columns.push(Product {
                    coefficient: kernel / (conv.pool_spec.output_channels as u64).max(1) + 1,
                    factors,
                });
            }
            columns
        }
        // One axis after the other, in FP32.
        "Resize" => [bytes(2), facts.axis_by_axis(size_of::<f32>() as u64)].concat(),
        "Tile" | "DynTile" => {
            let size = facts.inputs.first().map_or(0, |fact| fact.datum_type.size_of() as u64);
            facts.axis_by_axis(size)
        }
        "GridSample" | "Fft" | "STFT" | "EinSum" | "EinSumMatMul" | "PrefixMatMul" => bytes(2),
        "Topk" => bytes(4),
        // Numbers become texts, which are allocated one by one.
        "Cast" if facts.has_text() => facts.outputs(TEXT_BYTES),
        name if name.starts_with("Reduce<") || name.starts_with("Scatter") || name.contains("Softmax") => bytes(1),
        "Scan"
        | "LstmEpilogue"
        | "GruEpilogue"
        | "GruSeq"
        | "Multinomial"
        | "DeconvSum"
        | "DepthwiseDeconv"
        | "TreeEnsembleClassifier" => bytes(1),
        // The indices are copied to a list that grows, or to another type.
        "Gather" | "GatherNd" => facts.inputs.iter().skip(1).flat_map(|fact| of_tensor(3, fact)).collect(),
        name if MADE_TWICE.contains(&name) => facts.outputs.iter().flat_map(|fact| of_tensor(1, fact)).collect(),
        // Numbers of some types become others by way of a third.
        "Cast" => bytes(1),
        _ => Vec::new(),
    })
}

/// Bytes of the copies that a correction makes: most are of FP64 or INT64.
fn of_correction(guard: &Guard, facts: &Facts) -> Vec<Product> {
    let times =
        |times: u64| facts.inputs.iter().chain(&facts.outputs).flat_map(move |fact| of_tensor(times, fact)).collect();
    match guard {
        Guard::LogSumExp(_) => times(12),
        Guard::Reduction(reduce) if !matches!(reduce.reducer, Reducer::Max | Reducer::Min) => Vec::new(),
        Guard::IntegerSum(_) | Guard::IntegerSquare | Guard::WideCast => times(6),
        // Masks of the elements that are NaN, and the result as FP64.
        Guard::Reduction(_) => times(2),
        // A table is not copied, its indices are: to INT64, and to a list that grows.
        Guard::OneHot(_) => times(8),
        Guard::Indices(_) => {
            let indices = facts.inputs.iter().skip(1).flat_map(|fact| of_tensor(4, fact));
            indices.chain(facts.outputs.iter().flat_map(|fact| of_tensor(1, fact))).collect()
        }
        Guard::Double(_) | Guard::KeepNan => times(2),
    }
}
