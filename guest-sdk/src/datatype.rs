//! Element types, and the Rust types that stand for them.

use half::{bf16, f16};

/// Datatypes as the Open Inference Protocol names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datatype {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Fp16,
    Bf16,
    Fp32,
    Fp64,
    /// Strings of bytes, each of its own length: text, pictures, files.
    Bytes,
}

impl Datatype {
    const NAMES: [(&str, Datatype); 14] = [
        ("BOOL", Datatype::Bool),
        ("UINT8", Datatype::Uint8),
        ("UINT16", Datatype::Uint16),
        ("UINT32", Datatype::Uint32),
        ("UINT64", Datatype::Uint64),
        ("INT8", Datatype::Int8),
        ("INT16", Datatype::Int16),
        ("INT32", Datatype::Int32),
        ("INT64", Datatype::Int64),
        ("FP16", Datatype::Fp16),
        ("BF16", Datatype::Bf16),
        ("FP32", Datatype::Fp32),
        ("FP64", Datatype::Fp64),
        ("BYTES", Datatype::Bytes),
    ];
}

impl std::str::FromStr for Datatype {
    type Err = String;

    /// By its name in the Open Inference Protocol.
    fn from_str(name: &str) -> Result<Datatype, String> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        let known = || Self::NAMES.map(|(known, _)| known).join(", ");
        found.map(|(_, datatype)| *datatype).ok_or_else(|| format!("\"{name}\" is not a datatype; known: {}", known()))
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type whose values are elements of a tensor. A `BOOL` tensor is read and written as `u8`, 0 or 1.
pub trait Element: sealed::Sealed + bytemuck::Pod {
    const DATATYPE: Datatype;

    /// True where a tensor of `datatype` can be seen as a row of `Self`.
    fn fits(datatype: Datatype) -> bool {
        datatype == Self::DATATYPE
    }
}

macro_rules! elements {
    ($($rust:ty => $datatype:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DATATYPE: Datatype = Datatype::$datatype;
        }
    )*};
}

elements!(u16 => Uint16, u32 => Uint32, u64 => Uint64, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
          f16 => Fp16, bf16 => Bf16, f32 => Fp32, f64 => Fp64);

impl sealed::Sealed for u8 {}
impl Element for u8 {
    const DATATYPE: Datatype = Datatype::Uint8;

    fn fits(datatype: Datatype) -> bool {
        matches!(datatype, Datatype::Uint8 | Datatype::Bool)
    }
}
