//! The `bulkhead` program.

use std::process::ExitCode;

/// Requests allocate and free on several threads, and what large ones took is taken again by the next.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bulkhead::cli::main()
}
