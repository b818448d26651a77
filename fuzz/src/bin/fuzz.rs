//! Runs one target under libFuzzer, with libFuzzer's own arguments. `cargo xtask fuzz` builds it with coverage
//! instrumentation and starts it.

#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use bulkhead_fuzz::{Target, seeds};
use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<Target> = OnceLock::new();

/// Target and folder of inputs come from environment variables, because libFuzzer interprets the arguments.
fn chosen() -> Target {
    let name = std::env::var("BULKHEAD_FUZZ_TARGET").unwrap_or_default();
    let target = Target::find(&name).expect("BULKHEAD_FUZZ_TARGET is the name of a target");
    let inputs = PathBuf::from(std::env::var_os("BULKHEAD_FUZZ_INPUTS").unwrap_or_default());
    seeds::write(&target, &inputs).expect("BULKHEAD_FUZZ_INPUTS is a folder for the seeds");
    target
}

fuzz_target!(init: { let _ = TARGET.set(chosen()); }, |input: &[u8]| {
    if let Some(target) = TARGET.get() {
        (target.run)(input);
    }
});
