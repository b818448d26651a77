//! Waits in the host, where neither fuel nor epochs interrupt it. It is a crate of its own, so that no other hostile
//! component imports clocks.

use std::time::Duration;

use bulkhead_guest::{NoConfig, prelude::*};

pub struct Sleeper;

impl Plugin for Sleeper {
    type Config = NoConfig;

    fn init(_: NoConfig) -> Result<Self, InitError> {
        Ok(Sleeper)
    }

    fn signature(&self) -> Signature {
        Signature::new().input("x", Datatype::Fp32, [-1]).output("y", Datatype::Fp32, [-1])
    }

    fn process(&self, mut inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        std::thread::sleep(Duration::from_secs(60));
        Ok(Outputs::new().with("y", inputs.take("x")?))
    }
}

bulkhead_guest::plugin!(Sleeper);
