//! Conversion of tensors to tract's and back. To tract costs one copy, for alignment; from tract costs none.

use std::sync::Arc;

use tract_onnx::prelude::DatumType;
use tract_onnx::tract_core::internal::{Datum, Tensor as TractTensor, TractResult};

use crate::tensor::{Datatype, Tensor};

/// The datatype of one of tract's element types; `None` for types that clients cannot exchange.
pub(crate) fn datatype(datum: DatumType) -> Option<Datatype> {
    Some(match datum.unquantized() {
        DatumType::Bool => Datatype::Bool,
        DatumType::U8 => Datatype::Uint8,
        DatumType::U16 => Datatype::Uint16,
        DatumType::U32 => Datatype::Uint32,
        DatumType::U64 => Datatype::Uint64,
        DatumType::I8 => Datatype::Int8,
        DatumType::I16 => Datatype::Int16,
        DatumType::I32 => Datatype::Int32,
        // Computed shapes and indices are symbolic inside tract, and integers outside.
        DatumType::I64 | DatumType::TDim => Datatype::Int64,
        DatumType::F16 => Datatype::Fp16,
        DatumType::F32 => Datatype::Fp32,
        DatumType::F64 => Datatype::Fp64,
        _ => return None,
    })
}

pub(crate) fn to_tract(tensor: &Tensor) -> TractResult<TractTensor> {
    let shape: Vec<usize> = tensor.shape().iter().map(|dimension| *dimension as usize).collect();
    let data = tensor.data();
    match tensor.datatype() {
        Datatype::Bool => TractTensor::from_shape(&shape, &data.iter().map(|byte| *byte != 0).collect::<Vec<bool>>()),
        Datatype::Uint8 => TractTensor::from_shape(&shape, data),
        Datatype::Uint16 => numbers::<u16>(&shape, data),
        Datatype::Uint32 => numbers::<u32>(&shape, data),
        Datatype::Uint64 => numbers::<u64>(&shape, data),
        Datatype::Int8 => numbers::<i8>(&shape, data),
        Datatype::Int16 => numbers::<i16>(&shape, data),
        Datatype::Int32 => numbers::<i32>(&shape, data),
        Datatype::Int64 => numbers::<i64>(&shape, data),
        Datatype::Fp16 => numbers::<half::f16>(&shape, data),
        Datatype::Fp32 => numbers::<f32>(&shape, data),
        Datatype::Fp64 => numbers::<f64>(&shape, data),
        // Loading refused inputs of any other datatype.
        other => Err(anyhow::anyhow!("{other} cannot be given to a graph")),
    }
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
