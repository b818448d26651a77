//! A `match` on a datatype whose arms are generic over the Rust type of the elements.

/// A `match` on a datatype with an arm for each class of elements, in this order. The identifier of an arm names the Rust
/// type of the elements; the arm is compiled once for each datatype of its class:
///
/// ```ignore
/// match_datatype!(tensor.datatype(), {
///     boolean => write_booleans(data),
///     integer T => write::<T>(data),
///     half T => write::<T>(data),
///     float T => write::<T>(data),
///     bytes => write_strings(data),
/// })
/// ```
///
/// The types of `half` are those of the crate `half`, on which the calling crate must depend.
#[macro_export]
macro_rules! match_datatype {
    ($datatype:expr, { $($arms:tt)* }) => {
        $crate::datatypes! { [$crate::__match_rows] ($datatype) { $($arms)* } }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __match_rows {
    ({ $($variant:ident $name:literal $width:tt $class:ident $element:ty;)* } ($datatype:expr) $arms:tt) => {
        match $datatype { $($crate::Datatype::$variant => $crate::__arm!($class $element, $arms),)* }
    };
}

/// The arm of one class, with a name for the type.
#[doc(hidden)]
#[macro_export]
macro_rules! __arm {
    (boolean $element:ty, { boolean => $body:expr, $($others:tt)* }) => { $body };
    (integer $element:ty, { boolean => $_b:expr, integer $T:ident => $body:expr, $($others:tt)* }) => {
        $crate::__typed!($T $element, $body)
    };
    (half $element:ty, {
        boolean => $_b:expr, integer $_I:ident => $_i:expr, half $T:ident => $body:expr, $($others:tt)*
    }) => {
        $crate::__typed!($T $element, $body)
    };
    (float $element:ty, {
        boolean => $_b:expr, integer $_I:ident => $_i:expr, half $_H:ident => $_h:expr, float $T:ident => $body:expr,
        $($others:tt)*
    }) => {
        $crate::__typed!($T $element, $body)
    };
    (bytes $element:ty, {
        boolean => $_b:expr, integer $_I:ident => $_i:expr, half $_H:ident => $_h:expr, float $_F:ident => $_f:expr,
        bytes => $body:expr $(,)?
    }) => {
        $body
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __typed {
    ($T:ident $element:ty, $body:expr) => {{
        #[allow(dead_code, reason = "an arm may give the same answer for all types of its class")]
        type $T = $element;
        $body
    }};
}

#[cfg(test)]
mod tests {
    use crate::Datatype;

    #[test]
    fn each_arm_has_the_type_of_its_datatype() {
        for datatype in Datatype::ALL {
            let (class, size) = match_datatype!(datatype, {
                boolean => ("BOOL", Some(1)),
                integer T => (if T::MIN == 0 { "UINT" } else { "INT" }, Some(size_of::<T>())),
                half T => (if T::DIGITS == half::f16::DIGITS { "FP" } else { "BF" }, Some(size_of::<T>())),
                float T => ("FP", Some(size_of::<T>())),
                bytes => ("BYTES", None),
            });
            let digits = if class == "BOOL" { None } else { size.map(|size| 8 * size) };
            assert_eq!(
                datatype.name(),
                format!("{class}{}", digits.map_or(String::new(), |digits| digits.to_string()))
            );
            assert_eq!(datatype.width(), size.map(|size| size as u64));
        }
    }
}
