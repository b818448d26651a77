//! The trait of a stage, by which a pipeline knows whatever computes: a plugin, a graph, or a stage that stands in front of
//! another one, such as a batcher or a cache.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::error::StageError;
use crate::runtime::Model;
use crate::sandbox::{Parameters, Plugin, ResponseSink};
use crate::scheduler::CallContext;
use crate::tenant::Budget;
use crate::tensor::{NamedTensors, Signature};

/// The request that a stage works for, and the limits of the work.
pub struct StageContext<'a> {
    pub call: &'a CallContext,
    pub request: &'a Arc<str>,
    pub parameters: &'a Parameters,
    /// The meter of the work. A pipeline gives the budget of its call. A stage in front of another one may run that one
    /// within a budget of its own, and charge what was used to the budgets that it got.
    pub budget: &'a mut Budget,
}

/// A computation from tensors to tensors. Requests share it, so a run changes nothing that another one could see.
pub trait Stage: Send + Sync {
    /// The inputs that a run takes and the outputs that it gives, in this order.
    fn signature(&self) -> &Signature;

    /// The kind of the stage, as metadata names it.
    fn kind(&self) -> &'static str;

    /// True if the stage yields at the end of each time slice, so that a run may begin on an I/O thread. If it is false, the
    /// pipeline is on a compute thread before it calls `run`, which may then block.
    fn can_start_inline(&self) -> bool;

    /// The stage as a generator. A pipeline calls `generate` of a generator, and `run` of any other stage.
    fn generator(&self) -> Option<&dyn Generator> {
        None
    }

    /// Runs the stage for one request. Inputs and outputs are in the order of the signature, and the pipeline has checked
    /// the inputs against it.
    fn run<'a>(&'a self, context: StageContext<'a>, inputs: NamedTensors) -> StageRun<'a>;
}

/// A stage that gives any number of responses to one request.
pub trait Generator: Send + Sync {
    /// Passes each response to the sink before it is checked against the signature, and waits until the sink has taken it.
    fn generate<'a>(
        &'a self,
        context: StageContext<'a>,
        inputs: NamedTensors,
        sink: Box<dyn ResponseSink>,
    ) -> BoxFuture<'a, Result<(), StageError>>;
}

/// A run of a stage. A stage that never waits returns its result at once, and so allocates no future.
pub enum StageRun<'a> {
    Done(Result<NamedTensors, StageError>),
    Waiting(BoxFuture<'a, Result<NamedTensors, StageError>>),
}

impl Stage for Plugin {
    fn signature(&self) -> &Signature {
        self.signature()
    }

    fn kind(&self) -> &'static str {
        if self.streams() { "generator" } else { "plugin" }
    }

    /// A graph cannot be stopped inside an operator, even if a plugin runs it.
    fn can_start_inline(&self) -> bool {
        !self.runs_graphs()
    }

    fn generator(&self) -> Option<&dyn Generator> {
        self.streams().then_some(self)
    }

    fn run<'a>(&'a self, context: StageContext<'a>, inputs: NamedTensors) -> StageRun<'a> {
        StageRun::Waiting(Box::pin(call(self, context, inputs)))
    }
}

async fn call(plugin: &Plugin, context: StageContext<'_>, inputs: NamedTensors) -> Result<NamedTensors, StageError> {
    let StageContext { call, request, parameters, budget } = context;
    let (outputs, teardown) = plugin.call(request, inputs, parameters, budget).await;
    call.defer_drop(teardown);
    outputs.map_err(StageError::Plugin)
}

impl Generator for Plugin {
    fn generate<'a>(
        &'a self,
        context: StageContext<'a>,
        inputs: NamedTensors,
        sink: Box<dyn ResponseSink>,
    ) -> BoxFuture<'a, Result<(), StageError>> {
        let StageContext { request, parameters, budget, .. } = context;
        Box::pin(async move {
            let ended = Plugin::generate(self, request, inputs, parameters, budget, sink).await;
            ended.map_err(StageError::Plugin)
        })
    }
}

/// A graph as a stage. It runs on the host's own stack and waits for nothing.
pub struct GraphStage(pub Arc<dyn Model>);

impl Stage for GraphStage {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn kind(&self) -> &'static str {
        "graph"
    }

    /// A graph cannot be stopped inside an operator.
    fn can_start_inline(&self) -> bool {
        false
    }

    fn run<'a>(&'a self, context: StageContext<'a>, inputs: NamedTensors) -> StageRun<'a> {
        StageRun::Done(self.0.run(inputs, context.budget).map_err(StageError::Graph))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::runtime::echo::Echo;

    /// Bytes that a run of a plugin allocates for its future.
    fn bytes_of_a_run<'a, F>(_: impl FnOnce(&'a Plugin, StageContext<'a>, NamedTensors) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_plugin_is_small() {
        assert!(bytes_of_a_run(call) <= 1024, "{}", bytes_of_a_run(call));
    }

    #[test]
    fn a_run_of_a_graph_is_no_future() {
        let stage = GraphStage(Arc::new(Echo::default()));
        let mut budget = Budget::new(&Config::default().call);
        let context = StageContext {
            call: &CallContext::without_cores(),
            request: &"test".into(),
            parameters: &Vec::new(),
            budget: &mut budget,
        };
        assert!(matches!(stage.run(context, NamedTensors::new()), StageRun::Done(Ok(outputs)) if outputs.is_empty()));
        assert!(!stage.can_start_inline() && stage.generator().is_none());
    }
}
