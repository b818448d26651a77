//! A plugin that misbehaves in the way that its configuration names. It imports only tensors and the inert part of WASI, so
//! no case needs a grant; misdeeds that need a grant have crates of their own.

#![expect(clippy::panic, clippy::disallowed_methods, reason = "these are misdeeds")]

mod answer;
mod exhaust;

use std::io::Write;
use std::sync::atomic::{AtomicU32, Ordering};

use bulkhead_guest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    misdeed: Misdeed,
}

/// Each variant has the name of its case.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Misdeed {
    // Exhaust a resource of the call.
    Loop,
    Recursion,
    MemoryBomb,
    TensorBomb,
    HandleBomb,
    HugeOutput,
    PrintFlood,
    ReadFlood,
    // End without a result.
    Trap,
    Panic,
    Exit,
    FailInvalid,
    FailUnavailable,
    FailAtLength,
    FailInternal,
    // Return a result that was not declared.
    WrongShape,
    WrongDatatype,
    MissingOutput,
    ExtraOutput,
    OutputTwice,
    // Return a valid result, and try to reach beyond the call.
    PrintForgery,
    Secret,
    // Misbehave before the first call.
    InitLoop,
    InitMemoryBomb,
    InitTrap,
    InitPanic,
    InitRefuses,
    InitKeepsHandle,
    InitPrints,
    // Declare a signature that no stage can have.
    StolenName,
    BadSignature,
}

pub struct Hostile {
    misdeed: Misdeed,
    /// A tensor that is kept past the end of `init`, which is forbidden.
    _kept: Option<Tensor>,
}

impl Plugin for Hostile {
    type Config = Config;

    fn init(Config { misdeed }: Config) -> Result<Self, InitError> {
        let kept = match misdeed {
            Misdeed::InitLoop => exhaust::fuel(),
            Misdeed::InitMemoryBomb => exhaust::memory(),
            Misdeed::InitTrap => std::process::abort(),
            Misdeed::InitPanic => panic!("a secret"),
            Misdeed::InitRefuses => return Err("no licence".into()),
            Misdeed::InitKeepsHandle => Some(Tensor::new(&[1], &[0.0f32])?),
            Misdeed::InitPrints => {
                println!("init says hello");
                print!("and does not end its line");
                // Standard output buffers an incomplete line. If the flush fails, a test notices the missing line.
                let _ = std::io::stdout().flush();
                None
            }
            _ => None,
        };
        Ok(Hostile { misdeed, _kept: kept })
    }

    fn signature(&self) -> Signature {
        let honest = Signature::new().input("x", Datatype::Fp32, [-1]);
        match self.misdeed {
            Misdeed::WrongShape => honest.output("y", Datatype::Fp32, [3]),
            Misdeed::StolenName => honest.output("y", Datatype::Fp32, [-1]).output("y", Datatype::Fp32, [-1]),
            Misdeed::BadSignature => honest.output("y", Datatype::Fp32, [-7]),
            _ => honest.output("y", Datatype::Fp32, [-1]),
        }
    }

    fn process(&self, mut inputs: Inputs, _: &Parameters) -> Result<Outputs, Failure> {
        let x = inputs.take("x")?;
        match self.misdeed {
            Misdeed::Loop => exhaust::fuel(),
            Misdeed::Recursion => exhaust::stack(),
            Misdeed::MemoryBomb => exhaust::memory(),
            Misdeed::TensorBomb => exhaust::host_memory(),
            Misdeed::HandleBomb => exhaust::handles(),
            Misdeed::HugeOutput => exhaust::memory_at_once(),
            Misdeed::PrintFlood => exhaust::log(),
            Misdeed::ReadFlood => exhaust::host_calls(&x),
            Misdeed::Trap => std::process::abort(),
            Misdeed::Panic => panic!("a secret"),
            Misdeed::Exit => std::process::exit(3),
            Misdeed::FailInvalid => Err(Failure::invalid_input("x must be a prime")),
            Misdeed::FailUnavailable => Err(Failure::unavailable("the moon is not full")),
            Misdeed::FailAtLength => Err(Failure::invalid_input("blah ".repeat(4_000_000))),
            Misdeed::FailInternal => Err(Failure::internal("password=hunter2")),
            Misdeed::WrongShape => answer::of_shape_2(),
            Misdeed::WrongDatatype => answer::of_fp64(),
            Misdeed::MissingOutput => Ok(Outputs::new()),
            Misdeed::ExtraOutput => Ok(Outputs::new().with("z", x.reshape(x.shape())?).with("y", x)),
            Misdeed::OutputTwice => Ok(Outputs::new().with("y", x.reshape(x.shape())?).with("y", x)),
            Misdeed::PrintForgery => {
                answer::print_forgery();
                Ok(Outputs::new().with("y", x))
            }
            Misdeed::InitPrints => {
                println!("process says hello");
                Ok(Outputs::new().with("y", x))
            }
            Misdeed::Secret => tell_secret(&x),
            _ => Ok(Outputs::new().with("y", x)),
        }
    }
}

/// Written by a call; every call must read 0 if calls are isolated.
static SECRET: AtomicU32 = AtomicU32::new(0);

fn tell_secret(x: &Tensor) -> Result<Outputs, Failure> {
    let own = x.elements::<f32>(0..1)?[0];
    let found = f32::from_bits(SECRET.swap(own.to_bits(), Ordering::Relaxed));
    Ok(Outputs::new().with("y", Tensor::new(&[1], &[found])?))
}

bulkhead_guest::plugin!(Hostile);

#[cfg(test)]
mod tests {
    use super::*;

    /// Every case of this crate has a variant of its name.
    #[test]
    fn knows_the_misdeed_of_every_case() {
        for case in std::fs::read_dir("../cases").unwrap() {
            let case = case.unwrap().path();
            let Ok(bundle) = std::fs::read_to_string(case.join("bundle.toml")) else { continue };
            let bundle: toml::Table = bundle.parse().unwrap();
            let plugin = &bundle["plugin"][0];
            if plugin["component"].as_str() != Some("hostile-guest.wasm") {
                continue;
            }
            let config = plugin["config"].clone();
            assert_eq!(config["misdeed"].as_str(), case.file_name().unwrap().to_str());
            assert!(config.try_into::<Config>().is_ok(), "{}", case.display());
        }
    }
}
