//! The sink of a generator: where its responses go.

use async_trait::async_trait;

use crate::tenant::Budget;
use crate::tensor::NamedTensors;

/// Takes the responses of one call of a generator, in their order.
#[async_trait]
pub trait ResponseSink: Send {
    /// Takes one response. The generator waits until this returns, and the fuel that it burns is the call's. Returns
    /// `false` once no further response will be taken; an error ends the call.
    async fn take(&mut self, outputs: NamedTensors, budget: &mut Budget) -> Result<bool, SinkError>;
}

pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// A sink's error on its way through wasmtime.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub SinkError);
