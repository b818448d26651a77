//! Runs each target for some seconds with its seeds and mutations of them. `cargo xtask fuzz` is the long run.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bulkhead_fuzz::{Target, seeds};
use mutatis::check::Check;
use mutatis::mutators;

/// Time for each target.
const TIME: Duration = Duration::from_secs(3);

/// Average number of mutations before the seed is restored: after more of them, nothing of the seed would be left.
const CHANGES: usize = 12;

/// Random graphs of the short run.
const GRAPHS: &str = "40";

/// Seeds with which a longer run found a fault: inputs that nothing reads (212, 880), simplification without an end (46, 428,
/// 789), memory of matrices in a batch (370), between the steps of an operator (483) and of its result (974).
const FOUND: [u64; 8] = [46, 212, 370, 428, 483, 789, 880, 974];

fn run(name: &str) -> Result<()> {
    let target = Target::find(name).with_context(|| name.to_owned())?;
    let seeds = seeds::of(&target)?;
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds == 0 || begun.elapsed() < TIME {
        let property = |input: &Vec<u8>| {
            (target.run)(input);
            Ok::<_, String>(())
        };
        let changes = mutators::vec(mutators::u8());
        let round =
            Check::new().iters(CHANGES * seeds.len()).max_shrink_iters(0).run_with(changes, seeds.clone(), property);
        if let Err(failed) = round {
            let failure = failed.unwrap_failed();
            anyhow::bail!("{name} broke a promise (above) on \"{}\"", failure.value.escape_ascii());
        }
        rounds += 1;
    }
    println!("{name}: {} seeds, {} inputs", seeds.len(), rounds * (CHANGES + 1) * seeds.len());
    Ok(())
}

#[test]
fn json() -> Result<()> {
    run("json")
}

#[test]
fn binary() -> Result<()> {
    run("binary")
}

#[test]
fn grpc() -> Result<()> {
    run("grpc")
}

#[test]
fn tensorflow_rest() -> Result<()> {
    run("tensorflow-rest")
}

#[test]
fn tensorflow_grpc() -> Result<()> {
    run("tensorflow-grpc")
}

#[test]
fn parts() -> Result<()> {
    run("parts")
}

#[test]
fn round_trip() -> Result<()> {
    run("round-trip")
}

/// Random graphs of fixed seeds, each loaded and run once. `cargo xtask fuzz graphs` tries others.
#[test]
fn random_graphs_stay_within_what_they_are_charged() -> Result<()> {
    let text = try_graphs("0", GRAPHS)?;
    anyhow::ensure!(text.contains("loaded, Answered"), "{text}");
    FOUND.iter().try_for_each(|seed| try_graphs(&seed.to_string(), "1").map(drop))
}

fn try_graphs(first: &str, count: &str) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_graphs")).args([first, count]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    anyhow::ensure!(output.status.success(), "{output:?}");
    Ok(text)
}
