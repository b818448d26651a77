//! The long run of the random graphs: `graphs FIRST COUNT` tries that many seeds, `graphs show SEED FILE` writes the graph of
//! one, and `graphs run SEED FILE` tries a graph that was changed since. `cargo xtask fuzz graphs` builds and starts it.
//!
//! The seeds run in a child process, so that one that kills it, or is never done, is found and the rest are tried.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bulkhead_fuzz::graphs::{self, Load, Outcome, Ran};

/// Most time of loading, or of running, a graph. The host loads a file in a child process that has a limit, too.
const TIME: Duration = Duration::from_secs(10);

/// The child's line between the loading and the running of a graph.
const LOADED: &str = "loaded";

/// The fault of a child that prints nothing for that time.
const UNENDED: &str = "did not end";

/// Address space of the child. A graph whose loading takes more ends the child.
const MEMORY: u64 = 8 << 30;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match texts[..] {
        ["child", first, end] => child(first.parse()?, end.parse()?).map(|()| ExitCode::SUCCESS),
        ["show", seed, file] => {
            std::fs::write(file, graphs::file_of(seed.parse()?)).context(file.to_owned())?;
            println!("{:#?}", graphs::check(seed.parse()?, || println!("loaded")));
            Ok(ExitCode::SUCCESS)
        }
        ["run", seed, file] => {
            let content = std::fs::read(file).context(file.to_owned())?;
            println!("{:#?}", graphs::check_file(&content, seed.parse()?, || println!("loaded")));
            Ok(ExitCode::SUCCESS)
        }
        [first, count] => parent(first.parse()?, count.parse()?),
        _ => bail!("usage: graphs FIRST COUNT, graphs show SEED FILE, or graphs run SEED FILE"),
    }
}

/// Tries the seeds, and prints a line for each: what counts it, then what the parent compares.
fn child(first: u64, end: u64) -> Result<()> {
    use rustix::process::{Resource, Rlimit, setrlimit};
    setrlimit(Resource::As, Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) })?;
    // A panic of the loader or of an operator is an outcome, which the parent counts.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout().lock();
    for seed in first..end {
        let Outcome { load, loading, ran } = graphs::check(seed, || {
            let _ = writeln!(out, "{LOADED}").and_then(|()| out.flush());
        });
        let (kind, more) = match (load, ran) {
            (Load::Loaded, Some(Ran { end, overrun, dearness, uncharged, broken })) => {
                let broken = broken.unwrap_or_default();
                let measures = format!("{:.1}\t{dearness:.2}\t{uncharged}\t{broken}", overrun.as_secs_f64() * 1e3);
                (format!("loaded, {end:?}"), measures)
            }
            (Load::Refused(text), _) => (format!("refused: {}", reason(&text)), String::new()),
            (load, _) => (format!("{load:?}"), String::new()),
        };
        writeln!(out, "{seed}\t{kind}\t{:.1}\t{more}", loading.as_secs_f64() * 1e3)?;
        out.flush()?;
    }
    Ok(())
}

/// The beginning of a reason, without the names of a graph, so that equal reasons are counted together.
fn reason(text: &str) -> &str {
    let end = text.find([':', '"', '\n', '\t']).unwrap_or(text.len());
    text.get(..end.min(60)).unwrap_or("?").trim()
}

/// The largest value of a measure, and its seed.
#[derive(Default)]
struct Worst(f64, u64);

impl Worst {
    fn take(&mut self, seed: u64, value: Option<&&str>) {
        let value = value.and_then(|text| text.parse().ok()).unwrap_or(0.0);
        if value > self.0 {
            *self = Worst(value, seed);
        }
    }
}

#[derive(Default)]
struct Summary {
    counts: BTreeMap<String, usize>,
    loading: Worst,
    overrun: Worst,
    dearness: Worst,
    uncharged: Worst,
    broken: Vec<String>,
}

impl Summary {
    fn take(&mut self, line: &str) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [seed, kind, ref measures @ ..] = fields[..] else { return };
        let seed = seed.parse().unwrap_or(0);
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        self.loading.take(seed, measures.first());
        self.overrun.take(seed, measures.get(1));
        self.dearness.take(seed, measures.get(2));
        self.uncharged.take(seed, measures.get(3));
        if let Some(broken) = measures.get(4).filter(|broken| !broken.is_empty()) {
            self.broken.push(format!("seed {seed}: {broken}"));
        }
    }

    fn print(&self) {
        self.counts.iter().for_each(|(kind, count)| println!("{count:6} {kind}"));
        let worst = |what: &str, Worst(value, seed): &Worst| println!("{what}: {value} (seed {seed})");
        worst("longest loading, in ms", &self.loading);
        worst("longest time past a deadline, in ms", &self.overrun);
        worst("most CPU time for its fuel, in matrix products", &self.dearness);
        worst("most bytes beyond what was charged", &self.uncharged);
        self.broken.iter().for_each(|broken| println!("BROKEN {broken}"));
    }
}

fn parent(first: u64, count: u64) -> Result<ExitCode> {
    let (mut next, end) = (first, first + count);
    let mut summary = Summary::default();
    while next < end {
        let (mut process, lines) = start(next, end)?;
        let mut loaded = false;
        let fault = loop {
            match lines.recv_timeout(TIME) {
                Ok(line) if line == LOADED => loaded = true,
                Ok(line) => {
                    summary.take(&line);
                    next += 1;
                    loaded = false;
                }
                Err(RecvTimeoutError::Timeout) => break UNENDED,
                Err(RecvTimeoutError::Disconnected) => break "ended the process",
            }
        };
        let _ = process.kill();
        process.wait()?;
        if next < end {
            // The memory of loading is outside of what a run is charged.
            if loaded || fault == UNENDED {
                let what = if loaded { "run" } else { "loading" };
                summary.broken.push(format!("seed {next}: its {what} {fault}"));
            } else {
                println!("seed {next}: its loading {fault}");
                *summary.counts.entry(format!("loading {fault}")).or_default() += 1;
            }
            next += 1;
        }
    }
    summary.print();
    Ok(if summary.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A child for these seeds, and its lines.
fn start(first: u64, end: u64) -> Result<(Child, Receiver<String>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["child", &first.to_string(), &end.to_string()]).stdout(Stdio::piped());
    let mut process = command.spawn()?;
    let output = process.stdout.take().context("no standard output")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    Ok((process, lines))
}
