//! Logs without end. Alone in its crate, so that no other hostile component imports logging.

use bulkhead_guest::{NoConfig, log, prelude::*};

pub struct Logger;

impl Plugin for Logger {
    type Config = NoConfig;

    fn init(_: NoConfig) -> Result<Self, InitError> {
        Ok(Logger)
    }

    fn signature(&self) -> Signature {
        Signature::new().input("x", Datatype::Fp32, [-1]).output("y", Datatype::Fp32, [-1])
    }

    fn process(&self, _: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        loop {
            log::info("all work and no play makes jack a dull boy");
        }
    }
}

bulkhead_guest::plugin!(Logger);
