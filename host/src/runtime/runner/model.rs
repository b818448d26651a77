//! A graph that a runner runs. The cost of a run is charged here, before the run, as for a graph of this process: the runner
//! is asked for it once for each choice of sizes.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_digest::Digest;

use super::lane::{Lane, Received};
use super::message::{Description, Reply, Request};
use super::process::Reason;
use super::state::{GraphProperties, Lease, LoadFailure, NoLease};
use super::threads::Runner;
use crate::runtime::costs::RememberedCosts;
use crate::runtime::{Cost, GraphError, Model};
use crate::tenant::{Budget, Limit};
use crate::tensor::{self, NamedTensors, Signature, Tensor, TensorSpec};

/// Time after the deadline in which a runner can say itself that a run is over it, before the process is killed.
const GRACE: Duration = Duration::from_millis(20);

/// Times that a call is run again because another one ended its process.
const MAX_RETRIES: u32 = 3;

/// The runner, which ends when its last graph is dropped.
pub(super) struct Handle(pub Arc<Runner>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state.close();
    }
}

pub(super) struct RunnerModel {
    handle: Arc<Handle>,
    id: u64,
    known: Arc<GraphProperties>,
    digest: Digest,
    costs: RememberedCosts,
}

impl RunnerModel {
    /// A graph that the runner has loaded under this number. Dropping it drops the graph of the runner.
    pub(super) fn new(handle: Arc<Handle>, id: u64, known: Arc<GraphProperties>, digest: Digest) -> RunnerModel {
        RunnerModel { handle, id, known, digest, costs: RememberedCosts::default() }
    }
}

impl Drop for RunnerModel {
    fn drop(&mut self) {
        self.handle.0.state.remove(self.id);
    }
}

impl Model for RunnerModel {
    fn signature(&self) -> &Signature {
        &self.known.signature
    }

    fn digest(&self) -> &Digest {
        &self.digest
    }

    fn resident_bytes(&self) -> u64 {
        self.known.resident
    }

    fn cost(&self, shapes: &[&[u64]], budget: &Budget) -> Result<Cost, GraphError> {
        let varying = |(spec, shape): (&TensorSpec, &&[u64])| {
            let sizes = spec.shape.iter().zip(shape.to_vec());
            sizes.filter(|(declared, _)| **declared < 0).map(|(_, size)| size.cast_signed()).collect::<Vec<i64>>()
        };
        let sizes: Vec<i64> = self.signature().inputs.iter().zip(shapes).flat_map(varying).collect();
        self.costs.get_or(&sizes, || {
            let request =
                |_| Request::Cost { graph: self.id, shapes: shapes.iter().map(|shape| shape.to_vec()).collect() };
            let (lease, _, reply) = self.ask(budget, request, &[])?;
            match reply {
                Reply::Cost(cost) => {
                    self.release(lease);
                    Ok(cost)
                }
                other => Err(self.refusal(lease, other, budget)),
            }
        })
    }

    fn run(&self, inputs: NamedTensors, budget: &mut Budget) -> Result<NamedTensors, GraphError> {
        let inputs = tensor::bind_tensors(&self.signature().inputs, inputs)?;
        tensor::check_extents(&inputs, budget.memory_limit())?;
        let shapes: Vec<&[u64]> = inputs.iter().map(|(_, tensor)| tensor.shape()).collect();
        let cost = self.cost(&shapes, budget)?;
        budget.charge_fuel(cost.fuel)?;
        let planned = budget.charge_memory(cost.memory)?;
        let data: Vec<&[u8]> = inputs.iter().map(|(_, tensor)| &tensor.data()[..]).collect();
        let describe = |(_, tensor): &(Arc<str>, Tensor)| Description {
            datatype: tensor.datatype(),
            shape: tensor.shape().to_vec(),
            bytes: tensor.data().len() as u64,
        };
        let inputs: Vec<Description> = inputs.iter().map(describe).collect();
        let (graph, memory) = (self.id, budget.memory_limit());
        let request = |time| Request::Run { graph, time, memory, inputs: inputs.clone() };
        let (lease, received, reply) = self.ask(budget, request, &data)?;
        drop(planned);
        self.outputs(lease, received, reply, budget)
    }
}

impl RunnerModel {
    /// Sends a request, and waits for its reply until a moment after the deadline. A request whose process ended, and that
    /// was not the cause of it, is sent again to the next process.
    fn ask(
        &self,
        budget: &Budget,
        request: impl Fn(Duration) -> Request,
        tensors: &[&[u8]],
    ) -> Result<(Lease, Received, Reply), GraphError> {
        let state = &self.handle.0.state;
        let deadline = budget.clock().deadline();
        let (mut exclusive, mut retries) = (false, 0);
        loop {
            let mut lease = state.acquire(self.id, exclusive, deadline).map_err(|error| no_lease(error, budget))?;
            let request = request(deadline.saturating_duration_since(Instant::now()));
            let error = match exchange(&mut lease.lane, &request, tensors, deadline + GRACE) {
                Ok((received, reply)) => return Ok((lease, received, reply)),
                Err(error) => error,
            };
            let end = match error.kind() {
                ErrorKind::TimedOut => {
                    state.kill(lease, Reason::Deadline);
                    return Err(budget.exceeded(Limit::Time).into());
                }
                ErrorKind::InvalidData | ErrorKind::OutOfMemory => {
                    state.kill(lease, Reason::InvalidReply);
                    return Err(ended(&Reason::InvalidReply, budget));
                }
                // The request did not fit into the socket, because nobody reads there.
                ErrorKind::WouldBlock => {
                    state.kill(lease, Reason::InvalidReply);
                    None
                }
                // The process ended before it read the request.
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                    state.end_of(lease);
                    None
                }
                _ => Some(state.end_of(lease)),
            };
            retries += 1;
            match end {
                Some(end) if matches!(end.reason, Reason::Memory | Reason::Crash(_)) => {
                    if end.exclusive || exclusive {
                        return Err(ended(&end.reason, budget));
                    }
                    // The cause is one of several calls. Each of them is tried again with the process for itself.
                    exclusive = true;
                }
                Some(end) if end.reason == Reason::Closed || retries > MAX_RETRIES => {
                    return Err(ended(&end.reason, budget));
                }
                None if retries > MAX_RETRIES => return Err(ended(&Reason::InvalidReply, budget)),
                _ => {}
            }
        }
    }

    /// Reads the outputs of a run, which count in the budget before they are read. The runner is not trusted, so they are
    /// compared with the signature.
    fn outputs(
        &self,
        lease: Lease,
        mut received: Received,
        reply: Reply,
        budget: &Budget,
    ) -> Result<NamedTensors, GraphError> {
        let specs = &self.signature().outputs;
        let outputs = match reply {
            Reply::Outputs(outputs) if outputs.len() == specs.len() => outputs,
            other => return Err(self.refusal(lease, other, budget)),
        };
        let mut tensors = NamedTensors::with_capacity(specs.len());
        for (spec, output) in specs.iter().zip(outputs) {
            let charge = match budget.charge_memory(output.bytes) {
                Ok(charge) => charge,
                Err(exceeded) => {
                    self.release(lease);
                    return Err(exceeded.into());
                }
            };
            let data = lease.lane.take(&mut received, output.bytes).ok();
            let tensor = data.and_then(|data| Tensor::new(output.datatype, output.shape, charge.hold(data)).ok());
            match tensor.filter(|tensor| spec.check(tensor).is_ok()) {
                Some(tensor) => tensors.push((spec.name.clone(), tensor)),
                None => return Err(self.invalid_reply(lease, budget)),
            }
        }
        self.release(lease);
        Ok(tensors)
    }

    /// The error of a reply without a result.
    fn refusal(&self, lease: Lease, reply: Reply, budget: &Budget) -> GraphError {
        let error = match reply {
            Reply::Time => budget.exceeded(Limit::Time).into(),
            Reply::Memory => budget.exceeded(Limit::Memory).into(),
            Reply::Value(text) => GraphError::Value(text),
            Reply::Failed(text) => GraphError::Failed(text),
            Reply::Output { at, element } => match self.signature().outputs.get(at) {
                Some(spec) => GraphError::Output { name: spec.name.to_string(), element, declared: spec.datatype },
                None => return self.invalid_reply(lease, budget),
            },
            Reply::Cost(_) | Reply::Outputs(_) => return self.invalid_reply(lease, budget),
        };
        self.release(lease);
        error
    }

    fn invalid_reply(&self, lease: Lease, budget: &Budget) -> GraphError {
        self.handle.0.state.kill(lease, Reason::InvalidReply);
        ended(&Reason::InvalidReply, budget)
    }

    fn release(&self, mut lease: Lease) {
        match lease.lane.trim() {
            Ok(()) => self.handle.0.state.release(lease),
            Err(_) => self.handle.0.state.kill(lease, Reason::InvalidReply),
        }
    }
}

fn exchange(lane: &mut Lane, request: &Request, tensors: &[&[u8]], deadline: Instant) -> io::Result<(Received, Reply)> {
    lane.send(&request.encode(), tensors)?;
    let received = lane.receive(Some(deadline))?;
    let reply = Reply::decode(lane.message(&received)).ok_or(ErrorKind::InvalidData)?;
    Ok((received, reply))
}

/// The error of a call whose process ended.
fn ended(reason: &Reason, budget: &Budget) -> GraphError {
    match reason {
        Reason::Deadline => budget.exceeded(Limit::Time).into(),
        Reason::Memory => budget.exceeded(Limit::Memory).into(),
        Reason::Crash(how) => GraphError::Failed(format!("the process that runs it ended ({how})")),
        Reason::InvalidReply => GraphError::Failed("the process that runs it gave an invalid answer".into()),
        Reason::Loading | Reason::Closed => GraphError::Failed("the process that runs it was ended".into()),
    }
}

fn no_lease(error: NoLease, budget: &Budget) -> GraphError {
    match error {
        NoLease::Time => budget.exceeded(Limit::Time).into(),
        NoLease::Start(error) => GraphError::Failed(format!("no process could be started to run it: {error}")),
        NoLease::Graph(LoadFailure::Refused(text)) => {
            GraphError::Failed(format!("a new process could not load it again: {text}"))
        }
        NoLease::Graph(LoadFailure::Ended(reason)) => {
            GraphError::Failed(format!("the process that should run it ended while it loaded it ({})", reason.label()))
        }
    }
}
