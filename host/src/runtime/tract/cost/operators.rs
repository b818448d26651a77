//! Fuel of each of tract's operators that a graph may contain. An operator that is not listed here has
//! no cost, and its graph is refused. The weights were measured (`tests`): the CPU time for a unit of fuel stays within ten
//! times that of a matrix product.

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::{OptBinChain, TypedBinOp};
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, OptMaxPool, OptSumPool, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::fft::Stft;
use tract_onnx::tract_core::ops::matmul::optimized::OptMatMul;
use tract_onnx::tract_core::ops::nn::{GridSample, InterpolationMode, Reduce, Reducer, Softmax};
use tract_onnx::tract_core::ops::scan::OptScan;
use tract_onnx_opl::lrn::Lrn;
use tract_onnx_opl::ml::tree_ensemble_classifier::TreeEnsembleClassifier;

use crate::numbers::to_usize;
use crate::runtime::tract::bodies::Branches;
use crate::runtime::tract::correct::{Guard, Guarded};
use crate::runtime::tract::resident;

/// A coefficient and the dimensions that it is multiplied by.
#[derive(Clone, Debug)]
pub(super) struct Product {
    pub coefficient: u64,
    pub factors: Vec<TDim>,
}

/// Fuel for an element that is copied or computed with a few instructions.
const ELEMENT: u64 = 8;
/// Fuel for an element that is read or written out of order.
const SCATTERED: u64 = 64;
/// Fuel for an element of a function such as an exponential.
const FUNCTION: u64 = 96;
/// Fuel for an element whose position is computed from its coordinates.
const INDEXED: u64 = 512;
/// Fuel for an element of text.
const TEXT: u64 = 4_000;
/// Bytes of a packed matrix beside its elements: its buffer is aligned, and it is one of the values of a batch.
const PACKED_MATRIX: u64 = 512;
/// Fuel for an operator that is planned again in each evaluation, as tract does if the sizes of an image vary.
const PLANNED_ANEW: u64 = 16_000_000;

/// The inputs and outputs of an operator.
pub(super) struct Facts<'a> {
    pub inputs: TVec<&'a TypedFact>,
    pub outputs: TVec<&'a TypedFact>,
}

/// The terms of an operator's fuel; `None` if the operator has no cost here.
pub(super) fn fuel(model: &TypedModel, node: &TypedNode) -> TractResult<Option<Vec<Product>>> {
    let facts = Facts::of(model, node)?;
    let Some(mut terms) = corrected(node, &facts)? else { return Ok(None) };
    // An operator may read every element that it is given and write every element that it makes, so each counts one unit.
    // Constants count only in the operator's own terms: a lookup reads some rows of a large table.
    let given = facts.inputs.iter().filter(|fact| fact.konst.is_none());
    terms.extend(given.chain(&facts.outputs).flat_map(|fact| volumes(1, fact)));
    Ok(Some(terms))
}

/// The terms of an operator, and of what corrects it.
fn corrected(node: &TypedNode, facts: &Facts) -> TractResult<Option<Vec<Product>>> {
    let Some(guarded) = node.op_as::<Guarded>() else { return own(node, facts) };
    let terms = match &guarded.guard {
        Guard::LogSumExp(_) => return Ok(Some(facts.all(4 * INDEXED))),
        Guard::Double(_) => return Ok(Some(facts.all(2 * FUNCTION))),
        Guard::IntegerSum(_) | Guard::IntegerSquare | Guard::WideCast => facts.all(4 * ELEMENT),
        Guard::Indices(_) => facts.inputs.get(1).into_iter().flat_map(|fact| volumes(ELEMENT, fact)).collect(),
        Guard::OneHot(_) => facts.all(ELEMENT),
        Guard::Reduction(reduce) if !matches!(reduce.reducer, Reducer::Max | Reducer::Min) => Vec::new(),
        // A NaN among the elements is rare, and then they are read and written twice more.
        Guard::KeepNan | Guard::Reduction(_) => facts.all(4 * ELEMENT),
    };
    let inner = TypedNode { op: guarded.inner.clone(), ..node.clone() };
    Ok(own(&inner, facts)?.map(|own| own.into_iter().chain(terms).collect()))
}

/// The terms beyond one unit for each element.
fn own(node: &TypedNode, facts: &Facts) -> TractResult<Option<Vec<Product>>> {
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        let slower = if facts.has_halves() { 2 * SCATTERED } else { 0 };
        return Ok(element_wise(&op.0.name()).map(|weight| facts.outputs(weight + slower)));
    }
    if let Some(op) = node.op_as::<TypedBinOp>() {
        return Ok(binary(op.0.name()).map(|weight| facts.outputs(facts.half(weight.saturating_mul(4)))));
    }
    if let Some(op) = node.op_as::<OptBinChain>() {
        let weights = op.steps.iter().map(|step| binary(step.binop.name()));
        return Ok(weights.sum::<Option<u64>>().map(|weight| facts.outputs(facts.half(weight))));
    }
    if let Some(pool) = pool_of(node) {
        return Ok(Some(pooling(pool, facts)));
    }
    let name = node.op().name();
    if let Some(binop) =
        name.strip_prefix("Opt").and_then(|name| name.strip_suffix("ByScalar").or(name.strip_suffix("Unicast")))
    {
        return Ok(binary(binop).map(|weight| facts.outputs(facts.half(weight))));
    }
    if name.starts_with("Reduce<") {
        return Ok(Some(reduction(node, facts)));
    }
    named(&name, node, facts)
}

fn named(name: &str, node: &TypedNode, facts: &Facts) -> TractResult<Option<Vec<Product>>> {
    Ok(Some(match name {
        // The bytes of a request are copied for their alignment.
        "Source" => facts.outputs(2 * ELEMENT),
        "Const" | "Identity" | "CellState" | "AddAxis" | "RmAxis" | "Reshape" | "IntoShape" | "Dropout" => Vec::new(),
        // The fuel of bodies is added by `Region`, which counts it for each iteration.
        "Scan" if node.op_is::<OptScan>() => facts.all(SCATTERED),
        "If" if node.op_is::<Branches>() => Vec::new(),
        "Slice" | "Concat" | "Range" | "MultiBroadcastTo" | "Pad" | "DynSlice" => facts.all(ELEMENT),
        "Tile" | "DynTile" => [facts.all(ELEMENT), facts.axis_by_axis(ELEMENT)].concat(),
        "MoveAxis" | "ReverseAxis" | "StridedSlice" | "Downsample" | "CumSum" | "NearestUpsample" | "Iff" => {
            facts.outputs(SCATTERED)
        }
        "Gather" => facts.outputs(SCATTERED / 2),
        "Cast" if facts.has_text() => facts.outputs(TEXT),
        // FP16 is converted element by element.
        "Cast" if facts.has_halves() => facts.outputs(3 * INDEXED),
        "Cast" => facts.outputs(6 * SCATTERED),
        "DequantizeLinearF32" | "DynamicQuantizeLinearU8" | "InnerDimToComplex" | "ComplexToInnerDim" => {
            facts.all(4 * ELEMENT)
        }
        "Onehot" | "EyeLike" | "ConstantLike" | "ZeroState" => facts.outputs(ELEMENT),
        "Trilu" => facts.all(4 * SCATTERED),
        "GatherElements" | "OnnxMaxPoolIndices" => facts.outputs(INDEXED),
        "GatherNd" => facts.outputs(4 * INDEXED),
        "ScatterElements" | "ScatterNd" => facts.inputs(INDEXED),
        "Softmax" | "LogSoftmax" => facts.all(if along_last_axis(node, facts) { 2 * FUNCTION } else { 8 * INDEXED }),
        "RmsNorm" | "ScaledRmsNorm" => facts.all(FUNCTION),
        "LstmEpilogue" | "GruEpilogue" => facts.all(2 * FUNCTION),
        "GruSeq" => recurrent(facts),
        "OptMatMulPack" | "OptSimpleMatMulPack" | "QSumB" => facts.all(ELEMENT),
        "Im2col" | "LazyIm2col" => facts.all(ELEMENT),
        "OptMatMul" | "DirectSpatialConv" | "BlockedConv" => declared(node, facts, 1)?,
        "DepthWiseConv" => declared(node, facts, 16)?,
        // The generic evaluation of sums of products, without a kernel.
        "EinSum" | "EinSumMatMul" | "PrefixMatMul" => declared(node, facts, SCATTERED)?,
        "Conv" => planned_convolution(node, facts)?,
        "DeconvSum" | "DepthwiseDeconv" => facts.all(SCATTERED),
        "Fft" => sorted_or_transformed(facts, FUNCTION / 4),
        "STFT" => short_transforms(node, facts),
        "Topk" => sorted_or_transformed(facts, SCATTERED),
        "Resize" => [facts.all(4 * SCATTERED), facts.axis_by_axis(4 * SCATTERED)].concat(),
        "GridSample" => sampling(node, facts),
        "Lrn" => normalization_over_channels(node, facts),
        "Random" => facts.outputs(FUNCTION),
        "Multinomial" => multinomial(facts),
        "TreeEnsembleClassifier" => trees(node, facts),
        "DirectLookup" | "ReverseLookup" => facts.outputs(TEXT),
        _ => return Ok(None),
    }))
}

impl Facts<'_> {
    pub(super) fn of<'a>(model: &'a TypedModel, node: &'a TypedNode) -> TractResult<Facts<'a>> {
        Ok(Facts { inputs: model.node_input_facts(node.id)?, outputs: model.node_output_facts(node.id)? })
    }

    fn inputs(&self, weight: u64) -> Vec<Product> {
        self.inputs.iter().flat_map(|fact| volumes(weight, fact)).collect()
    }

    pub(super) fn outputs(&self, weight: u64) -> Vec<Product> {
        self.outputs.iter().flat_map(|fact| volumes(weight, fact)).collect()
    }

    /// Constants are left out: what is computed from them alone was computed when the graph was loaded.
    fn all(&self, weight: u64) -> Vec<Product> {
        let given = self.inputs.iter().filter(|fact| fact.konst.is_none());
        given.chain(&self.outputs).flat_map(|fact| volumes(weight, fact)).collect()
    }

    /// The elements between two steps of an operator that changes the size of one axis after the other. They can be more
    /// than those of the input and of the output, if one axis grows before another shrinks.
    pub(super) fn axis_by_axis(&self, weight: u64) -> Vec<Product> {
        let (Some(input), Some(output)) = (self.inputs.first(), self.outputs.first()) else { return Vec::new() };
        let between = |done| output.shape.iter().take(done).chain(input.shape.iter().skip(done)).cloned().collect();
        (1..output.rank()).map(|done| Product { coefficient: weight, factors: between(done) }).collect()
    }

    /// Fuel for an element of an operation on two tensors. FP16 elements are computed one by one, by conversion to FP32.
    fn half(&self, weight: u64) -> u64 {
        if self.has_halves() { weight.saturating_add(6 * INDEXED) } else { weight }
    }

    fn has_halves(&self) -> bool {
        self.inputs.iter().chain(&self.outputs).any(|fact| fact.datum_type == DatumType::F16)
    }

    pub(super) fn has_text(&self) -> bool {
        self.inputs.iter().chain(&self.outputs).any(|fact| fact.datum_type == DatumType::String)
    }
}

/// The elements of a tensor, as a product of its dimensions. A tensor of packed matrices also has bytes, of which four count
/// as one element.
fn volumes(weight: u64, fact: &TypedFact) -> Vec<Product> {
    let elements = Product { coefficient: weight, factors: fact.shape.iter().cloned().collect() };
    packed(weight.div_ceil(4), fact).chain([elements]).collect()
}

/// The bytes of packed matrices: the tensor's shape is that of the batch, and each of its elements is a matrix.
pub(super) fn packed(weight: u64, fact: &TypedFact) -> impl Iterator<Item = Product> {
    let sizes = fact.exotic_fact().into_iter().flat_map(|fact| fact.buffer_sizes());
    sizes.map(move |bytes| Product {
        coefficient: weight,
        factors: fact.shape.iter().cloned().chain([bytes + to_usize(PACKED_MATRIX)]).collect(),
    })
}

pub(super) fn volume(dimensions: &[usize]) -> u64 {
    dimensions.iter().fold(1, |product: u64, size| product.saturating_mul((*size).max(1) as u64))
}

/// Fuel for an element of an operation on one tensor.
fn element_wise(name: &str) -> Option<u64> {
    Some(match name {
        "Abs" | "Neg" | "Not" | "BitNot" | "Square" | "Sign" | "IsInf" | "IsNan" | "Recip" => 2 * ELEMENT,
        "Floor" | "Ceil" | "Round" | "RoundHalfToEven" | "Sqrt" | "Rsqrt" | "LeakyRelu" | "HardSwish" => 4 * ELEMENT,
        "LookupTable" => SCATTERED,
        "QScale" | "QuantizeLinearU8" | "QuantizeLinearI8" | "OffsetU8asI8" | "OffsetI8asU8" => 8 * ELEMENT,
        "Exp" | "Ln" | "Tanh" | "Sigmoid" | "Silu" | "Erf" | "GeluApproximate" | "GeluExact" => FUNCTION / 4,
        "Cos" | "Sin" | "Cosh" => 40 * FUNCTION,
        "Tan" | "Acos" | "Asin" | "Atan" | "Sinh" => 2 * FUNCTION,
        "Acosh" | "Asinh" | "Atanh" | "PowConst" => 16 * FUNCTION,
        _ => return None,
    })
}

/// Fuel for an element of an operation on two tensors.
fn binary(name: &str) -> Option<u64> {
    Some(match name {
        "Add" | "Sub" | "SubF" | "Mul" | "Min" | "Max" | "And" | "Or" | "Xor" | "BitAnd" | "BitOr" | "BitXor" => {
            ELEMENT
        }
        "Eq" | "NE" | "LT" | "LTE" | "GT" | "GTE" => ELEMENT,
        "ShiftLeft" | "ShiftRight" => ELEMENT,
        "Div" => 2 * ELEMENT,
        // The product of a quantised tensor with its scale, and its rounding.
        "Scale" => 4 * ELEMENT,
        "Rem" => 16 * ELEMENT,
        "Pow" => 8 * FUNCTION,
        _ => return None,
    })
}

fn pool_of(node: &TypedNode) -> Option<&PoolSpec> {
    let op = node.op();
    let max = || op.downcast_ref::<MaxPool>().map(|pool| &pool.pool_spec);
    let planned_max = || op.downcast_ref::<OptMaxPool>().map(|pool| &pool.pool_spec);
    let sum = || op.downcast_ref::<SumPool>().map(|pool| &pool.pool_spec);
    let planned_sum = || op.downcast_ref::<OptSumPool>().map(|pool| &pool.pool_spec);
    max().or_else(planned_max).or_else(sum).or_else(planned_sum)
}

/// Each element of the output reads a kernel's volume of the input.
fn pooling(pool: &PoolSpec, facts: &Facts) -> Vec<Product> {
    facts.outputs((SCATTERED / 2).saturating_mul(volume(&pool.kernel_shape)))
}

fn reduction(node: &TypedNode, facts: &Facts) -> Vec<Product> {
    let whole = node.op_as::<Reduce>().is_some_and(|reduce| {
        let rank = facts.inputs.first().map_or(0, |fact| fact.rank());
        // If the last axes are reduced, the elements of one result lie side by side.
        (0..reduce.axes.len()).all(|back| reduce.axes.contains(&(rank - 1 - back)))
    });
    let name = node.op().name();
    facts.all(match whole {
        _ if ["Sum", "MeanOfSquares"].iter().any(|fast| name.contains(fast)) && !facts.has_halves() => 4 * ELEMENT,
        true if !name.contains("Arg") => 12 * ELEMENT,
        _ => 4 * SCATTERED,
    })
}

fn along_last_axis(node: &TypedNode, facts: &Facts) -> bool {
    let rank = facts.inputs.first().map_or(0, |fact| fact.rank());
    node.op_as::<Softmax>().is_some_and(|softmax| softmax.axes.iter().all(|axis| axis + 1 == rank))
}

/// tract's own count of multiply-adds, times the cost of one of them without a fast kernel.
fn declared(node: &TypedNode, facts: &Facts, weight: u64) -> TractResult<Vec<Product>> {
    let slow = facts.inputs.iter().chain(&facts.outputs).any(|fact| fact.datum_type == DatumType::F16);
    let mut terms = Vec::new();
    for (cost, count) in node.op.cost(&facts.inputs)? {
        let weight = match cost {
            Cost::Div(_) => 8 * weight,
            Cost::FMA(DatumType::F16) => 8 * weight,
            cost if cost.is_compute() => weight,
            _ => continue,
        };
        terms.push(Product { coefficient: if slow { 4 * weight } else { weight }, factors: vec![count] });
    }
    // Weights are read from memory even if only one row is multiplied by them.
    terms.extend(facts.inputs(12));
    let held = node.op_as::<OptMatMul>().map_or(0, resident::bytes_of_product);
    terms.push(Product { coefficient: held.saturating_mul(3), factors: Vec::new() });
    terms.extend(facts.outputs(SCATTERED));
    Ok(terms)
}

/// A convolution over an image whose sizes vary, which is planned in each evaluation.
fn planned_convolution(node: &TypedNode, facts: &Facts) -> TractResult<Vec<Product>> {
    let mut terms = declared(node, facts, 4)?;
    terms.push(Product { coefficient: PLANNED_ANEW, factors: Vec::new() });
    if let Some(conv) = node.op_as::<Conv>() {
        let columns = volume(&conv.pool_spec.kernel_shape).saturating_mul(conv.pool_spec.input_channels as u64);
        let per_output = columns / (conv.pool_spec.output_channels as u64).max(1) + 1;
        terms.extend(facts.outputs(ELEMENT.saturating_mul(per_output)));
    }
    Ok(terms)
}

/// Fuel for n log n steps in rows of at most 2^32 elements.
fn sorted_or_transformed(facts: &Facts, weight: u64) -> Vec<Product> {
    facts.all(weight.saturating_mul(16))
}

fn short_transforms(node: &TypedNode, facts: &Facts) -> Vec<Product> {
    let steps = node.op_as::<Stft>().map_or(32, |stft| u64::from(usize::BITS - stft.frame.leading_zeros()));
    let mut terms = facts.outputs(FUNCTION.saturating_mul(steps));
    terms.extend(facts.inputs(ELEMENT));
    terms
}

fn sampling(node: &TypedNode, facts: &Facts) -> Vec<Product> {
    let rank = facts.inputs.first().map_or(2, |fact| fact.rank().saturating_sub(2));
    let rank = u32::try_from(rank).unwrap_or(u32::MAX);
    let points = match node.op_as::<GridSample>().map(|op| &op.mode) {
        Some(InterpolationMode::Nearest) => 1,
        Some(InterpolationMode::Bilinear) => 2_u64.saturating_pow(rank),
        _ => 4_u64.saturating_pow(rank),
    };
    let mut terms = facts.outputs((8 * INDEXED).saturating_mul(points + 1));
    terms.extend(facts.inputs(ELEMENT));
    terms
}

/// Each element reads its neighbours along the axis of channels.
fn normalization_over_channels(node: &TypedNode, facts: &Facts) -> Vec<Product> {
    let size = node.op_as::<Lrn>().map_or(1, |lrn| lrn.size as u64);
    let channels = facts.inputs.first().and_then(|fact| fact.shape.get(1)?.as_i64());
    let looked_at = channels.map_or(size, |channels| size.min(channels.max(1).cast_unsigned()));
    facts.outputs((2 * SCATTERED).saturating_mul(looked_at).saturating_add(32 * FUNCTION))
}

/// Each sample reads all classes.
fn multinomial(facts: &Facts) -> Vec<Product> {
    let classes = facts.inputs.first().and_then(|fact| fact.shape.iter().last().cloned()).unwrap_or_else(|| 1.into());
    let mut terms = facts.inputs(2 * FUNCTION);
    terms.extend(facts.outputs.iter().map(|fact| Product {
        coefficient: 2 * FUNCTION,
        factors: fact.shape.iter().cloned().chain([classes.clone()]).collect(),
    }));
    terms
}

/// Each row walks down every tree: it visits few nodes of a balanced tree, and at most all nodes of any tree.
fn trees(node: &TypedNode, facts: &Facts) -> Vec<Product> {
    let Some(op) = node.op_as::<TreeEnsembleClassifier>() else { return facts.all(TEXT) };
    let steps = super::trees::steps(&op.ensemble.data);
    let rows = facts.inputs.first().and_then(|fact| fact.shape.iter().next().cloned()).unwrap_or_else(|| 1.into());
    let mut terms = facts.all(SCATTERED);
    terms.push(Product { coefficient: steps.saturating_mul(INDEXED), factors: vec![rows] });
    terms
}

/// A whole sequence in one operator: each step has three products of the state with the recurrent weights.
fn recurrent(facts: &Facts) -> Vec<Product> {
    let mut terms = facts.all(2 * FUNCTION);
    // Input 0 is [batch, steps, ...]. The weights are the largest constants, and each step reads all of them.
    let Some(sequence) = facts.inputs.first() else { return terms };
    let steps: Vec<TDim> = sequence.shape.iter().take(2).cloned().collect();
    for weights in facts.inputs.iter().skip(1) {
        let factors = steps.iter().cloned().chain(weights.shape.iter().cloned()).collect();
        terms.push(Product { coefficient: 4, factors });
    }
    terms
}
