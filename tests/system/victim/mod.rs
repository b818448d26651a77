//! A steady victim beside hostile neighbours: one client of one tenant calls a cheap model, while another tenant
//! misbehaves in one way after the other. No call of the victim may be lost, and its latency is compared with that beside
//! an honest neighbour of the same run.
//!
//! `cargo xtask test` runs the short form. With `BULKHEAD_VICTIM_SECONDS=30 cargo xtask test steady_victim` each neighbour
//! stays for 30 seconds, and the bound is the aim: [`AIM`].

mod neighbours;
mod steady;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use system_tests::{Host, Start};

use crate::connections::{Place, alone};
use neighbours::{NEIGHBOURS, Neighbour};
use steady::{Calls, Victim};

/// The seconds beside each neighbour in the long form.
const SECONDS: &str = "BULKHEAD_VICTIM_SECONDS";

/// Bound on the victim's 99th percentile in the long form, in multiples of that beside the honest neighbour.
const AIM: f64 = 1.5;

/// A 99th percentile that the short form accepts at any ratio: on a machine that runs other tests beside this one, some
/// calls wait that long for a core.
const FLOOR: Duration = Duration::from_millis(250);

/// Default limits, except for those that would make the short form long.
const CONFIG: &str = "[http]\nheader-time = '3s'\nbody-time = '3s'\nreply-time = '6s'\nbuffered-bytes = '64 MiB'\n\
                      [call]\nfuel = '2 G'\ntime = '3s'\n[init]\ntime = '3s'\n";

/// Memory that the host may hold after all neighbours beyond what it held before: freed memory that its allocator keeps.
const MEMORY: u64 = 256 << 20;

/// Open files, and threads, that the host may have after all neighbours beyond those before.
const FILES: usize = 8;
const THREADS: usize = 8;

/// The time in which the host gives back what the last neighbour took. Idle threads end after two seconds.
const SETTLED: Duration = Duration::from_secs(20);

struct Form {
    /// Time beside each neighbour.
    beside: Duration,
    ratio: f64,
    /// A 99th percentile that is accepted at any ratio.
    floor: Duration,
}

impl Form {
    fn chosen() -> Result<Form> {
        let Ok(seconds) = std::env::var(SECONDS) else {
            return Ok(Form { beside: Duration::from_millis(1500), ratio: 5.0, floor: FLOOR });
        };
        let seconds = seconds.parse().with_context(|| format!("{SECONDS} is not a number: \"{seconds}\""))?;
        Ok(Form { beside: Duration::from_secs(seconds), ratio: AIM, floor: Duration::ZERO })
    }
}

#[test]
fn a_steady_victim_loses_no_call_and_little_time_beside_any_neighbour() -> Result<()> {
    let _alone = alone();
    let form = Form::chosen()?;
    let began = Instant::now();
    let place = Place::of(Start::default().config(CONFIG))?;
    neighbours::move_in(&place)?;
    println!("models are loaded after {:.1?}", began.elapsed());
    let honest = NEIGHBOURS.first().context("a neighbour")?;
    let base = beside(&place, honest, form.beside)?;
    let resources = Resources::of(&place.host)?;
    println!("{:24}    calls  lost      p50      p99      max  ratio  acts", "neighbour");
    let mut wrong = Vec::new();
    for neighbour in &NEIGHBOURS {
        let calls = beside(&place, neighbour, form.beside)?;
        wrong.extend(calls.lost.iter().map(|lost| format!("{}: a call was lost: {lost}", neighbour.name)));
        let (p99, bound) = (calls.percentile(99), form.floor.max(base.percentile(99).mul_f64(form.ratio)));
        println!("{}", calls.line(neighbour.name, &base));
        if p99 > bound {
            wrong.push(format!("{}: p99 is {p99:.1?}, and {bound:.1?} is the bound", neighbour.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    resources.are_back(&place.host)
}

/// The victim's calls beside a neighbour. All that the neighbour began has ended when this returns.
fn beside(place: &Place, neighbour: &Neighbour, time: Duration) -> Result<Calls> {
    let end = Instant::now() + time;
    let mut calls = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| neighbour.misbehave(place, end));
        let mut calls = Victim::new(place)?.call_until(end)?;
        calls.acts = neighbour.join().unwrap()?;
        anyhow::Ok(calls)
    })
    .with_context(|| format!("beside {}", neighbour.name))?;
    ensure!(calls.acts > 0, "{} did nothing", neighbour.name);
    place.wait_until_nothing_is_left().with_context(|| format!("after {}", neighbour.name))?;
    calls.sort();
    Ok(calls)
}

#[derive(Debug)]
struct Resources {
    memory: u64,
    files: usize,
    threads: usize,
}

impl Resources {
    fn of(host: &Host) -> Result<Resources> {
        Ok(Resources { memory: host.memory()?, files: host.open_files()?, threads: host.threads()? })
    }

    /// Waits until the host holds about these resources again.
    fn are_back(&self, host: &Host) -> Result<()> {
        let deadline = Instant::now() + SETTLED;
        loop {
            let now = Resources::of(host)?;
            let back = now.memory <= self.memory + MEMORY
                && now.files <= self.files + FILES
                && now.threads <= self.threads + THREADS;
            if back {
                println!("before: {self:?}\nafter:  {now:?}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the host had {self:?} before, and has {now:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
