//! One request of one protocol, and its reply: what a protocol adds to the steps that all requests share.

use super::request::InferRequest;
use super::response::InferResponse;
use crate::error::ApiError;
use crate::pipeline::Pipeline;
use crate::scheduler::CallContext;

/// A request that has arrived and is still encoded. There is one object for each request, so that what the request says
/// about the form of its reply stays in the object from `decode` to `encode`. Both methods are called on a compute thread,
/// unless the call runs inline; the context says which.
pub trait Exchange: Send + 'static {
    type Reply: Send + 'static;

    /// Decodes the request. It is called once, before `encode`, and may take what it decodes out of `self`.
    fn decode(&mut self, context: &CallContext, model: &Pipeline) -> Result<InferRequest, ApiError>;

    /// Encodes a response: the only one, or each one of a stream.
    fn encode(&self, context: &CallContext, model: &Pipeline, response: InferResponse)
    -> Result<Self::Reply, ApiError>;

    /// Size of a reply, which is counted in its tenant's usage, in bytes.
    fn reply_bytes(reply: &Self::Reply) -> u64;
}
