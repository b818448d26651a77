//! Element types, with the names that the Open Inference Protocol gives them.

use std::fmt;
use std::str::FromStr;

/// The list of datatypes. A row has the variant, its name, the bytes of an element, the class of the element for
/// [`match_datatype`](crate::match_datatype), and the Rust type of an element. Calls the macro in brackets with the rows
/// and the arguments behind it. A path in a row is resolved by the crate that uses the list.
#[macro_export]
macro_rules! datatypes {
    ([$($callback:tt)*] $($arguments:tt)*) => {
        $($callback)*! {
            {
                Bool "BOOL" (Some(1)) boolean bool;
                Uint8 "UINT8" (Some(1)) integer u8;
                Uint16 "UINT16" (Some(2)) integer u16;
                Uint32 "UINT32" (Some(4)) integer u32;
                Uint64 "UINT64" (Some(8)) integer u64;
                Int8 "INT8" (Some(1)) integer i8;
                Int16 "INT16" (Some(2)) integer i16;
                Int32 "INT32" (Some(4)) integer i32;
                Int64 "INT64" (Some(8)) integer i64;
                Fp16 "FP16" (Some(2)) half half::f16;
                Bf16 "BF16" (Some(2)) half half::bf16;
                Fp32 "FP32" (Some(4)) float f32;
                Fp64 "FP64" (Some(8)) float f64;
                Bytes "BYTES" (None) bytes [u8];
            }
            $($arguments)*
        }
    };
}

macro_rules! declare {
    ({ $($variant:ident $name:literal ($width:expr) $class:ident $element:ty;)* }) => {
        /// The datatype of a tensor's elements. Numbers are little-endian; an element of `BOOL` is a byte, 0 or 1; an
        /// element of `BYTES` is a string of bytes with a length of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Datatype {
            $($variant,)*
        }

        impl Datatype {
            pub const ALL: [Datatype; [$($name),*].len()] = [$(Datatype::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(Datatype::$variant => $name,)* }
            }

            /// Bytes of an element; `None` for `BYTES`, whose elements have lengths of their own.
            #[inline]
            pub const fn width(self) -> Option<u64> {
                match self { $(Datatype::$variant => $width,)* }
            }
        }
    };
}

datatypes! { [declare] }

impl Datatype {
    pub fn from_name(name: &str) -> Option<Datatype> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }
}

impl FromStr for Datatype {
    type Err = String;

    /// By its name in the Open Inference Protocol. The error lists the names.
    fn from_str(name: &str) -> Result<Datatype, String> {
        let known = || Self::ALL.map(Datatype::name).join(", ");
        Self::from_name(name).ok_or_else(|| format!("\"{name}\" is not a datatype; known: {}", known()))
    }
}

impl fmt::Display for Datatype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
