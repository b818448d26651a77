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

impl RunError {
    /// The text for whoever calls the model. The words of a plugin's fault are for the operator, and stay in the log.
    pub fn for_callers(&self) -> String {
        let told = match &self.error {
            StageError::Plugin(error) => for_callers(error),
            StageError::Graph(GraphError::Failed(_)) => "failed on these inputs; the host's log has the cause".into(),
            other => other.to_string(),
        };
        format!("stage \"{}\" {told}", self.stage)
    }
}

/// The text of a failed plugin for the callers of its model.
pub fn for_callers(error: &CallError) -> String {
    match error {
        CallError::Internal(_) => "failed; the host's log has the cause".into(),
        CallError::Trap { told: false, .. } => {
            "trapped: it ended with an error of its own; the host's log has the cause".into()
        }
        other => other.to_string(),
    }
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
