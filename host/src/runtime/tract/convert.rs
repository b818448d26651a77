//! Conversion of tensors to tract's and back. To tract costs one copy, for alignment; from tract costs none.

use std::sync::Arc;

use half::f16;
use tract_onnx::prelude::DatumType;
use tract_onnx::tract_core::internal::{Datum, Tensor as TractTensor, TractResult, dispatch_numbers};

use crate::numbers::to_usize;
use crate::tensor::{Datatype, Tensor};

/// Tract's element types and the datatypes that they are exchanged as.
const DATATYPES: [(DatumType, Datatype); 12] = [
    (DatumType::Bool, Datatype::Bool),
    (DatumType::U8, Datatype::Uint8),
    (DatumType::U16, Datatype::Uint16),
    (DatumType::U32, Datatype::Uint32),
    (DatumType::U64, Datatype::Uint64),
    (DatumType::I8, Datatype::Int8),
    (DatumType::I16, Datatype::Int16),
    (DatumType::I32, Datatype::Int32),
    (DatumType::I64, Datatype::Int64),
    (DatumType::F16, Datatype::Fp16),
    (DatumType::F32, Datatype::Fp32),
    (DatumType::F64, Datatype::Fp64),
];

/// The datatype of one of tract's element types; `None` for types that clients cannot exchange.
pub(crate) fn datatype(datum: DatumType) -> Option<Datatype> {
    let datum = match datum.unquantized() {
        // Computed shapes and indices are symbolic inside tract, and integers outside.
        DatumType::TDim => DatumType::I64,
        other => other,
    };
    DATATYPES.iter().find(|(known, _)| *known == datum).map(|(_, datatype)| *datatype)
}

pub(crate) fn to_tract(tensor: &Tensor) -> TractResult<TractTensor> {
    let shape: Vec<usize> = tensor.shape().iter().map(|dimension| to_usize(*dimension)).collect();
    let (datatype, data) = (tensor.datatype(), tensor.data());
    if datatype == Datatype::Bool {
        return TractTensor::from_shape(&shape, &data.iter().map(|byte| *byte != 0).collect::<Vec<bool>>());
    }
    let known = DATATYPES.iter().find(|(_, known)| *known == datatype);
    // Loading refused inputs of any other datatype.
    let (datum, _) = known.ok_or_else(|| anyhow::anyhow!("{datatype} cannot be given to a graph"))?;
    dispatch_numbers!(numbers(datum)(&shape, data))
}

fn numbers<T: Datum + Copy + bytemuck::Pod>(shape: &[usize], data: &[u8]) -> TractResult<TractTensor> {
    match bytemuck::try_cast_slice::<u8, T>(data) {
        Ok(values) => TractTensor::from_shape(shape, values),
        // Binary tensors start where the JSON before them ends, so their bytes may not be aligned.
        Err(_) => {
            let mut tensor = TractTensor::zero_dt(T::datum_type(), shape)?;
            tensor.as_bytes_mut().copy_from_slice(data);
            Ok(tensor)
        }
    }
}

/// The bytes of a result, which stay in tract's tensor.
pub(crate) struct ResultBytes(pub Arc<TractTensor>);

impl AsRef<[u8]> for ResultBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
