//! Count of the bytes that a planned graph keeps in memory: its constants, packed ones included, and the tables that its
//! operators hold. A loader computes in advance everything that depends on no input, so a file of a hundred bytes can keep
//! hundreds of megabytes.

use std::collections::HashSet;
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::pools::PoolGeometry;
use tract_onnx::tract_core::ops::cnn::{OptMaxPool, OptSumPool, Patch};
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::matmul::optimized::{MatMulOperand, OptMatMul, ProtoFusedSpec};
use tract_onnx::tract_core::ops::quant::LookupTable;
use tract_onnx::tract_core::ops::scan::{OptScan, Scan};
use tract_onnx::tract_core::ops::submodel::SubmodelOp;
use tract_onnx::tract_core::tract_linalg::mmm::{EagerPackedInput, MMMInputValue, PackedMatrixStorage};

use super::bodies::Branches;

/// Approximate bytes of a node, with its name, its operator and its facts.
const NODE_BYTES: u64 = 2 << 10;

/// Bytes that an allocator adds to a small allocation.
const ALLOCATION: u64 = 16;

/// The bytes that a model keeps. Each tensor and each packed matrix counts once, however many nodes share it.
pub(crate) fn bytes(model: &TypedModel) -> u64 {
    let mut count = Count::default();
    count.model(model);
    count.bytes
}

/// The bytes of the matrices that a matrix product holds itself.
pub(crate) fn bytes_of_product(product: &OptMatMul) -> u64 {
    let mut count = Count::default();
    product.micro_ops.iter().for_each(|step| count.step_of_product(step));
    count.bytes
}

#[derive(Default)]
struct Count {
    bytes: u64,
    /// Addresses of the tensors and packed matrices that were counted.
    seen: HashSet<*const ()>,
}

impl Count {
    fn model(&mut self, model: &TypedModel) {
        for node in model.nodes() {
            self.add(NODE_BYTES);
            for fact in node.outputs.iter().map(|outlet| &outlet.fact) {
                fact.konst.iter().chain(&fact.uniform).for_each(|tensor| self.tensor(tensor));
            }
            self.operator(&*node.op);
        }
    }

    fn operator(&mut self, op: &dyn TypedOp) {
        if let Some(constant) = op.downcast_ref::<Const>() {
            self.tensor(constant.val());
        } else if let Some(product) = op.downcast_ref::<OptMatMul>() {
            product.micro_ops.iter().for_each(|step| self.step_of_product(step));
        } else if let Some(scan) = op.downcast_ref::<OptScan>() {
            self.model(scan.plan.model());
        } else if let Some(scan) = op.downcast_ref::<Scan>() {
            self.model(&scan.body);
        } else if let Some(branches) = op.downcast_ref::<Branches>() {
            branches.both().iter().for_each(|branch| self.model(branch.plan.model()));
        } else if let Some(inner) = op.downcast_ref::<SubmodelOp>() {
            self.model(inner.model());
        } else if let Some(pool) = op.downcast_ref::<OptMaxPool>() {
            self.pool(&pool.geometry);
        } else if let Some(pool) = op.downcast_ref::<OptSumPool>() {
            self.pool(&pool.geometry);
        } else if let Some(element_wise) = op.downcast_ref::<ElementWiseOp>()
            && let Some(table) = element_wise.0.downcast_ref::<LookupTable>()
        {
            self.add(table.table.table().len() as u64);
        }
    }

    fn step_of_product(&mut self, step: &ProtoFusedSpec) {
        let ProtoFusedSpec::AddMatMul { a, b, .. } = step else { return };
        for operand in [a, b] {
            if let MatMulOperand::Const(packed) = operand {
                self.packed(&**packed);
            }
        }
    }

    fn tensor(&mut self, tensor: &Arc<Tensor>) {
        if !self.seen.insert(Arc::as_ptr(tensor).cast()) {
            return;
        }
        if let Some(packed) = tensor.storage_as::<PackedMatrixStorage>() {
            return packed.values().iter().for_each(|value| self.packed(&**value));
        }
        let elements = tensor.len() as u64;
        self.add(elements.saturating_mul(tensor.datum_type().size_of() as u64));
        if let Ok(Some(fact)) = tensor.exotic_fact() {
            self.add(sum(&fact.mem_size()));
        }
        if let Ok(texts) = tensor.try_as_plain_ram().and_then(|plain| plain.as_slice::<String>()) {
            texts.iter().for_each(|text| self.add(text.capacity() as u64 + ALLOCATION));
        }
    }

    fn packed(&mut self, value: &dyn MMMInputValue) {
        match value.downcast_ref::<EagerPackedInput>() {
            Some(eager) if self.seen.insert(Arc::as_ptr(&eager.packed).cast()) => self.add(eager.packed.len() as u64),
            Some(_) => {}
            None => self.add(sum(&value.format().mem_size(value.k().into(), value.mn().into()))),
        }
    }

    fn pool(&mut self, geometry: &PoolGeometry) {
        if let GeometryBound::Concrete(geometry) = geometry {
            self.patch(&geometry.patch);
        }
    }

    /// The offsets of a window's elements: one list for all windows, and one for each way in which a window can overlap the
    /// edges.
    fn patch(&mut self, patch: &Patch) {
        let offsets = patch.data_field.len() + patch.standard_layout_data_field.len();
        self.add((offsets * size_of::<isize>()) as u64);
        for zone in &patch.zones {
            self.add((size_of_val(zone) + size_of_val(&*zone.values_offsets)) as u64);
        }
    }

    fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// The value of a size. An unknown size counts as 0, because constants have none.
fn sum(size: &TDim) -> u64 {
    size.to_i64().ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::runtime::onnx;

    fn resident(file: &[u8]) -> u64 {
        onnx().load(file, &Default::default()).unwrap().resident_bytes()
    }

    #[test]
    fn weights_count_wherever_the_planner_put_them() {
        let file = include_bytes!("../../../../examples/digits/digits.onnx");
        let (bytes, file) = (resident(file), file.len() as u64);
        println!("{bytes} bytes of a file of {file}");
        assert!(bytes > file * 9 / 10 && bytes < 8 * file, "{bytes} bytes of a file of {file}");
    }

    #[test]
    fn constants_that_the_loader_computes_count() {
        let file = include_bytes!("../../../../tests/graphs/large-constant.onnx");
        let bytes = resident(file);
        assert!((256 << 20..257 << 20).contains(&bytes), "{bytes}");
    }
}
