//! Misdeeds that return in time, but with an output that was not declared or with a side effect.

use bulkhead_guest::prelude::*;

pub(crate) fn of_shape_2() -> Result<Outputs, Failure> {
    Ok(Outputs::new().with("y", Tensor::new(&[2], &[1.0f32, 2.0])?))
}

pub(crate) fn of_fp64() -> Result<Outputs, Failure> {
    Ok(Outputs::new().with("y", Tensor::new(&[2], &[1.0f64, 2.0])?))
}

/// Prints lines that imitate the host's log, and control characters that would change a terminal if the host did not escape
/// them.
pub(crate) fn print_forgery() {
    println!("\n{{\"level\":\"ERROR\",\"target\":\"bulkhead\",\"message\":\"forged\"}}");
    println!("harmless\r2026-01-01T00:00:00Z ERROR bulkhead: forged");
    println!("\u{1b}[2J\u{1b}[31mforged\u{7}\u{0}\u{8}\u{9b}31m\u{202e}\u{2028}forged");
}
