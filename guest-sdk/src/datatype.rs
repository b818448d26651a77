//! Element types, and the Rust types that stand for them.

pub use bulkhead_tensor::Datatype;

mod sealed {
    pub trait Sealed {}
}

/// A Rust type whose values are elements of a tensor. A `BOOL` tensor is read and written as `u8`, 0 or 1.
pub trait Element: sealed::Sealed + bytemuck::Pod {
    const DATATYPE: Datatype;

    /// True where a tensor of `datatype` can be seen as a row of `Self`.
    fn fits(datatype: Datatype) -> bool {
        datatype == Self::DATATYPE || (datatype, Self::DATATYPE) == (Datatype::Bool, Datatype::Uint8)
    }
}

macro_rules! elements {
    ({ $($datatype:ident $name:literal $width:tt $class:ident $rust:ty;)* }) => {
        $(element!($class $rust, $datatype);)*
    };
}

macro_rules! element {
    (boolean $rust:ty, $datatype:ident) => {};
    (bytes $rust:ty, $datatype:ident) => {};
    ($number:ident $rust:ty, $datatype:ident) => {
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DATATYPE: Datatype = Datatype::$datatype;
        }
    };
}

bulkhead_tensor::datatypes! { [elements] }
