//! Logs without end. It is a crate of its own, so that no other hostile component imports logging.

use bulkhead_guest::{log, prelude::*};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    message: String,
}

pub struct Logger {
    message: String,
}

impl Plugin for Logger {
    type Config = Config;

    fn init(config: Config) -> Result<Self, InitError> {
        Ok(Logger { message: config.message })
    }

    fn signature(&self) -> Signature {
        Signature::new().input("x", Datatype::Fp32, [-1]).output("y", Datatype::Fp32, [-1])
    }

    fn process(&self, _: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        loop {
            log::info(&self.message);
        }
    }
}

bulkhead_guest::plugin!(Logger);
