//! The runner's side: it lowers its own limits, takes its lanes, confines itself, and then loads and runs graphs for the
//! host until the host ends it or is gone.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};

use rustix::process::{Resource, Signal, nice, set_parent_process_death_signal, setpgid};

use super::control::{Control, LoadAnswer, Loaded, Order};
use super::lane::{Lane, Received};
use super::message::{Description, Reply, Request};
use crate::config::{CallLimits, clip};
use crate::numbers::to_usize;
use crate::runtime::{GraphError, InputShapes, Model, onnx};
use crate::tenant::{Budget, Limit};
use crate::tensor::{NamedTensors, Tensor};
use crate::worker::{ADDRESS_SPACE, OUT_OF_MEMORY, confine, finish, lower_limit};

/// The limits that a runner receives on its command line.
pub struct RunnerLimits {
    /// Runs at once.
    pub lanes: usize,
    /// Bytes of memory for everything.
    pub memory: u64,
    /// Bytes of the tensors of a run, in the file of a lane.
    pub file: u64,
}

/// Stack of a run in bytes.
const RUN_STACK: usize = 4 << 20;

/// Open files beside two for each lane: the standard ones, the report of a confined process, and a graph that is loaded.
const OPEN_FILES: u64 = 16;

/// Priority of runs, below that of the host's threads, which compute in time slices and wait for runs.
const RUN_NICENESS: i32 = 5;

/// Priority of loading, below that of runs.
const LOAD_NICENESS: i32 = 10;

thread_local! {
    /// True if a panic of this thread told of a lack of memory. Operators panic if they cannot allocate a tensor.
    static STARVED: Cell<bool> = const { Cell::new(false) };
}

/// The main function of a runner. Standard input is the connection with the host.
pub fn run_graphs(limits: &RunnerLimits) -> ExitCode {
    finish(serve(limits))
}

fn serve(limits: &RunnerLimits) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A group of its own, so that a signal from the host's terminal does not reach it. It stays in the host's session: Linux
    // may share the cores between sessions first, and priorities count within one alone.
    setpgid(None, None)?;
    nice(RUN_NICENESS)?;
    lower(limits)?;
    let control = Control::of(io::stdin().as_fd().try_clone_to_owned()?);
    let lanes = (0..limits.lanes).map(|_| take_lane(&control)).collect::<io::Result<Vec<_>>>()?;
    confine()?;
    note_starvation();
    let graphs = Arc::<Graphs>::default();
    for lane in lanes {
        let graphs = graphs.clone();
        let thread = std::thread::Builder::new().name("run-graph".into()).stack_size(RUN_STACK);
        thread.spawn(move || match graphs.serve(lane) {
            // The host is about to end this process.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
            ended => {
                finish(ended);
                std::process::abort();
            }
        })?;
    }
    nice(LOAD_NICENESS - RUN_NICENESS)?;
    // The end of this thread ends the process, and with it the runs that are in progress.
    graphs.obey(&control)
}

fn lower(limits: &RunnerLimits) -> io::Result<()> {
    let files = OPEN_FILES + 2 * limits.lanes as u64;
    lower_limit(Resource::Core, 0, 0)?;
    lower_limit(Resource::Fsize, limits.file, limits.file)?;
    lower_limit(Resource::Nofile, files, files)?;
    lower_limit(Resource::Data, limits.memory, limits.memory)?;
    let address_space = limits.memory.saturating_add(ADDRESS_SPACE);
    lower_limit(Resource::As, address_space, address_space)
}

/// Notes panics for want of memory, and prints the others. What is printed is told when the process ends.
fn note_starvation() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if OUT_OF_MEMORY.iter().any(|words| text.contains(words)) {
            STARVED.set(true);
        } else {
            eprintln!("{text}");
        }
    }));
}

fn take_lane(control: &Control) -> io::Result<Lane> {
    match control.receive()? {
        Some((Order::Lane, files)) => match <[OwnedFd; 2]>::try_from(files) {
            Ok(files) => Ok(Lane::of(files)),
            Err(_) => Err(io::Error::other("a lane without its files")),
        },
        _ => Err(io::Error::other("no lane")),
    }
}

/// The graphs that are loaded, by the numbers that the host gives them.
#[derive(Default)]
struct Graphs(RwLock<HashMap<u64, Arc<dyn Model>>>);

impl Graphs {
    /// Loads and drops graphs as the host orders, until it closes the connection.
    fn obey(&self, control: &Control) -> io::Result<()> {
        while let Some((order, files)) = control.receive()? {
            match order {
                Order::Load { graph, bytes, shapes } => {
                    let file = files.into_iter().next().map(File::from);
                    let file = file.ok_or_else(|| io::Error::other("a graph without its file"))?;
                    control.send(&self.load(graph, &file, bytes, &shapes)?, &[])?;
                }
                Order::Unload { graph } => drop(self.change(|graphs| graphs.remove(&graph))),
                Order::Lane => return Err(io::Error::other("a lane too many")),
            }
        }
        Ok(())
    }

    fn load(&self, graph: u64, file: &File, bytes: u64, shapes: &InputShapes) -> io::Result<LoadAnswer> {
        let mut content = vec![0; to_usize(bytes)];
        file.read_exact_at(&mut content, 0)?;
        Ok(match onnx().load(&content, shapes) {
            Ok(model) => {
                let loaded = Loaded::of(model.signature(), model.resident_bytes());
                self.change(|graphs| graphs.insert(graph, model));
                Ok(loaded)
            }
            Err(error) => Err(clip(error.to_string())),
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut HashMap<u64, Arc<dyn Model>>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn model(&self, graph: u64) -> io::Result<Arc<dyn Model>> {
        let graphs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        graphs.get(&graph).cloned().ok_or_else(|| io::Error::other("a graph that is not loaded"))
    }

    /// Answers the requests of a lane until the host closes it.
    fn serve(&self, mut lane: Lane) -> io::Result<()> {
        loop {
            let received = lane.receive(None)?;
            let request = Request::decode(lane.message(&received));
            match request.ok_or_else(|| io::Error::other("a request that cannot be read"))? {
                Request::Cost { graph, shapes } => {
                    let shapes: Vec<&[u64]> = shapes.iter().map(Vec::as_slice).collect();
                    let reply = match self.model(graph)?.cost(&shapes, &Budget::empty()) {
                        Ok(cost) => Reply::Cost(cost),
                        Err(error) => refusal(error),
                    };
                    lane.send(&reply.encode(), &[])?;
                }
                Request::Run { graph, time, memory, inputs } => {
                    // The host has charged the fuel.
                    let mut budget = Budget::new(&CallLimits { fuel: u64::MAX, memory, time, log: 0 });
                    let model = self.model(graph)?;
                    let inputs = match take_inputs(&lane, received, &*model, inputs) {
                        Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                            lane.send(&Reply::Memory.encode(), &[])?;
                            continue;
                        }
                        inputs => inputs?,
                    };
                    STARVED.set(false);
                    match model.run(inputs, &mut budget) {
                        Ok(outputs) => send_outputs(&mut lane, &outputs)?,
                        Err(_) if STARVED.get() => lane.send(&Reply::Memory.encode(), &[])?,
                        Err(error) => lane.send(&refusal_of(error, &*model).encode(), &[])?,
                    }
                }
            }
        }
    }
}

fn take_inputs(
    lane: &Lane,
    mut received: Received,
    model: &dyn Model,
    inputs: Vec<Description>,
) -> io::Result<NamedTensors> {
    let names = model.signature().inputs.iter().map(|spec| spec.name.clone());
    let take = |(name, input): (Arc<str>, Description)| {
        let data = lane.take(&mut received, input.bytes)?;
        Ok((name, Tensor::new(input.datatype, input.shape, data.into()).map_err(io::Error::other)?))
    };
    names.zip(inputs).map(take).collect()
}

fn send_outputs(lane: &mut Lane, outputs: &NamedTensors) -> io::Result<()> {
    let describe = |(_, tensor): &(Arc<str>, Tensor)| Description {
        datatype: tensor.datatype(),
        shape: tensor.shape().to_vec(),
        bytes: tensor.data().len() as u64,
    };
    let data: Vec<&[u8]> = outputs.iter().map(|(_, tensor)| &tensor.data()[..]).collect();
    lane.send(&Reply::Outputs(outputs.iter().map(describe).collect()).encode(), &data)
}

fn refusal_of(error: GraphError, model: &dyn Model) -> Reply {
    let GraphError::Output { name, element, .. } = error else { return refusal(error) };
    match model.signature().outputs.iter().position(|spec| *spec.name == *name) {
        Some(at) => Reply::Output { at, element },
        None => Reply::Failed(format!("an output of element type {element}")),
    }
}

fn refusal(error: GraphError) -> Reply {
    match error {
        GraphError::Exceeded(exceeded) if exceeded.limit == Limit::Time => Reply::Time,
        GraphError::Exceeded(_) => Reply::Memory,
        GraphError::Value(text) => Reply::Value(text),
        GraphError::Failed(text) => Reply::Failed(text),
        other => Reply::Failed(other.to_string()),
    }
}
