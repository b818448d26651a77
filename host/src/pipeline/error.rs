//! Errors of a run: the stage that failed, and why.

use std::sync::Arc;

use crate::runtime::GraphError;
use crate::sandbox::CallError;
use crate::tenant::Exceeded;
use crate::tensor::SpecMismatch;

/// A stage failed, which ended the call.
#[derive(Debug, thiserror::Error)]
#[error("stage \"{stage}\" {error}")]
pub struct RunError {
    pub stage: Arc<str>,
    pub error: StageError,
}

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Plugin(CallError),
    #[error(transparent)]
    Graph(GraphError),
    #[error(transparent)]
    Exceeded(Exceeded),
    #[error("cannot take its inputs: {0}")]
    Input(SpecMismatch),
    /// A generator gave no response or several to a request that has exactly one.
    #[error(
        "gave {given}, and this kind of request has exactly one; POST it to /v2/models/MODEL/generate_stream, or call ModelStreamInfer over gRPC: they take any number of answers"
    )]
    NotOne { given: &'static str },
}

impl StageError {
    /// The limit that the call reached in this stage; `None` for any other error.
    pub fn exceeded(&self) -> Option<&Exceeded> {
        match self {
            StageError::Plugin(CallError::Exceeded(exceeded))
            | StageError::Graph(GraphError::Exceeded(exceeded))
            | StageError::Exceeded(exceeded) => Some(exceeded),
            _ => None,
        }
    }
}
