//! A steady victim beside hostile neighbours: one client of one tenant calls a cheap model, while another tenant
//! misbehaves in one way after the other. No call of the victim may be lost, and its latency is compared with that beside
//! an honest neighbour of the same run.
//!
//! `cargo xtask test` runs the short form. With `BULKHEAD_VICTIM_SECONDS=30 cargo xtask test steady_victim` each neighbour
//! stays for 30 seconds, and the bound is the aim: [`AIM`]. `BULKHEAD_TOGETHER_SECONDS=600 cargo xtask test steady_victim`
//! is ten minutes of all neighbours together.

mod neighbours;
mod steady;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use system_tests::{Host, Start};

use crate::connections::{Place, alone};
use neighbours::{NEIGHBOURS, Neighbour};
use steady::{Calls, Victim};

/// The seconds beside each neighbour in the long form.
const SECONDS: &str = "BULKHEAD_VICTIM_SECONDS";

/// The seconds beside all neighbours together, and those of the short form.
const TOGETHER: &str = "BULKHEAD_TOGETHER_SECONDS";
const SHORT_TOGETHER: Duration = Duration::from_secs(6);

/// Bound on the victim's 99th percentile in the long form, in multiples of that beside the honest neighbour.
const AIM: f64 = 1.5;

/// A 99th percentile that the short form accepts at any ratio: on a machine that runs other tests beside this one, some
/// calls wait that long for a core.
const FLOOR: Duration = Duration::from_millis(250);

/// A 99th percentile that the long form accepts at any ratio: the system's time slices are some milliseconds long, and a
/// call is woken on three threads, so that on two cores a few waits for the end of a slice exceed any ratio.
const LONG_FLOOR: Duration = Duration::from_millis(10);

/// Default limits, except for those that would make the short form long.
const CONFIG: &str = "[http]\nheader-time = '3s'\nbody-time = '3s'\nreply-time = '6s'\nbuffered-bytes = '64 MiB'\n\
                      [call]\nfuel = '2 G'\ntime = '3s'\n[init]\ntime = '3s'\n";

/// Memory that the host may hold after all neighbours beyond what it held before: freed memory that its allocator keeps.
const MEMORY: u64 = 256 << 20;

/// Open files, and threads, that the host may have after all neighbours beyond those before: connections that clients of this
/// test keep, and threads of the pools.
const FILES: usize = 16;
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
        Ok(match seconds(SECONDS)? {
            Some(beside) => Form { beside, ratio: AIM, floor: LONG_FLOOR },
            None => Form { beside: Duration::from_millis(1500), ratio: 5.0, floor: FLOOR },
        })
    }
}

fn seconds(variable: &str) -> Result<Option<Duration>> {
    let Ok(seconds) = std::env::var(variable) else { return Ok(None) };
    let seconds = seconds.parse().with_context(|| format!("{variable} is not a number: \"{seconds}\""))?;
    Ok(Some(Duration::from_secs(seconds)))
}

#[test]
fn a_steady_victim_loses_no_call_and_little_time_beside_any_neighbour() -> Result<()> {
    let _alone = alone();
    let form = Form::chosen()?;
    let place = settle()?;
    let base = beside(&place, &NEIGHBOURS[..1], form.beside)?;
    let resources = Resources::of(&place.host)?;
    println!("{HEAD}");
    let mut wrong = Vec::new();
    for neighbour in &NEIGHBOURS {
        let calls = beside(&place, std::slice::from_ref(neighbour), form.beside)?;
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

#[test]
fn a_steady_victim_loses_no_call_beside_all_neighbours_together() -> Result<()> {
    let _alone = alone();
    let place = settle()?;
    let base = beside(&place, &NEIGHBOURS[..1], Duration::from_secs(1))?;
    let resources = Resources::of(&place.host)?;
    let calls = beside(&place, &NEIGHBOURS, seconds(TOGETHER)?.unwrap_or(SHORT_TOGETHER))?;
    println!("{HEAD}\n{}", calls.line("all together", &base));
    assert!(calls.lost.is_empty(), "{}", calls.lost.join("\n"));
    resources.are_back(&place.host)
}

/// The columns of [`Calls::line`].
const HEAD: &str = "neighbour                   calls  lost      p50      p99      max  ratio  acts";

fn settle() -> Result<Place> {
    let began = Instant::now();
    let place = Place::of(Start::default().config(CONFIG))?;
    neighbours::move_in(&place)?;
    println!("models are loaded after {:.1?}", began.elapsed());
    Ok(place)
}

/// The victim's calls beside these neighbours. All that they began has ended when this returns.
fn beside(place: &Place, neighbours: &[Neighbour], time: Duration) -> Result<Calls> {
    let end = Instant::now() + time;
    let mut calls = std::thread::scope(|scope| {
        let neighbours: Vec<_> = neighbours
            .iter()
            .map(|neighbour| (neighbour.name, scope.spawn(|| neighbour.misbehave(place, end))))
            .collect();
        let mut calls = Victim::new(place)?.call_until(end)?;
        for (name, neighbour) in neighbours {
            let acts = neighbour.join().unwrap().with_context(|| format!("beside {name}"))?;
            ensure!(acts > 0, "{name} did nothing");
            calls.acts += acts;
        }
        anyhow::Ok(calls)
    })?;
    place.wait_until_nothing_is_left().with_context(|| format!("after {}", neighbours[0].name))?;
    calls.sort();
    Ok(calls)
}

#[derive(Debug)]
struct Resources {
    memory: u64,
    files: usize,
    /// Their names, and how many have each.
    threads: BTreeMap<String, usize>,
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
                && now.threads.values().sum::<usize>() <= self.threads.values().sum::<usize>() + THREADS;
            if back {
                println!("before: {self:?}\nafter:  {now:?}");
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the host had {self:?} before, and has {now:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
